"""Numbers as a person writes them, and that reading them gives the number back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.inspection.figures import RAISED, figure


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"), (1, "1"), (10, "10"), (0.5, "0.5"), (12.345, "12.3"), (1234.5, "1,230"), (0.00012345, "0.000123"),
        (1e-5, "10⁻⁵"), (1.234e-10, "1.23 × 10⁻¹⁰"), (12_345_678, "1.23 × 10⁷"), (-0.25, "-0.25"), (999.9, "1,000"),
        (float("inf"), "∞"), (float("nan"), "not finite"), (1e-30, "10⁻³⁰"),
    ],
)  # fmt: skip
def test_figures_are_written(value: float, written: str) -> None:
    assert figure(value) == written


@given(st.floats(min_value=1e-40, max_value=1e40))
def test_figures_read_back_to_three_digits(value: float) -> None:
    written = figure(value)
    lowered = {chr(raised): chr(digit) for digit, raised in RAISED.items()}
    power = re.fullmatch(f"(?:(.+) × )?10([{''.join(lowered)}]+)", written)
    if power is None:
        found = float(written.replace(",", ""))
    else:
        found = float(power[1] or 1) * 10.0 ** int("".join(lowered[sign] for sign in power[2]))
    assert found == pytest.approx(value, rel=5.1e-3)
