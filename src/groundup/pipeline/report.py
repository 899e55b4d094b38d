"""The report: one HTML file that needs nothing beside it, made when a run ends and when it stops half-way.

No script, no link outside, and a content security policy that would refuse both, because much of the text comes from
the corpus. A part that the run did not reach is said to be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from groundup.evaluation.verdict import Table
from groundup.evaluation.words import count, duration
from groundup.pipeline.files import write_atomically
from groundup.pipeline.pictures import Line, bar, curves, escape, funnel, svg
from groundup.pipeline.report_memory import memory
from groundup.pipeline.report_verdicts import verdict, what_serves
from groundup.pipeline.summary import CurvePoint, FunnelRow, RunSummary
from groundup.pipeline.tables import table

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
EXAMPLE_CHARACTERS = 160
SAMPLE_CHARACTERS = 2000
NOT_RUN = ("waiting", "skipped", "blocked")


def write_report(summary: RunSummary, path: Path) -> None:
    """Writes `render(summary)` to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, render(summary))


def render(summary: RunSummary) -> str:
    """The whole page. Each part is one function below, in the order of the page."""
    style = files("groundup.pipeline").joinpath("report.css").read_text(encoding="utf-8")
    parts = [
        ("verdict", "Verdict", _verdicts(summary)),
        ("serves", "What serves, and why", what_serves(summary.verdicts, summary.completes)),
        ("memory", "Memory", memory(summary.memory, summary.completes)),
        ("warnings", "Warnings", _warnings(summary)),
        ("funnel", "From files to corpus", _funnel(summary)),
        ("curves", "Training", _curves(summary)),
        ("samples", "Samples", _samples(summary)),
        ("plan", "Plan", _plan(summary)),
        ("steps", "Time and memory", _steps(summary)),
        ("freshness", "Freshness", _freshness(summary)),
        ("machine", "Machine", _machine(summary)),
        ("next", "Next", _next(summary)),
    ]
    made = [part for part in parts if part[2]]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in made)
    body = "".join(f'<h2 id="{name}">{title}</h2>{content}' for name, title, content in made)
    missing = _missing(summary, [title for _, title, content in parts if not content])
    title = (
        "groundup: this run stopped half-way" if summary.failure else "groundup: what was made, and what it is worth"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>\n<body>"
        f"<header><h1>{title}</h1>{_started(summary)}{_failure(summary)}{missing}{_tiles(summary)}<nav>{links}</nav></header>"
        f"\n<main>{body}</main>{_footer(summary)}</body></html>\n"
    )


def _missing(summary: RunSummary, titles: Sequence[str]) -> str:
    """Which parts of the report there is nothing to say in, and why."""
    if not titles:
        return ""
    why = f"the run stopped in “{escape(summary.failure.step)}”" if summary.failure else "this run made none of it"
    return f'<p class="missing">Not in this report, because {why}: {"; ".join(titles)}.</p>'


def _started(summary: RunSummary) -> str:
    said = [f"<code>{escape(summary.command)}</code>"] if summary.command else []
    try:
        when = f"{datetime.fromisoformat(summary.started):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        when = summary.started
    said += [f"started {escape(when)},"] if when else []
    return f'<p class="soft">{" ".join([*said, "took", duration(summary.seconds)])}</p>'


def _failure(summary: RunSummary) -> str:
    if summary.failure is None:
        return ""
    mend = f"<p><b>Mend:</b> {escape(summary.failure.mend)}</p>" if summary.failure.mend else ""
    return (
        f'<section class="failure" role="alert"><h2>Step “{escape(summary.failure.step)}” failed</h2>'
        f"<pre>{escape(summary.failure.error)}</pre>{mend}"
        '<p class="small">What was finished before it is kept; the next run goes on from there.</p></section>'
    )


def _tiles(summary: RunSummary) -> str:
    """The figures that most people come for; those that are not known are left out."""
    serving = {table.title: table.champion.name for table in summary.verdicts if table.champion is not None}
    tiles = [("Completes", summary.completes)] if summary.completes else []
    tiles += [(f"{title}: serves", name) for title, name in serving.items() if name != summary.completes]
    if summary.documents_out is not None:
        tiles.append(("Corpus", f"{summary.documents_out:,} documents, {_size(summary.bytes_out or 0)}"))
    if summary.coverage is not None:
        share = f", {_share(summary.coverage.dense, summary.coverage.chunks)} dense" if summary.coverage.chunks else ""
        tiles.append(("Index", f"{summary.coverage.chunks:,} chunks{share}"))
    if summary.peak_memory_bytes is not None:
        tiles.append(("Peak memory", _size(summary.peak_memory_bytes)))
    if summary.release:
        tiles.append(("Release", summary.release))
    shown = "".join(f'<div class="tile"><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>' for name, value in tiles)
    return f'<dl class="tiles">{shown}</dl>' if shown else ""


def _verdicts(summary: RunSummary) -> str:
    return "".join(verdict(table) for table in summary.verdicts)


def _warnings(summary: RunSummary) -> str:
    """Of the run as a whole; those of a verdict stand beside it."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in dict.fromkeys(summary.warnings))
    if lines:
        return f'<div class="warning"><ul>{lines}</ul></div>'
    if any(table.warnings for table in summary.verdicts):
        return "<p>None but those beside the verdicts.</p>"
    return "" if summary.failure else "<p>None.</p>"


def _funnel(summary: RunSummary) -> str:
    if not summary.flow and not summary.funnel and summary.documents_in is None:
        return ""
    said = ""
    if summary.documents_in is not None:
        said = f"<p>{summary.documents_in:,} files ({_size(summary.bytes_in or 0)}) came in"
        if summary.documents_out is not None:
            said += f"; {summary.documents_out:,} documents ({_size(summary.bytes_out or 0)}) are the corpus"
        said += ".</p>"
    if not summary.flow and not summary.funnel:
        return said
    pictures = ""
    if summary.flow:
        by_count = funnel([(f.stage, f.documents, f"{f.documents:,}") for f in summary.flow], "documents by stage")
        by_size = funnel([(f.stage, f.bytes, _size(f.bytes)) for f in summary.flow], "bytes by stage")
        pictures = (
            f'<div class="columns"><div><h3>Documents</h3>{by_count}</div><div><h3>Bytes</h3>{by_size}</div></div>'
        )
    return f'{said}<div class="card">{pictures}{_rules(summary.funnel)}</div>'


def _rules(rows: Sequence[FunnelRow]) -> str:
    if not rows:
        return "<p>No rule removed or changed anything.</p>"
    largest = max(row.documents for row in rows)
    lines = [
        [
            ("head", escape(row.rule)),
            ("", f"{escape(row.stage)}, {escape(row.action)}"),
            ("number", f"{row.documents:,}"),
            ("picture", bar(row.documents, largest, "" if row.action == "changed" else "memory")),
            ("number", f"{row.count:,}"),
            ("number", _size(row.bytes)),
            ("wrap small", _example(row)),
        ]
        for row in rows
    ]
    names = ["Rule", "Stage, action", "Documents", "", "Times", "Bytes", "One example"]
    return f"<h3>What each rule removed or changed</h3>{table(names, lines)}"


def _example(row: FunnelRow) -> str:
    text = f"<code>{escape(_cut(row.example, EXAMPLE_CHARACTERS))}</code>" if row.example.strip() else ""
    source = f'<span class="soft">{escape(row.example_source)}</span>' if row.example_source else ""
    return f"<span>{source}{'<br>' if source and text else ''}{text}</span>" if source or text else ""


def _curves(summary: RunSummary) -> str:
    charts = "".join(_curve(name, points, summary.verdicts) for name, points in summary.curves.items() if points)
    return charts


def _curve(name: str, points: Sequence[CurvePoint], tables: Sequence[Table]) -> str:
    """Loss of one model, with what the others reach as lines. Then its last figures in words."""
    train = [(float(p.tokens), p.train_bits_per_byte) for p in points if p.train_bits_per_byte is not None]
    held = [(float(p.tokens), p.held_out_bits_per_byte) for p in points if p.held_out_bits_per_byte is not None]
    levels = [
        (row.name, row.values[table.columns[0]].value)
        for table in tables
        if table.unit == "bits per byte" and table.columns
        for row in table.rows
        if row.name != name and table.columns[0] in row.values
    ]
    lines = [Line("training text", "train", train), Line("held-out text", "held", held)]
    picture = curves(lines, levels, "tokens seen, logarithmic", "bits per byte, logarithmic")
    keys = "".join(f"<span>{_key(line.kind)}{line.name}</span>" for line in lines if line.points)
    figures = [f"{count(points[-1].tokens)} tokens"]
    if points[-1].seconds is not None:
        figures.append(duration(points[-1].seconds))
    figures += [
        f"{kind} {spots[-1][1]:.3f} bits per byte" for kind, spots in (("held-out", held), ("training", train)) if spots
    ]
    norms = [p.gradient_norm for p in points if p.gradient_norm is not None]
    if norms:
        figures.append(f"gradient norm {min(norms):.2g} to {max(norms):.2g}")
    return (
        f'<div class="card"><h3>{escape(name)}</h3><div class="legend">{keys}<span>bits per byte against tokens seen, '
        f"both logarithmic; dashed: what others reach on held-out documents</span></div>{picture}"
        f'<p class="soft small">{escape("; ".join(figures))}.</p></div>'
    )


def _key(kind: str) -> str:
    return svg("key", 10, f'<line class="{kind}" x1="0" x2="22" y1="5" y2="5"/>')


def _samples(summary: RunSummary) -> str:
    cards = []
    for sample in summary.samples:
        by = escape(f"{sample.model}: {sample.note}" if sample.note else sample.model)
        text = f"<b>{escape(sample.prompt)}</b>{escape(_cut(sample.text, SAMPLE_CHARACTERS))}"
        cards.append(f'<div class="card"><p class="soft small">{by}</p><pre>{text}</pre></div>')
    return "".join(cards)


def _plan(summary: RunSummary) -> str:
    if not summary.plan:
        return ""
    lines = [[("head", escape(c.choice)), ("", escape(c.value)), ("wrap", escape(c.reason))] for c in summary.plan]
    return f'<div class="card">{table(["Choice", "Value", "Reason"], lines)}</div>'


def _steps(summary: RunSummary) -> str:
    if not summary.steps:
        return ""
    slowest = max(step.seconds for step in summary.steps)
    largest = max((step.peak_memory_bytes or 0) for step in summary.steps)
    lines = []
    for step in summary.steps:
        memory = step.peak_memory_bytes
        lines.append(
            [
                ("head", escape(step.name)),
                ("", f'<span class="badge {escape(step.state)}">{escape(step.state)}</span>'),
                ("number", f"{step.seconds:,.1f} s" if step.state not in NOT_RUN else ""),
                ("picture", bar(step.seconds, slowest, step.state if step.state in ("cached", "failed") else "")),
                ("number", _size(memory) if memory is not None else ""),
                ("picture", bar(memory, largest, "memory") if memory is not None else ""),
                ("wrap small soft", escape(step.reason)),
            ]
        )
    spent = sum(step.seconds for step in summary.steps)
    names = ["Step", "State", "Time", "", "Peak memory", "", "Why"]
    return f'<div class="card">{table(names, lines)}<p class="soft small">All steps: {duration(spent)}.</p></div>'


def _freshness(summary: RunSummary) -> str:
    lines = []
    if summary.stale is not None:
        stale = summary.stale
        seen = "The models have seen all of the corpus as it is now."
        unseen = (
            f"{stale.files_changed:,} files changed since the models' snapshot: they have not seen "
            f"{100 * stale.share_of_bytes:.1f} % of the corpus' bytes. "
            "<code>groundup run --retrain</code> trains on them."
        )
        lines.append(unseen if stale.files_changed or stale.share_of_bytes else seen)
    if summary.coverage is not None:
        dense, chunks = summary.coverage.dense, summary.coverage.chunks
        rest = " <code>groundup serve</code> embeds the rest in the background." if dense < chunks else ""
        lines.append(f"Dense covers {dense:,} of {chunks:,} chunks ({_share(dense, chunks)}).{rest}")
    return "".join(f"<p>{line}</p>" for line in lines)


def _machine(summary: RunSummary) -> str:
    return f"<p>{escape(summary.machine.sentence())}.</p>" if summary.machine else ""


def _next(summary: RunSummary) -> str:
    return f"<pre>{escape(chr(10).join(summary.next))}</pre>" if summary.next else ""


def _footer(summary: RunSummary) -> str:
    where = f"Store: <code>{escape(summary.store)}</code>. " if summary.store else ""
    return f"<footer>{where}This file needs nothing beside it: no script, no network.</footer>"


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[:characters] + "…"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _size(amount: int) -> str:
    """Bytes with a decimal unit, as disks are sold and `ls -h --si` shows."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if amount >= size:
            return f"{amount / size:.3g} {unit}"
    return f"{amount} B"
