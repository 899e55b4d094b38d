"""Which documents a recipe leaves out of memory or of search: glob patterns over the paths that search results show."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from groundup.corpus.document import Document

# A member of an archive stands behind "!": "mail/2024.zip!a/b.txt".
_GLOB = re.compile(r"(?<![^/!])\*\*/|\*\*|\*|\?")  # "a**/b" is no "ab"
_MEANS = {"**/": "(?:.*[/!])?", "**": ".*", "*": "[^/!]*", "?": "[^/!]"}


@dataclass(frozen=True)
class LeaveOut:
    """patterns: a path is left out if one of them matches it, or a folder or archive that it lies in.

    `*` and `?` stay within one name, `**` goes through folders and archives; all else means itself, capitals too.
    """

    patterns: tuple[str, ...] = ()

    def __contains__(self, source: str) -> bool:
        return any(rule.fullmatch(source) for rule in self._rules)

    def kept(self, documents: Iterable[Document]) -> list[Document]:
        return [document for document in documents if document.source not in self]

    def unused(self, sources: Iterable[str]) -> list[str]:
        """Patterns that match none of the paths."""
        paths = list(sources)
        return [
            pattern
            for pattern, rule in zip(self.patterns, self._rules, strict=True)
            if not any(map(rule.fullmatch, paths))
        ]

    @cached_property
    def _rules(self) -> list[re.Pattern[str]]:
        return [_rule(pattern) for pattern in self.patterns]


def _rule(pattern: str) -> re.Pattern[str]:
    glob = pattern.removeprefix("./").rstrip("/")
    at, parts = 0, []
    for sign in _GLOB.finditer(glob):
        parts += [re.escape(glob[at : sign.start()]), _MEANS[sign[0]]]
        at = sign.end()
    return re.compile(f"(?s:{''.join(parts)}{re.escape(glob[at:])}(?:[/!].*)?)")
