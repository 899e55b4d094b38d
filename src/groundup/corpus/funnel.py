"""The funnel: an account of every document removed, changed or not read, by rule, with a count and an example."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

STAGES = ("read", "clean", "filter", "dedup", "budget")  # in the order a document meets them
ACTIONS = ("unread", "removed", "changed")
EXAMPLE_CHARACTERS = 200  # enough to see what a rule caught

SCHEMA = pa.schema(
    [
        pa.field("action", pa.string()),
        pa.field("stage", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("source", pa.string()),
        pa.field("document_id", pa.string()),
        pa.field("count", pa.int64()),
        pa.field("bytes", pa.int64()),
        pa.field("example", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Event:
    """One rule that acted on one document, file or folder."""

    action: str  # "unread": never became a document; "removed"; "changed"
    stage: str  # one of STAGES
    rule: str  # "few_stop_words"
    reason: str  # what was found, with value and bound: "few_stop_words: 1 < 2"
    source: str
    document_id: str = ""  # "" before there is a document
    count: int = 1  # how often the rule acted in this document: addresses masked, files left out with a folder
    bytes: int = 0  # of raw UTF-8 text or file removed, or of text changed
    example: str = ""  # what was caught, cut; never holds what a mask hides


@dataclass(frozen=True, slots=True)
class FunnelRow:
    stage: str
    action: str
    rule: str
    documents: int  # different documents, or sources where there was no document yet
    count: int
    bytes: int
    example: str
    example_source: str


class Funnel:
    """Events gathered from every stage of one run."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: list[Event] = []
        self.extend(events)

    def add(self, event: Event) -> None:
        assert event.stage in STAGES, event
        assert event.action in ACTIONS, event
        self.events.append(event)

    def extend(self, events: Iterable[Event]) -> None:
        for event in events:
            self.add(event)

    def merge(self, other: Funnel) -> None:
        self.events.extend(other.events)

    def summary(self) -> list[FunnelRow]:
        """One row for each stage, action and rule, in the order of the stages, then from the commonest down.

        The same for any order of the events: the example is the one of the first source by name.
        """
        groups: dict[tuple[str, str, str], list[Event]] = {}
        for event in self.events:
            groups.setdefault((event.stage, event.action, event.rule), []).append(event)
        rows = []
        for (stage, action, rule), events in groups.items():
            first = min(events, key=lambda e: (e.source, e.document_id, e.reason, e.example))
            rows.append(
                FunnelRow(
                    stage=stage,
                    action=action,
                    rule=rule,
                    documents=len({e.document_id or e.source for e in events}),
                    count=sum(e.count for e in events),
                    bytes=sum(e.bytes for e in events),
                    example=first.example or first.reason,
                    example_source=first.source,
                )
            )
        rows.sort(key=lambda row: (STAGES.index(row.stage), ACTIONS.index(row.action), -row.documents, row.rule))
        return rows

    def write(self, path: Path) -> None:
        """Every event as a row of Parquet, sorted, so that the same events give the same bytes."""
        rows = sorted((asdict(event) for event in self.events), key=lambda row: tuple(row.values()))
        columns = {name: [row[name] for row in rows] for name in SCHEMA.names}
        pq.write_table(pa.table(columns, schema=SCHEMA), path, compression="zstd")

    @classmethod
    def read(cls, path: Path) -> Funnel:
        table = pq.read_table(path, schema=SCHEMA)
        columns = [table.column(name).to_pylist() for name in SCHEMA.names]
        return cls(Event(*row) for row in zip(*columns, strict=True))


def cut(example: str) -> str:
    """An example short enough for a table cell, on one line."""
    line = " ".join(example[: 4 * EXAMPLE_CHARACTERS].split())
    return line if len(line) <= EXAMPLE_CHARACTERS else line[: EXAMPLE_CHARACTERS - 1] + "…"
