"""What a loss curve says about more tokens: a straight line over log2(tokens), fitted to the curve's end.

Loss falls as a power of tokens towards a floor (Kaplan et al. 2020, Hoffmann et al. 2022), so over log2(tokens) the
line through the end of a curve is steeper than all that follows. What it says is needed is therefore a lower bound,
and learning-rate decay, which bends the end of a curve down, makes it lower still.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

END_SHARE = 1 / 4  # points from a quarter of the last token count on, two doublings, are the curve's end
MIN_POINTS = 3
MIN_DOUBLINGS = 1.0


@dataclass(frozen=True)
class Slope:
    """Bits per byte per doubling of tokens, negative where the curve falls, and where it was fitted."""

    per_doubling: float
    first_tokens: int
    last_tokens: int
    points: int


def fit_slope(curve: Sequence[tuple[int, float]]) -> Slope | None:
    """Least squares over the curve's end; None below MIN_POINTS there, or if they span less than MIN_DOUBLINGS."""
    points = [(tokens, value) for tokens, value in curve if tokens > 0 and math.isfinite(value)]
    if not points:
        return None
    last = max(tokens for tokens, _ in points)
    end = sorted(point for point in points if point[0] >= END_SHARE * last)
    if len(end) < MIN_POINTS or math.log2(last / end[0][0]) < MIN_DOUBLINGS:
        return None
    x = np.log2([tokens for tokens, _ in end])
    y = np.array([value for _, value in end])
    x_centred = x - x.mean()
    return Slope(float(x_centred @ y / (x_centred @ x_centred)), end[0][0], last, len(end))


def tokens_needed(tokens: int, value: float, goal: float, slope: Slope) -> float:
    """Tokens at which a model that has `value` after `tokens` would have `goal`, on a falling line. May be infinite."""
    if slope.per_doubling >= 0:
        raise ValueError("the curve does not fall")
    doublings = max(0.0, (value - goal) / -slope.per_doubling)
    return tokens * 2.0**doublings if doublings < 1000 else math.inf
