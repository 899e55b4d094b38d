"""Which files a corpus is made from: folders a person names, or the Python source this installation stands on.

Nothing is opened here, only listed; what can't be a document by its kind of file is an event.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from groundup.corpus.funnel import Event
from groundup.corpus.installed import default_sources, dependency_closure
from groundup.corpus.listing import STDLIB, Listing, SourceFile, listing_fingerprint
from groundup.corpus.walk import discover

__all__ = [
    "Listing",
    "SourceFile",
    "default_sources",
    "dependency_closure",
    "discover",
    "listing_fingerprint",
    "take",
]


def take(files: Sequence[SourceFile], budget_bytes: int) -> tuple[list[SourceFile], list[Event], str]:
    """The files that fit a budget, what was left out, and the rule in words.

    Whole groups, so that the corpus holds whole packages. Where groups are too large for that (one folder of
    everything), the first that didn't fit is taken in part: its files in the order of a hash of their names, which
    looks at no content and hardly changes when files come and go.
    """
    total = sum(file.size for file in files)
    if total <= budget_bytes:
        return list(files), [], f"all {len(files):,} files ({_megabytes(total)}) fit the budget"
    groups: dict[str, list[SourceFile]] = {}
    for file in files:
        groups.setdefault(file.group, []).append(file)
    sizes = {group: sum(file.size for file in members) for group, members in groups.items()}
    order = sorted(groups, key=lambda group: (not _of_stdlib(group), sizes[group], group))

    taken: list[SourceFile] = []
    left: list[str] = []
    used = 0
    for group in order:
        if used + sizes[group] <= budget_bytes:
            taken += groups[group]
            used += sizes[group]
        else:
            left.append(group)
    events = []
    in_part = ""
    if used < budget_bytes / 2:
        in_part = left.pop(0)
        rest = []
        for file in sorted(groups[in_part], key=lambda file: hashlib.sha256(file.source.encode()).digest()):
            if used + file.size <= budget_bytes:
                taken.append(file)
                used += file.size
            else:
                rest.append(file)
        events.append(_over_budget(in_part, rest, budget_bytes))
    events += [_over_budget(group, groups[group], budget_bytes) for group in left]
    rule = (
        f"{len(taken):,} of {len(files):,} files ({_megabytes(used)} of {_megabytes(total)}): whole groups, the "
        "standard library's first, then from the smallest up, while they fit"
    )
    if in_part:
        rule += f"; {in_part} in part, its files in the order of a hash of their names"
    return sorted(taken, key=lambda file: file.source), events, rule


def _over_budget(group: str, files: Sequence[SourceFile], budget_bytes: int) -> Event:
    size = sum(file.size for file in files)
    reason = f"over_budget: {_megabytes(size)} no longer fit the budget of {_megabytes(budget_bytes)}"
    largest = ", ".join(file.source for file in sorted(files, key=lambda file: (-file.size, file.source))[:3])
    return Event("unread", "budget", "over_budget", reason, group, count=len(files), bytes=size, example=largest)


def _of_stdlib(group: str) -> bool:
    return group.startswith(STDLIB + "/")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
