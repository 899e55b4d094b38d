"""What a sentence-transformers folder does after the model: how it pools, and whether it normalises. Loads no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from groundup.errors import ModelError
from groundup.interop.folders import read_json

# modules.json names classes; sentence-transformers has moved them over time, the last part stayed
TRANSFORMER, POOLING, NORMALIZE = "Transformer", "Pooling", "Normalize"


def read_modules(folder: Path) -> tuple[Literal["mean", "cls"], bool]:
    """(pooling, whether vectors are normalised), as modules.json has them. Raises ModelError for any other module."""
    path = folder / "modules.json"
    if not path.exists():
        mend = "Bring it as a sentence-transformers folder, which says how to pool"
        raise ModelError("it has no modules.json: a bare model doesn't say how it pools", mend=mend, place=str(folder))
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
        kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
        places = [str(module["path"]) for module in modules]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"it can't be read ({error})", mend="Fetch the file again", place=str(path)) from error
    if kinds not in ([TRANSFORMER, POOLING], [TRANSFORMER, POOLING, NORMALIZE]) or places[0] != "":
        wrong = f"its modules are {', '.join(kinds)}"
        mend = f"Bring one of {TRANSFORMER}, {POOLING} and, if at all, {NORMALIZE}"
        raise ModelError(wrong, mend=mend, place=str(path))
    return _pooling(read_json(folder / places[1] / "config.json"), str(folder / places[1])), NORMALIZE in kinds


def _pooling(config: dict[str, Any], place: str) -> Literal["mean", "cls"]:
    modes = [
        name.removeprefix("pooling_mode_") for name, on in config.items() if name.startswith("pooling_mode_") and on
    ]
    if modes == ["mean_tokens"]:
        return "mean"
    if modes == ["cls_token"]:
        return "cls"
    wrong = f"it pools by {', '.join(modes) or 'nothing'}"
    raise ModelError(wrong, mend="Bring one that takes the mean of all tokens or the first", place=place)
