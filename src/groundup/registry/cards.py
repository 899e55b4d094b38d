"""Model card and data card, written from what a run measured. A section without facts is left out, heading and all.

The mappings that go in are plain data with the fields of `ModelFacts` and `DataFacts`; every field may be absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class DataFacts(TypedDict, total=False):
    """What is known of a corpus. Counts are documents unless the name says bytes."""

    title: str
    sources: Sequence[str]  # as the person named them
    rule: str  # how much was taken of them, in words
    created: str  # ISO 8601
    read_files: int
    documents: int
    bytes: int  # UTF-8, after cleaning
    kinds: Mapping[str, int]  # documents by kind: code, prose, table
    languages: Mapping[str, int]
    groups: Mapping[str, int]  # documents by package or top folder
    funnel: Sequence[Mapping[str, Any]]  # rows of corpus.funnel: stage, action, rule, documents, count, bytes, example
    held_out_rule: str
    splits: Mapping[str, Mapping[str, int]]  # "train", "held out", "whole packages" → {"documents", "bytes"}
    held_out_groups: Sequence[str]
    overlap_share: float  # of held-out 12-grams seen in training
    licence: str
    limits: Sequence[str]


class ModelFacts(TypedDict, total=False):
    """What is known of the models of a release."""

    title: str
    created: str
    serves: Mapping[str, str]  # use ("completion", "chat", "search") → what serves it
    why: Mapping[str, str]  # use → the reason, in a sentence
    models: Sequence[Mapping[str, Any]]  # see _model: name, kind, parameters, tokens, curve, tokenizer, source, licence
    verdicts: Sequence[Mapping[str, Any]]  # evaluation.verdict.Table as plain data
    warnings: Sequence[str]
    data: str  # one sentence on what was learned from
    limits: Sequence[str]
    machine: Mapping[str, Any]  # processor, cores, memory_bytes, seconds, peak_bytes


def model_card(facts: Mapping[str, Any]) -> str:
    """The README.md of a release: what serves and why, the verdicts, each model, limits, how to load them elsewhere."""
    parts = [f"# {facts.get('title') or 'Models made by groundup'}", facts.get("data", "")]
    parts += _section("What serves", _serves(facts))
    for table in facts.get("verdicts", ()):
        parts += _section(table["title"], verdict_table(table))
    parts += _section("Warnings", _bullets(facts.get("warnings", ())))
    for model in facts.get("models", ()):
        parts += _section(f"Model `{model['name']}`", _model(model))
    parts += _section("How to load them elsewhere", _loading(facts.get("models", ())))
    parts += _section("Limits", _bullets(facts.get("limits", ())))
    parts += _section("How it was made", _made(facts))
    return "\n\n".join(part for part in parts if part) + "\n"


def data_card(facts: Mapping[str, Any]) -> str:
    """The data-card.md of a release: where the documents come from, what was left out and why, what was held out."""
    parts = [f"# {facts.get('title') or 'Corpus'}", _counts(facts)]
    parts += _section("Sources", _bullets(f"`{source}`" for source in facts.get("sources", ())))
    parts += _section("What was taken", facts.get("rule", ""))
    for name, title in (("kinds", "Kinds"), ("languages", "Languages"), ("groups", "Packages and folders")):
        parts += _section(title, _shares(facts.get(name) or {}))
    parts += _section("What was left out or changed, by rule", _funnel(facts.get("funnel", ())))
    parts += _section("What was held out", _held_out(facts))
    parts += _section("Licence", facts.get("licence", ""))
    parts += _section("Limits", _bullets(facts.get("limits", ())))
    return "\n\n".join(part for part in parts if part) + "\n"


def verdict_table(table: Mapping[str, Any]) -> str:
    """A verdict table as Markdown: its sentence, rows with intervals, comparisons and warnings below."""
    columns = list(table["columns"])
    direction = "higher" if table["higher_is_better"] else "lower"
    rows = []
    for row in table["rows"]:
        cells = [_estimate(row["values"].get(column)) for column in columns]
        name = f"**{row['name']}** (serves)" if row["serves"] else row["name"]
        rows.append([name, row["role"], *cells, row.get("note", "")])
    if seen := table.get("seen"):  # absent in tables of earlier versions
        shares = [f"{seen[column]:.1%}" if column in seen else "" for column in columns]
        rows.append(["12-grams seen in training", "", *shares, ""])
    parts = [
        table.get("sentence", ""),
        _table(["", "role", *columns, "note"], rows),
        f"{table['metric']} in {table['unit']}, {direction} is better; 95 % intervals in brackets."
        if table.get("unit")
        else f"{table['metric']}, {direction} is better; 95 % intervals in brackets.",
        _bullets(
            f"{c['better']} against {c['worse']} on {c['column']}: {_estimate(c['difference'])}"
            for c in table.get("comparisons", ())
        ),
        _bullets([*table.get("notes", ()), *table.get("warnings", ())]),
    ]
    return "\n\n".join(part for part in parts if part)


def _serves(facts: Mapping[str, Any]) -> str:
    why = facts.get("why", {})
    return _bullets(
        f"{use}: **{name}**" + (f". {why[use]}" if why.get(use) else "")
        for use, name in facts.get("serves", {}).items()
    )


def _model(model: Mapping[str, Any]) -> str:
    """One model's facts. `curve`: the training curve's points, {"tokens", "held_out_bits_per_byte" | "loss", …}."""
    lines = [
        ("what it is", model.get("kind", "")),
        ("parameters", _number(model.get("parameters"))),
        ("trained here on", f"{model['tokens']:,} tokens" if model.get("tokens") else ""),
        ("context length", f"{model['context_length']:,} tokens" if model.get("context_length") else ""),
        ("tokenizer", model.get("tokenizer", "")),
        ("comes from", model.get("source", "")),
        ("licence", model.get("licence", "")),
        ("end of its curve", _curve_end(model.get("curve", ()))),
        ("sha256", f"`{model['digest']}`" if model.get("digest") else ""),
    ]
    return "\n".join(f"- {name}: {text}" for name, text in lines if text)


def _curve_end(curve: Sequence[Mapping[str, Any]]) -> str:
    """The last point, and how far the last quarter of the curve still fell."""
    if not curve:
        return ""
    last = curve[-1]
    text = ", ".join(f"{name.replace('_', ' ')} {_number(value)}" for name, value in last.items() if _is_number(value))
    name = next((name for name in ("held_out_bits_per_byte", "loss") if _is_number(last.get(name))), None)
    before = curve[-max(len(curve) // 4, 2)] if len(curve) > 1 else None
    if name and before is not None and _is_number(before.get(name)):
        change = last[name] - before[name]
        text += f"; it changed by {change:+.3g} over the last {len(curve[-max(len(curve) // 4, 2) :])} points"
    return text


def _loading(models: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for model in models:
        folder = f"models/{model['name']}"
        code = {
            "decoder": (
                "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
                f'model = AutoModelForCausalLM.from_pretrained("{folder}")\n'
                f'tokenizer = AutoTokenizer.from_pretrained("{folder}")'
            ),
            "encoder": (
                "from sentence_transformers import SentenceTransformer\n"
                f'model = SentenceTransformer("{folder}")\n'
                'vectors = model.encode(["a text"], normalize_embeddings=True)'
            ),
        }.get(str(model.get("format", "")))
        if code:
            parts.append(f"```python\n{code}\n```")
    return "\n\n".join(parts)


def _made(facts: Mapping[str, Any]) -> str:
    machine = facts.get("machine", {})
    lines = [
        ("when", facts.get("created", "")),
        ("processor", machine.get("processor", "")),
        ("cores", _number(machine.get("cores"))),
        ("memory", f"{machine['memory_bytes'] / 2**30:.1f} GiB" if machine.get("memory_bytes") else ""),
        ("seconds", _number(machine.get("seconds"))),
        ("peak memory", f"{machine['peak_bytes'] / 2**30:.1f} GiB" if machine.get("peak_bytes") else ""),
    ]
    return "\n".join(f"- {name}: {text}" for name, text in lines if text)


def _counts(facts: Mapping[str, Any]) -> str:
    parts = []
    if facts.get("read_files"):
        parts.append(f"{facts['read_files']:,} files read")
    if facts.get("documents"):
        size = f" with {_bytes(facts['bytes'])} of text" if facts.get("bytes") else ""
        parts.append(f"{facts['documents']:,} documents kept{size}")
    return "; ".join(parts) + (f" ({facts['created']})" if parts and facts.get("created") else "") + "." * bool(parts)


def _shares(counts: Mapping[str, int], most: int = 20) -> str:
    """Documents by name, the largest first; what is beyond `most` names is added up."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    total = sum(counts.values())
    if not total:
        return ""
    rows = [[name or "not known", f"{count:,}", f"{count / total:.1%}"] for name, count in ordered[:most]]
    if rest := ordered[most:]:
        count = sum(count for _, count in rest)
        rows.append([f"{len(rest):,} others", f"{count:,}", f"{count / total:.1%}"])
    return _table(["", "documents", "share"], rows)


def _funnel(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [
        [
            row["stage"],
            row["action"],
            row["rule"],
            f"{row['documents']:,}",
            f"{row['count']:,}",
            _bytes(row["bytes"]),
            _code(row.get("example_source", "")),
        ]
        for row in rows
    ]
    removed = sum(row["documents"] for row in rows if row["action"] == "removed")
    unread = sum(row["documents"] for row in rows if row["action"] == "unread")
    sentence = f"{removed:,} documents removed, {unread:,} files not read."
    table = _table(["stage", "action", "rule", "documents", "count", "bytes", "for example"], cells)
    return f"{sentence}\n\n{table}"


def _held_out(facts: Mapping[str, Any]) -> str:
    parts = [facts.get("held_out_rule", "")]
    if splits := facts.get("splits"):
        rows = [[name, f"{part['documents']:,}", _bytes(part["bytes"])] for name, part in splits.items()]
        parts.append(_table(["part", "documents", "bytes"], rows))
    if groups := facts.get("held_out_groups"):
        parts.append(f"Held out whole: {', '.join(f'`{group}`' for group in groups)}.")
    if facts.get("overlap_share") is not None:
        parts.append(f"{facts['overlap_share']:.1%} of the held-out 12-grams occur in training.")
    return "\n\n".join(part for part in parts if part)


def _section(title: str, body: str) -> list[str]:
    return [f"## {title}", body] if body else []


def _bullets(lines: Any) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    empty = {i for i in range(len(head)) if not any(row[i] for row in rows)}  # a column without a fact is left out
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cell for i, cell in enumerate(line) if i not in empty) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`" if text else ""


def _estimate(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return ""
    return f"{estimate['value']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}] (n {estimate['n']:,})"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> str:
    if not _is_number(value):
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _bytes(count: int) -> str:
    for bound, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= bound:
            return f"{count / bound:,.1f} {unit}"
    return f"{count:,} B"
