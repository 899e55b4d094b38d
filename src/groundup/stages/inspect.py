"""A look into a model at work, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from groundup.errors import RequestError
from groundup.pipeline.files import write_atomically
from groundup.stages.models import load_model

if TYPE_CHECKING:
    from groundup.inspection.record import Inspection


def inspect_text(spec: str, text: str, root: Path, out: Path, *, beside: str | None = None) -> Inspection:
    """Runs the model that `spec` means over the text and writes the page. An encoder reads it as it would a document.

    beside: a second text, to compare an encoder's vectors. Raises as `models.load_model`, and RequestError for a text
    that is empty or too long, and for a comparison by a model that makes no vectors.
    """
    from groundup.inspection.look import inspect_model
    from groundup.inspection.page import render
    from groundup.interop.open_encoder import OpenEncoder

    model = load_model(spec, root)
    if isinstance(model, OpenEncoder):
        if beside is not None and model.pooling is None:
            wrong = f"{model.name} has no modules.json, which would say how a text becomes one vector"
            raise RequestError(wrong, mend="Leave --with out, or bring a sentence-transformers folder", param="with")
        found = inspect_model(
            model.model,
            model.tokenizer,
            model.prompt + text if text else text,
            name=model.name,
            pooling=model.pooling,
            beside=model.prompt + beside if beside else beside,
            limit=model.max_tokens,
        )
    else:
        if beside is not None:
            wrong = f"{model.name} is a language model and makes no vectors to compare"
            raise RequestError(wrong, mend="Leave --with out, or name an encoder, such as minilm", param="with")
        found = inspect_model(model.model, model.tokenizer, text, name=model.name)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, render(found))
    except OSError as error:
        mend = "Name a file with --out, in a folder that can be written to"
        raise RequestError(f"the page can't be written to {out} ({error.strerror})", mend=mend, param="out") from None
    return found
