"""Tables of the report."""

from __future__ import annotations

from collections.abc import Sequence


def table(names: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]], style: str = "") -> str:
    """Cells are (classes, HTML). On a narrow page each row becomes a block whose cells carry their column's name.

    style: a class of report.css; of "bands" such a block is three cells wide.
    """
    numeric = {i for row in rows for i, (kind, _) in enumerate(row) if kind == "number"}
    heads = [f"<th{' class=number' if i in numeric else ''}>{name}</th>" for i, name in enumerate(names)]
    lines = []
    for row in rows:
        cells = []
        for name, (kind, cell) in zip(names, row, strict=True):
            label = f' data-name="{name}"' if name and kind != "head" else ""
            cells.append(f'<td class="{kind}"{label}>{cell}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = f"<thead><tr>{''.join(heads)}</tr></thead>"
    body = f"<tbody>{''.join(lines)}</tbody>"
    return f'<div class="scroll"><table class="{f"stack {style}".strip()}">{head}{body}</table></div>'
