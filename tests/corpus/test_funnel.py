from __future__ import annotations

import random
from dataclasses import fields
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.funnel import ACTIONS, EXAMPLE_CHARACTERS, SCHEMA, STAGES, Event, Funnel, FunnelRow, cut

events = st.builds(
    Event,
    action=st.sampled_from(ACTIONS),
    stage=st.sampled_from(STAGES),
    rule=st.sampled_from(["r", "s"]),
    reason=st.text(max_size=5),
    source=st.sampled_from(["a", "b", "c"]),
    document_id=st.sampled_from(["", "1", "2"]),
    count=st.integers(0, 1 << 40),
    bytes=st.integers(0, 1 << 50),
    example=st.text(max_size=5),
)


def test_summary_counts_documents_once_and_adds_up_the_rest() -> None:
    funnel = Funnel(
        [
            Event(
                "changed", "clean", "mask_email", "mask_email: 2", "b.md", "id2", count=2, bytes=20, example="<EMAIL> b"
            ),
            Event(
                "changed", "clean", "mask_email", "mask_email: 1", "a.md", "id1", count=1, bytes=10, example="<EMAIL> a"
            ),
            Event(
                "changed", "clean", "mask_email", "mask_email: 3", "a.md", "id1", count=3, bytes=30, example="<EMAIL> z"
            ),
            Event("unread", "read", "empty", "empty: 0 bytes", "c.md"),
        ]
    )
    assert funnel.summary() == [
        FunnelRow("read", "unread", "empty", 1, 1, 0, "empty: 0 bytes", "c.md"),
        FunnelRow("clean", "changed", "mask_email", 2, 6, 60, "<EMAIL> a", "a.md"),
    ]


@settings(deadline=None)
@given(st.lists(events, max_size=20), st.integers(0, 99))
def test_summary_is_the_same_for_any_order(given_events: list[Event], seed: int) -> None:
    shuffled = list(given_events)
    random.Random(seed).shuffle(shuffled)
    assert Funnel(shuffled).summary() == Funnel(given_events).summary()


@settings(deadline=None)
@given(st.lists(events, max_size=10))
def test_events_come_back_from_parquet(tmp_path_factory, given_events: list[Event]) -> None:
    path: Path = tmp_path_factory.mktemp("funnel") / "funnel.parquet"
    Funnel(given_events).write(path)
    assert sorted(Funnel.read(path).events, key=repr) == sorted(given_events, key=repr)


@settings(deadline=None)
@given(st.text(max_size=2000))
def test_examples_are_short_and_on_one_line(text: str) -> None:
    assert len(cut(text)) <= EXAMPLE_CHARACTERS
    assert "\n" not in cut(text)


def test_schema_is_the_event() -> None:
    assert SCHEMA.names == [field.name for field in fields(Event)]


def test_merge_keeps_both() -> None:
    one, two = Funnel([Event("unread", "read", "a", "", "x")]), Funnel([Event("unread", "read", "b", "", "y")])
    one.merge(two)
    assert [row.rule for row in one.summary()] == ["a", "b"]
