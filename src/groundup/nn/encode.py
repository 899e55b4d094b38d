"""From hidden states to one vector a text."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.nn.masks import real_positions
from groundup.nn.transformer import Transformer

Pooling = Literal["mean", "cls"]


def pool(hidden: Tensor, lengths: Tensor | None, pooling: Pooling) -> Tensor:
    """(B, C) from hidden (B, T, C): the mean of the real positions, or the first position."""
    if pooling == "cls":
        return hidden[:, 0]
    if lengths is None:
        return hidden.mean(1)
    lengths = lengths.to(hidden.device)
    real = real_positions(lengths, hidden.shape[1])[:, :, None].to(hidden.dtype)  # (B, T, 1)
    return (hidden * real).sum(1) / lengths[:, None].to(hidden.dtype)


def embed(
    model: Transformer,
    tokens: Tensor,
    lengths: Tensor | None,
    *,
    pooling: Pooling = "mean",
    normalise: bool = True,
    token_types: Tensor | None = None,
) -> Tensor:
    """(B, C), rows of length 1 if normalised. tokens: (B, T) int64, padded at the right; lengths: (B,) real ones."""
    hidden = model(tokens, lengths=lengths, token_types=token_types)
    vectors = pool(hidden.to(torch.promote_types(hidden.dtype, torch.float32)), lengths, pooling)
    return F.normalize(vectors, dim=-1) if normalise else vectors


def pad(rows: list[list[int]], padding_id: int) -> tuple[Tensor, Tensor]:
    """Rows of ids as (B, T) int64, padded at the right to the longest, and their lengths (B,)."""
    lengths = torch.tensor([len(row) for row in rows])
    tokens = torch.full((len(rows), int(lengths.max())), padding_id, dtype=torch.int64)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = torch.as_tensor(ids)
    return tokens, lengths
