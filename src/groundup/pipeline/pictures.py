"""The report's pictures as inline SVG: whiskers, bars, grouped bars, the funnel, curves.

Positions are percentages and heights pixels, so a picture fits any width while its letters keep their size. Colours are
classes of report.css, so that light, dark and paper each have their own. Every text goes through `escape`: it may come
from the corpus.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LABEL_HEIGHT = 15  # pixels that a line of letters takes in a picture
PLOT_HEIGHT = 300
GROUPS_HEIGHT = 190
LOG_STEPS = (
    (15.0, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)),
    (100.0, (1.0, 2.0, 5.0)),
    (1e4, (1.0, 3.0)),
    (math.inf, (1.0,)),
)
MOST_DOTS = 30  # a curve of more points shows its line alone
# Controls that reorder text ("Trojan source"): in a report, a file name has to read as it is.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def escape(text: object) -> str:
    """Text as HTML, fit for content and attributes. Controls, surrogates and bidirectional marks become U+FFFD."""
    kept = (
        "\ufffd" if c in _REORDERING or (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t") else c
        for c in str(text)
    )
    return html.escape("".join(kept), quote=True)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between low and high, about as many as wanted: steps of 1, 2 or 5 times a power of ten."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, wanted)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    found = (round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1))
    return [min(max(value, low), high) for value in found]  # i × step can miss an end by the last bit


@dataclass(frozen=True)
class Scale:
    """Values to percent of a picture's width or height, on a line or, with `log`, by their logarithm."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Sequence[float], margin: float = 0.05, log: bool = False) -> Scale:
        """Holds all values with a margin on both sides. There has to be one; for `log`, all above zero."""
        low, high = min(values), max(values)
        same = high - low <= 1e-9 * max(abs(low), abs(high))  # a scale this fine would drown in rounding
        if log:
            room = 1.2 if same else (high / low) ** margin
            return cls(low / room, high * room, log)
        room = abs(high) * margin or 1.0 if same else (high - low) * margin
        return cls(low - room, high + room)

    def percent(self, value: float) -> float:
        low, high, value = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return 100 * (value - low) / (high - low)

    def ticks(self, wanted: int = 5) -> list[float]:
        if not self.log or self.high / self.low < 3:
            return ticks(self.low, self.high, wanted)
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = next(steps for most, steps in LOG_STEPS if self.high / self.low < most)
        return [
            v for v in (factor * 10.0**decade for decade in decades for factor in steps) if self.low <= v <= self.high
        ]


def whisker(value: float, low: float | None, high: float | None, scale: Scale, kind: str) -> str:
    """One row of a whisker plot: a line over the interval with ends, a dot at the value, faint lines at the ticks.

    low, high: None for a figure that rests on too few to have an interval: it is a dot alone.
    """
    grid = "".join(f'<line class="grid" x1="{x}" x2="{x}" y1="0" y2="100%"/>' for x in map(_at(scale), scale.ticks()))
    dot = f'<circle cx="{_at(scale)(value)}" cy="12" r="4.5"/>'
    if low is None or high is None:
        return svg("whisker", 24, f'{grid}<g class="mark {kind}">{dot}</g>', f"{value:.4g}, no interval")
    left, right = (_at(scale)(v) for v in (low, high))
    ends = "".join(f'<line x1="{x}" x2="{x}" y1="7" y2="17"/>' for x in (left, right))
    mark = f'<line x1="{left}" x2="{right}" y1="12" y2="12"/>{ends}{dot}'
    name = f"{value:.4g}, interval {low:.4g} to {high:.4g}"
    return svg("whisker", 24, f'{grid}<g class="mark {kind}">{mark}</g>', name)


def axis(scale: Scale, unit: str) -> str:
    """The ticks' figures, to stand under whiskers of the same scale."""
    labels = _spread([(scale.percent(v), number(v)) for v in scale.ticks()], apart=9)
    texts = "".join(f'<text x="{at:.2f}%" y="12" text-anchor="middle">{text}</text>' for at, text in labels)
    return svg("axis", 16, texts, f"scale in {unit}")


def bar(value: float, largest: float, kind: str = "") -> str:
    """A horizontal bar, its length the share of the largest."""
    width = 100 * value / largest if largest > 0 else 0.0
    return svg("bar", 12, f'<rect class="fill {kind}" width="{width:.2f}%" height="12" rx="2"/>')


def groups(columns: Sequence[tuple[str, Sequence[tuple[str, float]]]], name: str) -> str:
    """Bars that stand side by side: columns (label, bars as (class, height)), all on one scale from zero."""
    largest = max((value for _, bars in columns for _, value in bars), default=0.0) or 1.0
    scale, floor = Scale(0.0, 1.05 * largest), GROUPS_HEIGHT - 20
    parts = []
    for value in scale.ticks(4):
        at = floor * (1 - scale.percent(value) / 100)
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="2" y="{at - 3:.1f}">{number(value)}</text>')
    left, room = 6.0, 94.0 / max(1, len(columns))  # percent; the scale's figures stand at the left
    for index, (label, bars) in enumerate(columns):
        start, width = left + room * (index + 0.1), 0.8 * room / max(1, len(bars))
        for place, (kind, value) in enumerate(bars):
            height = floor * scale.percent(value) / 100
            box = f'x="{start + place * width:.2f}%" width="{0.88 * width:.2f}%" y="{floor - height:.1f}"'
            parts.append(f'<rect class="fill {kind}" {box} height="{height:.1f}"/>')
        middle = left + room * (index + 0.5)
        parts.append(f'<text x="{middle:.2f}%" y="{GROUPS_HEIGHT - 5}" text-anchor="middle">{escape(label)}</text>')
    parts.append(f'<line class="rule" x1="0" x2="100%" y1="{floor}" y2="{floor}"/>')
    return svg("groups", GROUPS_HEIGHT, "".join(parts), name)


def funnel(levels: Sequence[tuple[str, float, str]], name: str) -> str:
    """Levels (label, amount, amount in words) from the top down: bars as wide as their amounts, each flowing on."""
    largest = max((amount for _, amount, _ in levels), default=0.0) or 1.0
    row, thick = 58, 24
    shapes, texts = [], []
    for index, (label, amount, words) in enumerate(levels):
        top, half = index * row + 22, max(50 * amount / largest, 0.15)
        box = f'x="{50 - half:.2f}" y="{top}" width="{2 * half:.2f}" height="{thick}"'
        shapes.append(f'<rect class="fill" {box}/>')
        if index + 1 < len(levels):
            below = max(50 * levels[index + 1][1] / largest, 0.15)
            upper, lower = top + thick, top + row
            corners = [(50 - half, upper), (50 + half, upper), (50 + below, lower), (50 - below, lower)]
            shapes.append(f'<polygon class="flow" points="{_points(corners)}"/>')
        texts.append(f'<text x="0" y="{top - 7}">{escape(label)}</text>')
        texts.append(f'<text class="figure" x="100%" y="{top - 7}" text-anchor="end">{escape(words)}</text>')
    height = max(1, len(levels) * row - (row - thick - 22))
    return svg("funnel", height, stretched(height, "".join(shapes)) + "".join(texts), name)


@dataclass(frozen=True)
class Line:
    """One curve: points (x, y), drawn with the class `kind` of report.css."""

    name: str
    kind: str
    points: Sequence[tuple[float, float]]


def curves(lines: Sequence[Line], levels: Sequence[tuple[str, float]], x_words: str, y_words: str) -> str:
    """Curves over a logarithmic x, with horizontal dashed lines for `levels` (name, y); both axes by logarithm.

    Points at or below zero can't be drawn and are left out; nothing is drawn without a point.
    """
    drawn = [Line(line.name, line.kind, [(x, y) for x, y in line.points if x > 0 and y > 0]) for line in lines]
    drawn = [line for line in drawn if line.points]
    levels = [(name, y) for name, y in levels if y > 0]
    if not drawn:
        return ""
    x_scale = Scale.around([x for line in drawn for x, _ in line.points], 0.04, log=True)
    y_scale = Scale.around([y for line in drawn for _, y in line.points] + [y for _, y in levels], 0.08, log=True)
    parts = []
    for y in y_scale.ticks(6):
        at = _y(y_scale, y)
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="2" y="{at - 3:.1f}">{number(y)}</text>')
    bottom = PLOT_HEIGHT - 20
    parts.append(f'<line class="rule" x1="0" x2="100%" y1="{bottom}" y2="{bottom}"/>')
    for at, text in _spread([(x_scale.percent(x), short(x)) for x in x_scale.ticks()], apart=11):
        anchor = "start" if at < 5 else "end" if at > 95 else "middle"
        parts.append(f'<text x="{at:.2f}%" y="{PLOT_HEIGHT - 6}" text-anchor="{anchor}">{text}</text>')
    labels = []
    for name, y in levels:
        at = _y(y_scale, y)
        parts.append(f'<line class="level" x1="0" x2="100%" y1="{at:.1f}" y2="{at:.1f}"/>')
        labels.append((at - 4, f"{name} {rounded(y)}"))
    for at, text in _stacked(labels, LABEL_HEIGHT, bottom - 4):
        parts.append(f'<text class="name" x="99.5%" y="{at:.1f}" text-anchor="end">{escape(text)}</text>')
    paths = []
    for line in drawn:
        spots = [(x_scale.percent(x), _y(y_scale, y)) for x, y in line.points]
        paths.append(f'<polyline class="{line.kind}" points="{_points(spots)}"/>')
        if len(spots) <= MOST_DOTS:
            parts += [f'<circle class="{line.kind}" cx="{x:.2f}%" cy="{y:.1f}" r="2.6"/>' for x, y in spots]
    content = "".join(parts) + stretched(PLOT_HEIGHT, "".join(paths))
    return svg("plot", PLOT_HEIGHT, content, f"{y_words} against {x_words}")


def svg(kind: str, height: int, content: str, name: str = "") -> str:
    """A picture as wide as its place; `name` is what a screen reader says, without one it is decoration."""
    role = f'role="img" aria-label="{escape(name)}"' if name else 'aria-hidden="true"'
    return f'<svg class="{kind}" {role} height="{height}">{content}</svg>'


def stretched(height: int, shapes: str) -> str:
    """Shapes whose x runs from 0 to 100 over the whole width: SVG takes no percentages in points."""
    box = f'width="100%" height="{height}" viewBox="0 0 100 {height}" preserveAspectRatio="none"'
    return f"<svg {box}>{shapes}</svg>"


def number(value: float) -> str:
    """A tick's figure: no more digits than it needs."""
    return f"{value:,.10g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.0e}"


def rounded(value: float) -> str:
    """A measured figure as the tables have it: three decimals below ten, then one."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"


def short(value: float) -> str:
    """100,000 as 100 k, 2,000,000 as 2 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _at(scale: Scale) -> Callable[[float], str]:
    return lambda value: f"{scale.percent(value):.2f}%"


def _points(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.2f},{y:.1f}" for x, y in corners)


def _y(scale: Scale, value: float) -> float:
    """Pixels from the top of a plot; the lowest 20 belong to the figures of x."""
    return (PLOT_HEIGHT - 20) * (1 - scale.percent(value) / 100)


def _spread(labels: Sequence[tuple[float, str]], apart: float) -> list[tuple[float, str]]:
    """Labels in order of place; those nearer than `apart` to the one before are moved on (levels) as far as needed."""
    result: list[tuple[float, str]] = []
    for at, text in labels:
        result.append((max(at, result[-1][0] + apart) if result else at, text))
    return result


def _stacked(labels: Sequence[tuple[float, str]], apart: float, bottom: float) -> list[tuple[float, str]]:
    """Labels from the top down, each at its place or as far above it as those below need, and all within the picture.

    Those that would leave it at the top are moved down again; only more labels than fit come to lie closer.
    """
    apart = min(apart, (bottom - apart) / max(1, len(labels) - 1))
    upwards = _spread([(-min(at, bottom), text) for at, text in sorted(labels, reverse=True)], apart)
    highest = LABEL_HEIGHT - 3.0
    return _spread([(max(-at, highest), text) for at, text in reversed(upwards)], apart)
