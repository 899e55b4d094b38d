"""Numbers as a person writes them."""

from __future__ import annotations

import math

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def figure(value: float, digits: int = 3) -> str:
    """`digits` significant ones: 0.000123 and 12,300; below a ten-thousandth and from ten millions on 1.2 × 10⁻⁷."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "∞" if value > 0 else "−∞" if value < 0 else "not finite"
    power = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if -4 <= power < 7:
        written = f"{value:,.{max(0, digits - 1 - power)}f}" if power < digits else f"{_rounded(value, digits):,.0f}"
        return written.rstrip("0").rstrip(".") if "." in written else written
    factor = f"{value / 10.0**power:.{digits - 1}f}".rstrip("0").rstrip(".")
    return (
        f"{factor} × " if factor not in ("1", "-1") else factor.removesuffix("1")
    ) + f"10{str(power).translate(RAISED)}"


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")
