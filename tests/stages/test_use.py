from __future__ import annotations

from groundup.serving.results import Citation, Extract, Quote
from groundup.stages.use import Answered

PASSAGE = "class A:\n    def f(self):\n        if self:\n            return 1\n\n    def g(self): ..."


def shown(start: int, end: int) -> str:
    quote = Quote(PASSAGE[start:end], 1, 1.0, start, end)
    citation = Citation(1, "c", "a.py", 1, "a.A", PASSAGE, "class")
    return Answered("?", Extract([quote], [citation]), None, None).text()


def test_quoted_code_keeps_its_shape_but_not_its_depth() -> None:
    start, end = PASSAGE.index("def f"), PASSAGE.index("\n\n")
    assert shown(start, end).startswith("  def f(self):\n      if self:\n          return 1  [1]\n")


def test_a_quote_from_the_middle_of_a_line_stays_as_it_is() -> None:
    start, end = PASSAGE.index("self:"), PASSAGE.index("\n\n")
    assert shown(start, end).startswith("  self:\n              return 1  [1]\n")


def test_a_quote_of_one_line() -> None:
    start = PASSAGE.index("def g")
    assert shown(start, len(PASSAGE)).startswith("  def g(self): ...  [1]\n")
