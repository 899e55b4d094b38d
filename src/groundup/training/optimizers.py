"""Muon for hidden matrices, AdamW for the rest, behind one `step`.

Muon (Jordan et al. 2024) replaces the momentum of a matrix by its nearest semi-orthogonal matrix: every direction
learns at the same rate. AdamW (Loshchilov & Hutter 2019) keeps embeddings, head, norms and biases.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groundup.training.orthogonalise import orthogonalise


@dataclass(frozen=True)
class Rates:
    """Learning rates at their peak, and what goes with them."""

    matrices: float = 0.02  # Muon: step of spectral norm 1 × max(1, rows/columns)^½
    embeddings: float = 0.01  # AdamW: token embeddings, tied or not
    head: float = 0.005  # AdamW: an untied head
    vectors: float = 0.01  # AdamW: norms, biases
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0  # decoupled, × learning rate, on matrices only


class Muon:
    """Muon over the named matrices. Those of one shape are stacked, so that a model costs a handful of calls."""

    def __init__(
        self,
        named: dict[str, nn.Parameter],
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for name in sorted(named):
            if named[name].ndim != 2:
                raise ValueError(f"{name} has {named[name].ndim} dimensions; Muon is for matrices")
            groups[tuple(named[name].shape)].append(name)
        self._named, self._groups = named, list(groups.values())
        self._momentum, self._weight_decay, self._dtype = momentum, weight_decay, dtype
        self._buffers = [torch.zeros(len(names), *named[names[0]].shape) for names in self._groups]
        self._buffers = [
            buffer.to(named[names[0]].device) for buffer, names in zip(self._buffers, self._groups, strict=True)
        ]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the parameters in place. A parameter without gradient counts as gradient 0."""
        for names, buffer in zip(self._groups, self._buffers, strict=True):
            weights: list[Tensor] = [self._named[name] for name in names]
            gradients = torch.stack([torch.zeros_like(w) if w.grad is None else w.grad for w in weights])
            buffer.lerp_(gradients, 1 - self._momentum)
            nesterov = gradients.lerp_(buffer, self._momentum)
            rows, columns = buffer.shape[-2:]
            scale = -rate * max(1.0, rows / columns) ** 0.5
            updates = list(orthogonalise(nesterov, self._dtype).unbind())
            if self._weight_decay:
                torch._foreach_mul_(weights, 1 - rate * self._weight_decay)
            torch._foreach_add_(weights, updates, alpha=scale)

    def state(self) -> dict[str, Tensor]:
        return {
            name: buffer[index]
            for names, buffer in zip(self._groups, self._buffers, strict=True)
            for index, name in enumerate(names)
        }

    def load(self, state: dict[str, Tensor]) -> None:
        for names, buffer in zip(self._groups, self._buffers, strict=True):
            for index, name in enumerate(names):
                buffer[index].copy_(state[name])


class Optimizers:
    """All parameters of a model, each under the optimizer that suits it. `state` is flat, for safetensors."""

    def __init__(self, model: nn.Module, rates: Rates, dtype: torch.dtype = torch.float32) -> None:
        self.rates = rates
        matrices, groups = sort_parameters(model)
        self.muon = Muon(matrices, momentum=rates.momentum, weight_decay=rates.weight_decay, dtype=dtype)
        self._names = {group: list(named) for group, named in groups.items()}
        peaks = {"embeddings": rates.embeddings, "head": rates.head, "vectors": rates.vectors}
        self._peaks = [peaks[group] for group in groups]
        self.adamw = torch.optim.AdamW(
            [{"params": list(named.values()), "lr": peaks[group]} for group, named in groups.items()],
            betas=rates.betas,
            eps=1e-10,  # summed losses over a global count: gradients of rare tokens are tiny
            weight_decay=0.0,
            fused=True,  # one pass over each parameter instead of eight
        )
        self._flat = {name: parameter for named in groups.values() for name, parameter in named.items()}
        self._parameters = [*matrices.values(), *self._flat.values()]

    def step(self, factor: float) -> None:
        """One step at `factor` × the peak rates; gradients are then gone."""
        self.muon.step(self.rates.matrices * factor)
        for group, peak in zip(self.adamw.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self.adamw.step()
        for parameter in self._parameters:
            parameter.grad = None

    def clip(self, bound: float) -> Tensor:
        """Scale all gradients to a global norm of at most `bound`; returns the norm before, on its device."""
        return nn.utils.clip_grad_norm_(self._parameters, bound)

    def state(self) -> dict[str, Tensor]:
        flat = {f"muon.{name}": tensor for name, tensor in self.muon.state().items()}
        for name, parameter in self._flat.items():
            for kind, value in self.adamw.state[parameter].items():
                flat[f"adamw.{kind}.{name}"] = value
        return flat

    def load(self, flat: dict[str, Tensor]) -> None:
        """Take up what `state` gave. Raises KeyError if a parameter is missing."""
        self.muon.load({name[5:]: tensor for name, tensor in flat.items() if name.startswith("muon.")})
        kinds = ("exp_avg", "exp_avg_sq", "step")
        for name, parameter in self._flat.items():
            if f"adamw.step.{name}" in flat:  # absent before the first step
                self.adamw.state[parameter] = {kind: flat[f"adamw.{kind}.{name}"].clone() for kind in kinds}


def sort_parameters(model: nn.Module) -> tuple[dict[str, nn.Parameter], dict[str, dict[str, nn.Parameter]]]:
    """(hidden matrices by name, the others by group: embeddings, head, vectors). A tied weight stands once."""
    matrices: dict[str, nn.Parameter] = {}
    groups: dict[str, dict[str, nn.Parameter]] = {"embeddings": {}, "head": {}, "vectors": {}}
    embeddings = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if id(parameter) in embeddings:
            groups["embeddings"][name] = parameter
        elif name.split(".")[0] == "head":
            groups["head" if parameter.ndim == 2 else "vectors"][name] = parameter
        elif parameter.ndim == 2:
            matrices[name] = parameter
        else:
            groups["vectors"][name] = parameter
    return matrices, {group: named for group, named in groups.items() if named}
