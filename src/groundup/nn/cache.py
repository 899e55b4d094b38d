"""Keys and values of the positions already read, so that a decoder computes each position once."""

from __future__ import annotations

import torch
from torch import Tensor

from groundup.nn.config import TransformerConfig


class KVCache:
    """Room for `capacity` positions in every layer, filled from the left; all rows have the same length.

    Costs 2 · layers · B · K · capacity · D numbers, allocated at once, so decoding never copies what it has.
    """

    def __init__(self, keys: list[Tensor], values: list[Tensor]) -> None:
        self.keys, self.values = keys, values  # per layer: (B, K, capacity, D)
        self.length = 0  # positions filled

    @classmethod
    def empty(
        cls,
        config: TransformerConfig,
        batch: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> KVCache:
        if capacity < 1 or batch < 1:
            raise ValueError(f"a cache of {batch} rows and {capacity} positions holds nothing; ask for 1 or more")
        shape = (batch, config.kv_heads, capacity, config.head_dim)
        keys = [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.layers)]
        return cls(keys, [torch.empty_like(key) for key in keys])

    @property
    def capacity(self) -> int:
        return self.keys[0].shape[2]

    @property
    def batch(self) -> int:
        return self.keys[0].shape[0]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Writes (B, K, T, D) behind what `layer` holds; returns views of all of it, (B, K, S, D).

        `length` moves only in `advance`, after the last layer: until then all layers write at the same place.
        """
        end = self.length + keys.shape[2]
        assert end <= self.capacity, "Transformer.forward checks the room before the first layer"
        self.keys[layer][:, :, self.length : end] = keys
        self.values[layer][:, :, self.length : end] = values
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def advance(self, positions: int) -> None:
        self.length += positions

    def truncate(self, length: int) -> None:
        """Forgets all but the first `length` positions; costs nothing."""
        if not 0 <= length <= self.length:
            raise ValueError(f"the cache holds {self.length} positions; it can be cut to 0 to {self.length}")
        self.length = length
