"""The champion: the one release that serves. A pointer moved atomically, with its history and the reasons.

    releases/champion.json   {"release": id, "history": [{"release", "since", "why"}, …]}   the newest last

A challenger takes its place unless the verdicts say that it is worse; both sides' tables are inputs, nothing is
promoted by hope.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundup.errors import ReleaseError
from groundup.pipeline.files import write_json
from groundup.pipeline.lock import writing
from groundup.pipeline.store import Store
from groundup.registry.release import Release, open_release

Verdict = Mapping[str, Any]  # evaluation.verdict.Table as plain data


@dataclass(frozen=True)
class Promotion:
    """What became of a challenger. `why` names the figures it was decided by."""

    promoted: bool
    why: str
    release: str
    previous: str | None


def current(store: Store) -> Release | None:
    """The champion, or None before the first release. Raises ReleaseError if it is damaged."""
    state = _read(store)
    return open_release(store, state["release"]) if state["release"] else None


def require(store: Store) -> Release:
    """The champion; raises ReleaseError if there is none."""
    champion = current(store)
    if champion is None:
        mend = "Make one with `groundup run`, or name the store with --store."
        raise ReleaseError("there is no release yet", place=str(store.root), mend=mend)
    return champion


def history(store: Store) -> list[dict[str, str]]:
    """Every release that was champion, with since when and why; the newest last."""
    return list(_read(store)["history"])


def promote(store: Store, challenger: Release, verdicts: Sequence[Verdict] | None = None) -> Promotion:
    """Let a release serve unless its verdicts say that it is worse than the champion; says why either way.

    verdicts: the challenger's tables (its own unless given). They are compared with the champion's only if both were
    measured on the same held-out split (`Release.measured_on`): figures from different texts say nothing.
    """
    with writing(store.releases):
        state = _read(store)
        previous = state["release"]
        if previous == challenger.id:
            return Promotion(True, "it serves already", challenger.id, previous)
        if previous is None:
            return _move(store, state, challenger, "the first release")
        try:
            serving = open_release(store, previous)
            tables = serving.verdicts
        except ReleaseError as error:
            return _move(store, state, challenger, f"the release before it can't be read: {error}")
        if not challenger.measured_on or serving.measured_on != challenger.measured_on:
            why = f"measured on other texts than {previous}, so not compared: what was asked for last serves"
            return _move(store, state, challenger, why)
        worse, words = compare(tables, challenger.verdicts if verdicts is None else verdicts)
        if worse:
            return Promotion(False, f"{previous} goes on serving: {words}", challenger.id, previous)
        return _move(store, state, challenger, words)


def rollback(store: Store, to: str | None = None) -> Promotion:
    """Let the release serve that did before this one, or the one named. Raises ReleaseError if there is none."""
    with writing(store.releases):
        state = _read(store)
        now = state["release"]
        if to is None:
            before = [entry["release"] for entry in state["history"] if entry["release"] != now]
            if not before:
                mend = "There is nothing to go back to: make another release with `groundup run`."
                raise ReleaseError("no other release has served", place=str(store.releases), mend=mend)
            to = before[-1]
        return _move(store, state, open_release(store, to), f"rolled back from {now}")


def compare(champion: Sequence[Verdict], challenger: Sequence[Verdict]) -> tuple[bool, str]:
    """Whether the challenger is worse for sure in any table (intervals apart), and what was compared, in words."""
    old = {table["id"]: table for table in champion}
    worse, words = False, []
    for table in challenger:
        before = old.get(table["id"])
        if before is None:
            continue
        ours, theirs = _serving(table), _serving(before)
        if ours is None or theirs is None:
            continue
        sign = 1 if table["higher_is_better"] else -1
        lower, upper = sorted((sign * ours["low"], sign * ours["high"]))
        their_lower, their_upper = sorted((sign * theirs["low"], sign * theirs["high"]))
        lost, won = upper < their_lower, lower > their_upper
        worse = worse or lost
        verdict = "worse" if lost else "better" if won else "no difference that can be told"
        words.append(f"{table['title']} {theirs['value']:.4g} → {ours['value']:.4g} {table['unit']} ({verdict})")
    return worse, "; ".join(words) or "nothing both were measured on: the newer one knows the newer corpus"


def _serving(table: Verdict) -> Mapping[str, Any] | None:
    """The estimate, in the table's first column, of the row that serves."""
    if not table["columns"]:
        return None
    row = next((row for row in table["rows"] if row["serves"]), None)
    estimate: Mapping[str, Any] | None = row["values"].get(table["columns"][0]) if row is not None else None
    return estimate


def _move(store: Store, state: dict[str, Any], release: Release, why: str) -> Promotion:
    since = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    entry = {"release": release.id, "since": since, "why": why}
    write_json(store.releases / "champion.json", {"release": release.id, "history": [*state["history"], entry]})
    return Promotion(True, why, release.id, state["release"])


def _read(store: Store) -> dict[str, Any]:
    path = store.releases / "champion.json"
    try:
        state = json.loads(path.read_bytes())
        return {"release": state["release"], "history": list(state["history"])}
    except FileNotFoundError:
        return {"release": None, "history": []}
    except NotADirectoryError:
        mend = "Name the folder of a store with --store."
        raise ReleaseError("is a file", place=str(store.root), mend=mend) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = f"Delete {path}; `groundup run` names the champion anew."
        raise ReleaseError(f"can't be read ({error})", place=str(path), mend=mend) from None
