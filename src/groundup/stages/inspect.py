"""A look into a model at work, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from groundup.pipeline.files import write_atomically
from groundup.stages.models import load_decoder

if TYPE_CHECKING:
    from groundup.inspection.record import Inspection


def inspect_text(spec: str, text: str, root: Path, out: Path) -> Inspection:
    """Runs the model that `spec` means over the text and writes the page. Raises as `models.load_decoder`, and
    RequestError for a text that is empty or too long."""
    from groundup.inspection.look import inspect_model
    from groundup.inspection.page import render

    decoder = load_decoder(spec, root)
    found = inspect_model(decoder.model, decoder.tokenizer, text, name=decoder.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, render(found))
    return found
