"""A model's tables of rotations, kept from one forward pass to the next: their cosines cost more than a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from groundup.nn.config import RopeScaling, TransformerConfig
from groundup.nn.positions import Rotation, rope_table


class Rotations:
    """What the layers of `config` rotate by: all the same, or those with a window another."""

    def __init__(self, config: TransformerConfig) -> None:
        self._wide = _Table(config, config.rope_theta, config.rope_scaling)
        self._local = _Table(config, config.local_rope_theta, None) if config.local_rope_theta else None

    def __call__(self, positions: Tensor, reach: int, like: Tensor) -> tuple[Rotation, Rotation | None]:
        """(for layers without a window or for all, for layers with one), in dtype and on the device of `like`.

        positions: (T,) or (B, T) int64. reach: how many positions there are in all; all lie below it.
        """
        wide = self._wide.rows(positions, reach, like)
        return wide, None if self._local is None else self._local.rows(positions, reach, like)


class _Table:
    """Rows of positions 0, 1, …; computed anew when dtype, device or reach change."""

    def __init__(self, config: TransformerConfig, theta: float, scaling: RopeScaling | None) -> None:
        self._rotated, self._theta, self._scaling = config.rotated, theta, scaling
        self._least = config.context_length
        self._kept: Rotation | None = None
        self._stretched_for = 0

    def rows(self, positions: Tensor, reach: int, like: Tensor) -> Rotation:
        stretched_for = self._stretch(reach)
        kept = self._kept
        if (
            kept is None
            or kept[0].dtype != like.dtype
            or kept[0].device != like.device
            or len(kept[0]) < reach
            or stretched_for != self._stretched_for
        ):
            at = torch.arange(max(reach, self._least), device=like.device)
            with torch.inference_mode(False), torch.no_grad():  # a table made while serving must also do for training
                kept = rope_table(at, self._rotated, self._theta, like.dtype, self._scaling, stretched_for)
            self._kept, self._stretched_for = kept, stretched_for
        return kept[0][positions], kept[1][positions]

    def _stretch(self, reach: int) -> int:
        """How many positions a table is stretched for, where that depends on them ("dynamic").

        Keys in a cache keep the angles of when they came; beyond original_length, where these change with every token,
        cached and uncached passes therefore differ, as they do in other implementations.
        """
        scaling = self._scaling
        return max(reach, scaling.original_length) if scaling is not None and scaling.kind == "dynamic" else 0
