"""The report's part on memory: well-formed, its figures those of the bands, its bars as high as they say."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from groundup.evaluation.bands import Band
from groundup.evaluation.memory_verdict import MemoryVerdict
from groundup.pipeline.pictures import groups
from groundup.pipeline.report import render
from groundup.pipeline.report_memory import memory
from groundup.pipeline.report_verdicts import verdict
from groundup.pipeline.summary import RunSummary
from tests.pipeline.summaries import DOCUMENTS, HOSTILE, generation, stopped, whole
from tests.pipeline.summaries import memory as example
from tests.pipeline.test_report import Page


def test_the_report_says_what_memory_brings_and_what_completes() -> None:
    page = Page(render(whole()))
    assert "Memory helps SmolLM2-135M by 33 % (interval 25 to 40 %)." in page.text
    assert page.text.count("SmolLM2-135M + memory completes") == 2  # where it is said what serves, and beside the bands
    assert [found for tag, found in page.elements if tag == "a" and found["href"] == "#memory"]


def test_every_figure_of_a_band_stands_in_its_row() -> None:
    page = Page(memory([example()], ""))
    rows = memory([example()], "").split("<tr>")[2:]
    cells = [[Page(part).text.strip() for part in parts(row)] for row in rows]
    assert cells == [
        ["0–1", "479", "1,752", "1.251", "2.312", "1.038", "7 %", "83 %", "414", "40"],
        ["4–7", "2,790", "9,402", "0.978", "1.236", "0.744", "30 %", "60 %", "2,610", "414"],
        ["32+", "922", "3,639", "0.671", "0.134", "0.115", "98 %", "11 %", "2,032", "8"],
        ["all", "4,191", "14,793", "0.935", "1.092", "0.624", "43 %", "52 %", "5,056", "462"],
    ]
    assert "most often by little" in page.text


def test_the_table_of_bands_is_laid_out_as_one() -> None:
    assert [a["class"] for tag, a in Page(memory([example()], "")).elements if tag == "table"] == ["stack bands"]


def parts(row: str) -> list[str]:
    return [f"<td {part.split('</td>')[0]}</td>" for part in row.split("<td ")[1:]]


def test_bars_are_as_high_as_their_figures() -> None:
    rects = [
        a
        for tag, a in Page(groups([("a", [("x", 1.0), ("y", 2.0)]), ("b", [("x", 0.5)])], "g")).elements
        if tag == "rect"
    ]
    heights = [float(str(a["height"])) for a in rects]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.1)
    assert heights[2] == pytest.approx(heights[0] / 2, abs=0.1)
    feet = {round(float(str(a["y"])) + float(str(a["height"])), 1) for a in rects}
    assert len(feet) == 1
    sides = [(float(str(a["x"]).rstrip("%")), float(str(a["width"]).rstrip("%"))) for a in rects]
    assert all(x + width <= next_x for (x, width), (next_x, _) in pairwise(sides))
    assert all(x >= 0 and x + width <= 100 for x, width in sides)
    assert Page(groups([], "g")).count("rect") == 0


def test_a_run_without_memory_says_that_there_is_none() -> None:
    assert memory([], "smollm2") == ""
    page = Page(render(replace(whole(), memory=[], completes="SmolLM2-135M")))
    assert "Not in this report, because this run made none of it: Memory." in page.text
    assert "SmolLM2-135M completes" in page.text
    assert "completes" not in Page(render(stopped())).text


def test_a_memory_whose_texts_were_empty_has_a_sentence_alone() -> None:
    empty = MemoryVerdict("a", False, "Too few.", {DOCUMENTS: [Band(0, 1, 0, 0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0.0)]})
    page = Page(memory([empty], ""))
    assert page.count("table") == page.count("svg") == 0
    assert "Too few." in page.text


def test_names_in_the_part_on_memory_are_text() -> None:
    hostile = MemoryVerdict(HOSTILE, True, HOSTILE, {HOSTILE: example().bands[DOCUMENTS]})
    page = Page(memory([hostile], HOSTILE))
    assert page.count("script") == page.count("img") == 0
    assert page.text.count('<script>alert("x")</script>') == 4


def test_the_share_seen_in_training_stands_beside_each_column() -> None:
    text = Page(verdict(generation())).text
    assert "n = 120; 14.0 % of its word 12-grams seen in training" in text
    assert "n = 41; under 0.1 % of its word 12-grams seen in training" in text
    assert "documents from 0.5 up stand on one side of the split" in text
    assert "12-grams" not in Page(verdict(replace(generation(), seen={}))).text


def test_a_summary_with_memory_survives_json() -> None:
    assert RunSummary.from_json(whole().to_json()) == whole()
