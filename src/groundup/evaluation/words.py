"""Figures in words, for sentences made from numbers."""

from __future__ import annotations

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86400, 365.25 * 86400


def count(number: float) -> str:
    """950, 12 k, 1.1 M, 3.4 G: two or three digits and a unit."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= 0.9995 * size:
            scaled = number / size
            return f"{scaled:.1f}{unit}" if scaled < 9.95 else f"{scaled:,.0f}{unit}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """45 seconds, 4.0 minutes, 2.8 hours, 3 days, 12 years; beyond a thousand years just that."""
    if seconds < 0.9995 * MINUTE:
        return f"{seconds:.0f} second" + ("" if round(seconds) == 1 else "s")
    for size, unit, limit in ((MINUTE, "minutes", 90 * MINUTE), (HOUR, "hours", 2 * DAY), (DAY, "days", 2 * YEAR)):
        if seconds < limit:
            scaled = seconds / size
            return f"{scaled:.1f} {unit}" if scaled < 9.95 else f"{scaled:,.0f} {unit}"
    years = seconds / YEAR
    return f"{years:,.0f} years" if years < 1000 else "over a thousand years"


def times(factor: float) -> str:
    """1.4 times, 40 times, 12,000 times; beyond a million just that."""
    if factor >= 1e6:
        return "over a million times"
    if factor >= 99.5:
        magnitude = 10 ** (len(str(int(factor))) - 2)
        return f"{round(factor / magnitude) * magnitude:,} times"
    return f"{factor:.1f} times" if factor < 9.95 else f"{factor:.0f} times"
