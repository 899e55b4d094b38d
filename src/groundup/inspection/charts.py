"""Curves over the layers, as inline SVG that fits any width: x in percent, letters in pixels."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from groundup.inspection.figures import figure

HEIGHT = 230  # pixels
FOOT = 20  # of them for the figures under the curves
LEFT, RIGHT = 8.0, 98.5  # percent between which the layers stand
LEAST = 1e-30  # smaller ones are drawn there: a gradient that underflowed still has a place


@dataclass(frozen=True)
class Curve:
    """values: one a layer; where one isn't finite, a gap. start: the first's layer, -1 for the embedding.

    kind: its CSS class.
    """

    name: str
    kind: str
    values: Sequence[float]
    start: int = 0


def chart(curves: Sequence[Curve], name: str, *, log: bool) -> str:
    """The curves over one axis, with a legend above if they are several; "" if there is no finite number."""
    drawn = [number for curve in curves for number in curve.values if math.isfinite(number)]
    drawn = [max(number, LEAST) for number in drawn] if log else drawn
    if not drawn:
        return ""
    low, high = _decades(min(drawn), max(drawn)) if log else (0.0, max([*drawn, 1e-9]) * 1.06)
    first = min(curve.start for curve in curves)
    last = max(curve.start + len(curve.values) - 1 for curve in curves)

    def x(layer: int) -> float:
        return LEFT + (RIGHT - LEFT) * ((layer - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        part = (math.log(max(value, LEAST) / low) / math.log(high / low)) if log else (value - low) / (high - low)
        return (HEIGHT - FOOT) * (1 - part)

    parts = []
    for tick in _log_ticks(low, high) if log else _ticks(high):
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        if y(tick) > 12:
            parts.append(f'<text x="0" y="{y(tick) - 3:.1f}">{figure(tick)}</text>')
    for layer in _labelled(first, last):
        anchor = "end" if layer == last and last > first else "middle"
        said = "emb" if layer < 0 else str(layer)
        parts.append(f'<text x="{x(layer):.2f}%" y="{HEIGHT - 5}" text-anchor="{anchor}">{said}</text>')
    paths = []
    for curve in curves:
        spots = [(x(curve.start + i), y(v)) if math.isfinite(v) else None for i, v in enumerate(curve.values)]
        paths += [f'<polyline class="{curve.kind}" points="{points}"/>' for points in _runs(spots)]
        parts += [
            f'<circle class="{curve.kind}" cx="{spot[0]:.2f}%" cy="{spot[1]:.1f}" r="2.4">'
            f"<title>{html.escape(curve.name)}, {_layer(curve.start + i)}: {figure(curve.values[i])}</title></circle>"
            for i, spot in enumerate(spots) if spot is not None
        ]  # fmt: skip
    box = f'width="100%" height="{HEIGHT}" viewBox="0 0 100 {HEIGHT}" preserveAspectRatio="none"'
    picture = (
        f'<svg class="plot" role="img" aria-label="{html.escape(name)}" height="{HEIGHT}">'
        f"<svg {box}>{''.join(paths)}</svg>{''.join(parts)}</svg>"
    )
    keys = "".join(
        f'<span><svg class="key" height="8" aria-hidden="true"><line class="{curve.kind}" x2="22" y1="4" y2="4"/></svg>'
        f"{html.escape(curve.name)}</span>" for curve in curves
    )  # fmt: skip
    return (f'<div class="legend">{keys}</div>' if len(curves) > 1 else "") + picture


def _layer(layer: int) -> str:
    return "embedding" if layer < 0 else f"layer {layer}"


def _decades(low: float, high: float) -> tuple[float, float]:
    """Bounds with room around, at least a factor 10 apart."""
    room = max((high / low) ** 0.06, math.sqrt(10 / (high / low)) if high / low < 10 else 1.0)
    return low / room, high * room


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    every = max(1, math.ceil(len(decades) / 7))
    return [s * 10.0**d for d in decades if d % every == 0 for s in steps if low <= s * 10.0**d <= high]


def _ticks(high: float) -> list[float]:
    power = 10.0 ** math.floor(math.log10(high / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= high / 5)
    return [step * i for i in range(math.floor(high / step) + 1)]


def _labelled(first: int, last: int) -> list[int]:
    """Layers that have room for their number, the ends among them."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if (last - first) / step <= 10)
    inner = [layer for layer in range(0, last, step) if layer - first >= step or layer == first]
    return [first, *(layer for layer in inner if layer != first and last - layer >= 0.6 * step), last][
        : None if last > first else 1
    ]


def _runs(spots: Sequence[tuple[float, float] | None]) -> list[str]:
    """Points of each unbroken run."""
    runs: list[list[str]] = [[]]
    for spot in spots:
        if spot is None:
            runs.append([])
        else:
            runs[-1].append(f"{spot[0]:.2f},{spot[1]:.1f}")
    return [" ".join(run) for run in runs if len(run) > 1]
