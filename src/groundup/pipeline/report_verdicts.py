"""The report's first part: a card per verdict, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence

from groundup.evaluation.verdict import (
    Row,
    Table,
    format_comparison,
    format_estimate,
    format_seen,
    format_value,
    nearest_rival,
)
from groundup.pipeline.pictures import Scale, axis, escape, whisker

CHOOSING = ("generation", "search", "answers")  # tables that choose what serves; others only compare


def verdict(table: Table) -> str:
    """Title, sentence, a whisker plot per column on one scale, notes, comparisons, warnings."""
    direction = "higher is better" if table.higher_is_better else "lower is better"
    head = (
        f'<h3 id="verdict-{escape(table.id)}">{escape(table.title)}</h3>'
        f'<p class="soft small">{escape(table.metric)} ({escape(table.unit)}); {direction}; '
        "lines are 95 % intervals over documents or questions</p>"
    )
    sentence = "".join(f'<p class="sentence">{escape(part)}</p>' for part in table.sentence.splitlines())
    columns = "".join(_column(table, name) for name in table.columns)
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    notes += "".join(f"<li>{escape(row.name)}: {escape(row.note)}</li>" for row in table.rows if row.note)
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in table.warnings)
    return (
        f'<section class="card">{head}{sentence}{columns}'
        + (f'<ul class="plain small soft">{notes}</ul>' if notes else "")
        + (f'<div class="warning small"><ul>{warnings}</ul></div>' if warnings else "")
        + _comparisons(table)
        + "</section>"
    )


def what_serves(tables: Sequence[Table], completes: str = "") -> str:
    """What completes, by the release's policy; then one line for each table with a champion: which, its figure, and how
    it stands to the candidate next to it."""
    if not tables:
        return ""
    lines = [f"<li><b>{escape(completes)}</b> completes.</li>"] if completes else []
    for table in tables:
        champion = table.champion
        if champion is None and table.id not in CHOOSING:
            continue
        if champion is None:
            lines.append(f"<li>{escape(table.title)}: <b>none</b>. No row of this table serves.</li>")
            continue
        column = next((name for name in table.columns if name in champion.values), "")
        if not column:
            why = table.sentence or "Nothing was measured."
            lines.append(f"<li>{escape(table.title)}: <b>{escape(champion.name)}</b>. {escape(why)}</li>")
            continue
        figure = f"{escape(format_estimate(champion.values.get(column)))} {escape(table.unit)}, {escape(column)}"
        rival = nearest_rival(table, column)
        why = escape(format_comparison(rival, table)) if rival else "no other candidate was measured beside it"
        lines.append(f"<li>{escape(table.title)}: <b>{escape(champion.name)}</b>, {figure}.<br>")
        lines.append(f'<span class="soft">{why}.</span></li>')
    return f'<ul class="plain">{"".join(lines)}</ul>'


def _column(table: Table, name: str) -> str:
    """One whisker plot. All columns of a table share a scale, so that the eye may compare them."""
    ends = [end for row in table.rows for e in row.values.values() for end in (e.value, e.low, e.high)]
    if not any(name in row.values for row in table.rows):
        return f'<div><h4>{escape(name)}</h4><p class="missing">Nothing was measured.</p></div>'
    scale = Scale.around(ends)
    counted = sorted({row.values[name].n for row in table.rows if name in row.values})
    sizes = f"{counted[0]:,}" if len(counted) == 1 else f"{counted[0]:,} to {counted[-1]:,}"
    rows = "".join(_row(row, name, scale) for row in table.rows)
    seen = f"; {format_seen(table.seen[name])} of its word 12-grams seen in training" if name in table.seen else ""
    head = f'<h4>{escape(name)} <span class="soft small">n = {sizes}{seen}</span></h4>'
    foot = f'<div class="row"><span></span><span class="picture">{axis(scale, table.unit)}</span><span></span></div>'
    return f'<div>{head}<div class="whiskers">{rows}{foot}</div></div>'


def _row(row: Row, column: str, scale: Scale) -> str:
    kind = "serves" if row.serves else row.role
    badge = "serves" if row.serves else "baseline" if row.role == "baseline" else ""
    mark = f' <span class="badge {badge}">{badge}</span>' if badge else ""
    name = f'<span class="name">{escape(row.name)}{mark}</span>'
    found = row.values.get(column)
    picture, figure = '<span class="missing">not measured</span>', "–"
    if found is not None:
        if found.has_interval:
            interval = f"{format_value(found.low)} to {format_value(found.high)}"
            picture = whisker(found.value, found.low, found.high, scale, kind)
        else:
            interval, picture = "too few for an interval", whisker(found.value, None, None, scale, kind)
        figure = f'<b>{format_value(found.value)}</b> <span class="soft small">{interval}</span>'
    return f'<div class="row">{name}<span class="picture">{picture}</span><span class="value">{figure}</span></div>'


def _comparisons(table: Table) -> str:
    if not table.comparisons:
        return ""
    lines = "".join(f"<li>{escape(format_comparison(comparison, table))}</li>" for comparison in table.comparisons)
    return (
        "<details><summary>Paired comparisons: the same documents or questions resampled together; difference with "
        f'its 95 % interval</summary><ul class="plain small">{lines}</ul></details>'
    )
