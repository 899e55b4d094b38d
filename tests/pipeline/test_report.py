"""report.py: one file that stands alone, says what the summary says, and runs nothing of the corpus."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from groundup.evaluation.verdict import Estimate, Row, Table
from groundup.pipeline import pictures
from groundup.pipeline.pictures import Line, Scale, curves, escape, ticks, whisker
from groundup.pipeline.report import render, write_report
from groundup.pipeline.report_verdicts import verdict, what_serves
from groundup.pipeline.summary import CurvePoint, Flow, FunnelRow, RunSummary, Sample, Step
from tests.pipeline.summaries import HOSTILE, generation, stopped, whole

VOID = {"meta", "br", "line", "rect", "circle", "polyline", "polygon"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails where elements are not closed in the order they were opened."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def everywhere(text: str) -> RunSummary:
    """A summary with this text in every place that takes one."""
    row = Row(text, "candidate", {text: Estimate(1.0, 0.9, 1.1, 5)}, note=text, serves=True)
    table = replace(
        generation(),
        id=text,
        title=text,
        metric=text,
        unit=text,
        columns=[text],
        rows=[row],
        sentence=text,
        warnings=[text],
    )
    return replace(
        whole(),
        command=text,
        started=text,
        verdicts=[table],
        warnings=[text],
        flow=[Flow(text, 3, 4)],
        funnel=[FunnelRow(text, text, text, 1, 1, 1, text, text)],
        steps=[Step(text, text, text, 1.0, 1)],
        curves={text: [CurvePoint(1, 1.0, 1.0, 1.0, 1.0), CurvePoint(9, 0.9, 0.9, 1.0, 2.0)]},
        samples=[Sample(text, text, text, text)],
        release=text,
        store=text,
        next=[text],
    )


def test_page_says_what_the_summary_says() -> None:
    page = Page(render(whole()))
    for part in (
        "SmolLM2-135M", "0.831", "0.798 to 0.871", "which curves don't: they flatten", "may have read these very files",
        "8,258 files (141 MB) came in; 7,011 documents (104 MB)", "near_duplicate", "6.3 M parameters", "247.8 s",
        "2.92 GB",
        "Dense covers 12,000 of 61,234 chunks (20 %)", "1.3 % of the corpus", "fp32 134 GFLOP/s", "groundup monitor",
        "not measured", "3.1 GB free", "r7-3f2a91", "2026-11-24 19:40 UTC", "return self._path",
        "gradient norm 1 to 1.4",
    ):  # fmt: skip
        assert part in page.text, part
    assert page.text.index("Verdict") < page.text.index("From files to corpus") < page.text.index("Next")
    assert "Not in this report" not in page.text


def test_verdict_has_a_whisker_for_every_figure() -> None:
    page = Page(render(whole()))
    figures = sum(len(row.values) for table in whole().verdicts for row in table.rows)
    assert sum(found.get("class") == "whisker" for _, found in page.elements) == figures == 11


def test_run_that_stopped_puts_its_error_first_and_names_what_is_missing() -> None:
    text = Page(render(stopped())).text
    assert text.index("Step “tokens” failed") < text.index("Time and memory")
    assert "the disk is full" in text
    assert "Free 2 GB on /home and run again." in text
    assert re.search("because the run stopped in “tokens”: Verdict; What serves, and why; .*Samples; Plan", text)
    assert "120 files (1.2 MB) came in." in text


def test_empty_summary_makes_a_page() -> None:
    assert "Not in this report, because this run made none of it" in Page(render(RunSummary())).text


@pytest.mark.parametrize(
    "text",
    [
        HOSTILE,
        '"><script>',
        "' onload='x",
        "</title></style><script>",
        "<!--",
        "]]>",
        "&lt;b&gt;",
        "a\x00\x1b[31m\ud800b",
    ],
)
def test_text_of_the_corpus_is_text_wherever_it_stands(text: str) -> None:
    html = render(everywhere(text))
    page, plain = Page(html), Page(render(everywhere("plain")))
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert [sorted(found) for _, found in page.elements] == [sorted(found) for _, found in plain.elements]
    assert page.count("script") == page.count("img") == 0
    html.encode("utf-8")


@given(st.text(max_size=20))
def test_escaped_text_reads_back_as_it_was(text: str) -> None:
    read = Page(f'<p title="{escape(text)}">{escape(text)}</p>')
    shown = "".join(read.pieces)
    assert shown == read.elements[0][1]["title"]
    assert len(shown) == len(text)
    assert all(a in (b, "\ufffd") for a, b in zip(shown, text, strict=True))


def test_marks_that_reorder_text_are_shown_not_obeyed() -> None:
    assert escape("a\u202egpj.exe\u2066") == "a\ufffdgpj.exe\ufffd"


def test_page_needs_nothing_beside_it() -> None:
    html = render(whole())
    page = Page(html)
    assert page.count("script") == page.count("link") == page.count("img") == page.count("iframe") == 0
    for tag, found in page.elements:
        assert "src" not in found, tag
        assert found.get("href", "#").startswith("#"), tag
        assert not [name for name in found if name.startswith("on")], tag
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in style
    assert "default-src 'none'" in html
    assert len(html) < 100_000


def test_links_of_the_page_lead_somewhere() -> None:
    page = Page(render(whole()))
    ids = [found["id"] for _, found in page.elements if "id" in found]
    assert len(ids) == len(set(ids))
    for tag, found in page.elements:
        if tag == "a":
            assert str(found["href"])[1:] in ids


def test_same_summary_gives_the_same_bytes_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(whole(), path)
    first = path.read_bytes()
    write_report(RunSummary.from_json(whole().to_json()), path)
    assert path.read_bytes() == first

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("groundup.pipeline.files.os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        write_report(stopped(), path)
    assert path.read_bytes() == first
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_whisker_stands_where_its_figures_are() -> None:
    found = Page(whisker(2.0, 1.0, 4.0, Scale(0.0, 5.0), "candidate")).elements
    (dot,) = [attributes for tag, attributes in found if tag == "circle"]
    assert dot["cx"] == "40.00%"
    assert ("20.00%", "80.00%") in [(a.get("x1"), a.get("x2")) for tag, a in found if tag == "line"]


def test_curves_fall_on_the_page_as_their_values_do() -> None:
    picture = curves([Line("a", "held", [(0, 9.0), (10, 4.0), (1000, 1.0)])], [("other", 2.0)], "x", "y")
    found = Page(picture).elements
    (line,) = [str(a["points"]) for tag, a in found if tag == "polyline"]
    (x1, y1), (x2, y2) = [tuple(map(float, point.split(","))) for point in line.split()]  # the point at 0 is left out
    (level,) = [a for tag, a in found if a.get("class") == "level"]
    assert x1 < x2
    assert y1 < float(str(level["y1"])) < y2
    assert float(str(level["y1"])) == pytest.approx((y1 + y2) / 2, abs=0.1)  # 2 lies half-way between 1 and 4
    assert curves([Line("a", "held", [])], [("other", 2.0)], "x", "y") == ""


@example(low=879609.9999999999, span=1e-6, wanted=5)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 10))
def test_ticks_are_few_round_and_inside(low: float, span: float, wanted: int) -> None:
    found = ticks(low, low + span, wanted)
    assert len(found) <= wanted + 1
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in found)


@given(st.lists(st.floats(1e-3, 1e12), min_size=1, max_size=5), st.booleans())
def test_scale_holds_its_values(values: list[float], log: bool) -> None:
    scale = Scale.around(values, log=log)
    assert all(0 < scale.percent(value) < 100 for value in values)
    assert len(scale.ticks()) < 40


def test_funnel_is_as_wide_as_its_amounts() -> None:
    picture = pictures.funnel([("in", 200, "200"), ("out", 50, "50"), ("none", 0, "0")], "f")
    widths = [float(str(a["width"])) for tag, a in Page(picture).elements if tag == "rect"]
    assert widths[:2] == [100.0, 25.0]
    assert widths[2] < 1


def test_what_serves_without_a_figure_says_why() -> None:
    row = Row("BM25", "candidate", {}, serves=True)
    table = Table("search", "Search", "nDCG@10 and recall@100", "nDCG or recall", True, ["known items nDCG@10"], [row])
    table = replace(table, sentence="BM25 serves by default: the corpus gave too few questions.")
    assert Page(what_serves([table])).text.strip() == f"Search: BM25 . {table.sentence}"
    assert "beside it" not in what_serves([table])


def test_a_table_that_only_compares_says_nothing_of_serving() -> None:
    rows = [replace(row, serves=False) for row in generation().rows]
    assert "none" in what_serves([replace(generation(), rows=rows)])
    assert "<li>" not in what_serves([replace(generation(), id="ways", rows=rows)])


def test_figure_of_too_few_is_a_dot_without_an_interval() -> None:
    row = Row("a", "candidate", {"x": Estimate(0.5, 0.5, 0.5, 1)}, serves=True)
    html = verdict(Table("t", "T", "m", "u", True, ["x"], [row]))
    assert "too few for an interval" in Page(html).text
    assert "0.500 to 0.500" not in html
    assert html.count("<circle") == 1


@pytest.mark.parametrize("values", [[5.183520599, 5.19, 5.2, 5.21], [1.0, 1.001, 1.002], [2.0, 2.1, 5.0, 0.8], [9.0]])
def test_names_of_levels_are_rounded_apart_and_inside(values: list[float]) -> None:
    levels = [(f"level {i}", value) for i, value in enumerate(values)]
    found = Page(curves([Line("a", "held", [(10, 4.0), (1000, 1.0)])], levels, "x", "y"))
    heights = sorted(float(str(a["y"])) for tag, a in found.elements if tag == "text" and a.get("class") == "name")
    assert len(heights) == len(values)
    assert all(10 <= height <= 280 for height in heights)
    assert all(below - above >= 14.9 for above, below in pairwise(heights))
    for name, value in levels:
        assert f"{name} {value:.3f}" in found.text
    assert "5.1835" not in found.text
