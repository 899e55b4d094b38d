"""The report's first part: a card per verdict, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence

from groundup.evaluation.verdict import Comparison, Row, Table, format_comparison, format_estimate, format_value
from groundup.pipeline.pictures import Scale, axis, escape, whisker


def verdict(table: Table) -> str:
    """Title, sentence, a whisker plot per column on one scale, notes, comparisons, warnings."""
    direction = "higher is better" if table.higher_is_better else "lower is better"
    head = (
        f'<h3 id="verdict-{escape(table.id)}">{escape(table.title)}</h3>'
        f'<p class="soft small">{escape(table.metric)} ({escape(table.unit)}); {direction}; '
        "lines are 95 % intervals over documents or questions</p>"
    )
    sentence = f'<p class="sentence">{escape(table.sentence)}</p>' if table.sentence else ""
    columns = "".join(_column(table, name) for name in table.columns)
    notes = "".join(f"<li>{escape(row.name)}: {escape(row.note)}</li>" for row in table.rows if row.note)
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in table.warnings)
    return (
        f'<section class="card">{head}{sentence}{columns}'
        + (f'<ul class="plain small soft">{notes}</ul>' if notes else "")
        + (f'<div class="warning small"><ul>{warnings}</ul></div>' if warnings else "")
        + _comparisons(table)
        + "</section>"
    )


def what_serves(tables: Sequence[Table]) -> str:
    """One line for each table with a champion: which, its figure, and how it stands to the candidate next to it."""
    lines = []
    for table in tables:
        champion = table.champion
        if champion is None:
            lines.append(f"<li>{escape(table.title)}: <b>none</b>. No row of this table serves.</li>")
            continue
        column = next((name for name in table.columns if name in champion.values), "")
        if not column:
            why = table.sentence or "Nothing was measured."
            lines.append(f"<li>{escape(table.title)}: <b>{escape(champion.name)}</b>. {escape(why)}</li>")
            continue
        figure = f"{escape(format_estimate(champion.values.get(column)))} {escape(table.unit)}, {escape(column)}"
        rival = _nearest(table, champion, column)
        why = escape(format_comparison(rival, table)) if rival else "no other candidate was measured beside it"
        lines.append(f"<li>{escape(table.title)}: <b>{escape(champion.name)}</b>, {figure}.<br>")
        lines.append(f'<span class="soft">{why}.</span></li>')
    return f'<ul class="plain">{"".join(lines)}</ul>'


def _nearest(table: Table, champion: Row, column: str) -> Comparison | None:
    """The comparison with the candidate whose figure is closest, in the column that the figure is of."""
    candidates = {row.name for row in table.rows if row.role == "candidate"} - {champion.name}
    pairs = [c for c in table.comparisons if c.column == column and champion.name in (c.better, c.worse)]
    rivals = [c for c in pairs if candidates & {c.better, c.worse}]
    return min(rivals or pairs, key=lambda c: abs(c.difference.value), default=None)


def _column(table: Table, name: str) -> str:
    """One whisker plot. All columns of a table share a scale, so that the eye may compare them."""
    ends = [end for row in table.rows for e in row.values.values() for end in (e.value, e.low, e.high)]
    if not any(name in row.values for row in table.rows):
        return f'<div><h4>{escape(name)}</h4><p class="missing">Nothing was measured.</p></div>'
    scale = Scale.around(ends)
    counted = sorted({row.values[name].n for row in table.rows if name in row.values})
    sizes = f"{counted[0]:,}" if len(counted) == 1 else f"{counted[0]:,} to {counted[-1]:,}"
    rows = "".join(_row(row, name, scale) for row in table.rows)
    head = f'<h4>{escape(name)} <span class="soft small">n = {sizes}</span></h4>'
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
