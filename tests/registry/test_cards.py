"""cards.py: every fact of a run stands in its card, and nothing stands there without a fact."""

from __future__ import annotations

import re
from typing import Any

import pytest

from groundup.registry.cards import data_card, model_card, verdict_table
from tests.registry.conftest import table

DATA: dict[str, Any] = {
    "title": "Notes",
    "sources": ["~/notes", "book.zip"],
    "rule": "Whole groups from the smallest up, while they fit into 20 MB.",
    "created": "2026-12-01T10:00:00+00:00",
    "read_files": 1204,
    "documents": 1101,
    "bytes": 19_400_000,
    "kinds": {"code": 1000, "prose": 101},
    "languages": {"python": 1000, "en": 100, "": 1},
    "groups": {f"g{i:02}": 50 - i for i in range(30)},
    "funnel": [
        {
            "stage": "filter",
            "action": "removed",
            "rule": "few_stop_words",
            "documents": 7,
            "count": 7,
            "bytes": 12_345,
            "example": "few_stop_words: 1 < 2",
            "example_source": "notes/a|b.md",
        },
        {
            "stage": "read",
            "action": "unread",
            "rule": "no_reader",
            "documents": 2,
            "count": 2,
            "bytes": 10,
            "example": "",
            "example_source": "x.bin",
        },
    ],
    "held_out_rule": "By near-duplicate cluster, 2 % of the bytes.",
    "splits": {"train": {"documents": 1050, "bytes": 18_000_000}, "held out": {"documents": 51, "bytes": 900}},
    "held_out_groups": ["g29"],
    "overlap_share": 0.123,
    "licence": "Each document keeps its own.",
    "limits": ["Python only."],
}
MODELS: dict[str, Any] = {
    "title": "Models on notes",
    "data": "Learned from 1,050 documents.",
    "serves": {"completion": "base", "search": "hybrid"},
    "why": {"completion": "It needs .83 bits per byte."},
    "verdicts": [table(0.83)],
    "warnings": ["The base may have read these files."],
    "models": [
        {
            "name": "decoder",
            "format": "decoder",
            "kind": "from scratch",
            "parameters": 6_000_000,
            "tokens": 1_100_000,
            "curve": [{"tokens": i * 100, "held_out_bits_per_byte": 4 - 0.1 * i} for i in range(1, 13)],
            "licence": "Apache-2.0",
            "digest": "ab12",
        },
        {"name": "encoder", "format": "encoder"},
    ],
    "limits": ["Short contexts."],
    "machine": {"processor": "P", "cores": 2, "memory_bytes": 8 * 2**30, "seconds": 600.5, "peak_bytes": 2**31},
    "created": "2026-12-01",
}


def headings(card: str) -> list[str]:
    return re.findall(r"^#+ (.*)$", card, re.MULTILINE)


def test_data_card_says_what_is_known() -> None:
    card = data_card(DATA)
    for text in (
        "1,204 files read; 1,101 documents kept with 19.4 MB of text (2026-12-01T10:00:00+00:00).",
        "- `~/notes`",
        "| code | 1,000 | 90.8% |",
        "| not known | 1 | 0.1% |",
        "| 10 others | ",
        "7 documents removed, 2 files not read.",
        "| filter | removed | few_stop_words | 7 | 7 | 12.3 kB | `notes/a\\|b.md` |",
        "Held out whole: `g29`.",
        "12.3% of the held-out 12-grams occur in training.",
        "Each document keeps its own.",
        "- Python only.",
    ):
        assert text in card, text
    assert headings(card) == [
        "Notes",
        "Sources",
        "What was taken",
        "Kinds",
        "Languages",
        "Packages and folders",
        "What was left out or changed, by rule",
        "What was held out",
        "Licence",
        "Limits",
    ]


def test_model_card_says_what_is_known() -> None:
    card = model_card(MODELS)
    for text in (
        "- completion: **base**. It needs .83 bits per byte.",
        "- search: **hybrid**",
        "- parameters: 6,000,000",
        "- trained here on: 1,100,000 tokens",
        "held out bits per byte 2.8; it changed by -0.2 over the last 3 points",
        'AutoModelForCausalLM.from_pretrained("models/decoder")',
        'SentenceTransformer("models/encoder")',
        "- memory: 8.0 GiB",
        "- The base may have read these files.",
    ):
        assert text in card, text
    assert "Model `decoder`" in headings(card)
    assert "Model `encoder`" not in headings(card)  # nothing is known of it


def test_verdict_table_has_intervals_and_marks_what_serves() -> None:
    text = verdict_table(table(0.83))
    assert "The base is ahead." in text
    assert "| **base\\|one** (serves) | candidate | 0.830 [0.820, 0.840] (n 1,200) |" in text
    assert "bits per byte in bits/byte, lower is better" in text
    assert "- base|one against 5-gram on held out: 0.400 " in text
    assert "whole packages" not in text  # a column nobody was measured on
    assert "- It may have read these files." in text


def test_verdict_table_has_the_share_seen_in_training_and_the_notes_where_they_are_known() -> None:
    known = table(0.83)
    column = known["columns"][0]
    text = verdict_table({**known, "seen": {column: 0.1402}, "notes": ["Documents from 0.5 up stand on one side."]})
    (line,) = [line for line in text.splitlines() if "12-grams seen in training" in line]
    assert "14.0%" in line
    assert line.count("|") == next(rule for rule in text.splitlines() if "---" in rule).count("|")
    assert "- Documents from 0.5 up stand on one side." in text
    older = {name: value for name, value in known.items() if name not in ("seen", "notes")}
    assert "12-grams" not in verdict_table(older)


@pytest.mark.parametrize(("card", "facts"), [(data_card, DATA), (model_card, MODELS)])
def test_any_fact_may_be_absent_and_no_heading_stands_alone(card: Any, facts: dict[str, Any]) -> None:
    assert len(headings(card({}))) == 1
    for name in facts:
        for some in ({name: facts[name]}, {key: value for key, value in facts.items() if key != name}):
            text = card(some)
            assert not re.search(r"^#[^\n]*\n+(#|\Z)", text.partition("\n")[2], re.MULTILINE), some
            assert "None" not in text
