"""transformers' models in true float64.

Norms, rotary tables, softmax and rotations of theirs compute in fp32 whatever the weights' dtype. Nothing is replaced
by a formula of ours: while a model is built and run, the names by which their modules ask for fp32 mean float64.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class _Wide:
    """torch, as their modules see it: fp32 is float64."""

    float = float32 = torch.float64

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


@contextlib.contextmanager
def lifted() -> Iterator[None]:
    """Within, transformers' modules compute in float64 what they otherwise compute in fp32."""
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name == "transformers.modeling_rope_utils"
        or (name.startswith("transformers.models.") and ".modeling_" in name)
    ]
    plain, dtype, wide = Tensor.float, torch.get_default_dtype(), _Wide()
    changed = [module for module in modules if getattr(module, "torch", None) is torch]
    try:
        for module in changed:
            module.torch = wide  # type: ignore[attr-defined]
        Tensor.float = Tensor.double  # type: ignore[assignment, method-assign]
        torch.set_default_dtype(torch.float64)
        yield
    finally:
        torch.set_default_dtype(dtype)
        Tensor.float = plain  # type: ignore[method-assign]
        for module in changed:
            module.torch = torch  # type: ignore[attr-defined]


class Exact:
    """Their model, built anew in float64 with the same weights; call it as theirs."""

    def __init__(self, model: Any) -> None:
        with lifted():
            self.model = type(model)(copy.deepcopy(model.config)).double().eval()
        self.model.load_state_dict(model.state_dict())

    def __call__(self, *args: Any, **options: Any) -> Any:
        with lifted():
            return self.model(*args, **options)


def in_float64(model: Any) -> Exact:
    return Exact(model)
