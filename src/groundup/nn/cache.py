"""Keys and values of the positions already read, so that a decoder computes each position once.

Layout: (B, capacity, K, D) a layer, position after position. What one position holds lies together, so a page of some
positions is one contiguous piece, and a table of pages can take the place of `append`'s rows without another layout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from groundup.nn.config import TransformerConfig


class KVCache:
    """Room for `capacity` positions in every layer, filled from the left.

    Rows have one length, an int, or each its own, a (B,) tensor, after `set_lengths`: then new positions are written
    behind each row's last, and what a shorter row holds beyond it is not seen. Costs 2 · layers · B · capacity · K · D
    numbers, allocated at once, so decoding never copies what it has.
    """

    def __init__(self, keys: list[Tensor], values: list[Tensor]) -> None:
        self.keys, self.values = keys, values  # per layer: (B, capacity, K, D)
        self.length: int | Tensor = 0  # positions filled

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
        shape = (batch, capacity, config.kv_heads, config.head_dim)
        # Zeros where rows have lengths of their own are read and weighted by 0: they must be numbers.
        keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.layers)]
        return cls(keys, [torch.zeros_like(key) for key in keys])

    @property
    def capacity(self) -> int:
        return self.keys[0].shape[1]

    @property
    def batch(self) -> int:
        return self.keys[0].shape[0]

    @property
    def longest(self) -> int:
        return self.length if isinstance(self.length, int) else int(self.length.max())

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Writes (B, K, T, D) behind what `layer` holds; returns views of all of it, (B, K, S, D).

        `length` moves only in `advance`, after the last layer: until then all layers write at the same place.
        """
        new = keys.shape[2]
        end = self.longest + new
        assert end <= self.capacity, "Transformer.forward checks the room before the first layer"
        for kept, fresh in ((self.keys[layer], keys), (self.values[layer], values)):
            if isinstance(self.length, int):
                kept[:, self.length : end] = fresh.transpose(1, 2)
            else:
                rows = torch.arange(self.batch, device=kept.device)[:, None]
                kept[rows, self.length[:, None] + torch.arange(new, device=kept.device)] = fresh.transpose(1, 2)
        return self.keys[layer][:, :end].transpose(1, 2), self.values[layer][:, :end].transpose(1, 2)

    def advance(self, positions: int) -> None:
        self.length = self.length + positions

    def set_lengths(self, lengths: Tensor) -> None:
        """Gives each row its own length, (B,) int64, at most what it holds.

        For prompts of different lengths, padded at the right, once they are read; and to forget rejected drafts.
        """
        if lengths.shape != (self.batch,) or int(lengths.min()) < 0 or bool((lengths > self.length).any()):
            raise ValueError(f"lengths must be {self.batch} numbers from 0 to what each row holds ({self.length})")
        self.length = lengths.to(self.keys[0].device)

    def truncate(self, length: int) -> None:
        """Forgets all but the first `length` positions of every row; costs nothing."""
        shortest = self.length if isinstance(self.length, int) else int(self.length.min())
        if not 0 <= length <= shortest:
            raise ValueError(f"the cache holds {shortest} positions; it can be cut to 0 to {shortest}")
        self.length = length
