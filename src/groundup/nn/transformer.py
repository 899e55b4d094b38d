"""The transformer: tokens in, hidden states out, logits on request."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.nn.attention import visibility
from groundup.nn.block import Block
from groundup.nn.cache import KVCache
from groundup.nn.config import TransformerConfig
from groundup.nn.init import initialise
from groundup.nn.linear import Embedding, Linear
from groundup.nn.norms import make_norm
from groundup.nn.positions import Rotation, rope_table, sinusoidal_table


class Transformer(nn.Module):
    """A decoder or an encoder, as `config.causal` says. Weights are drawn with seed 0; `initialise` draws them anew.

    On the meta device nothing is drawn or allocated: interop builds there and assigns the weights it has mapped.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.width)
        if config.position == "learned":
            self.position_embedding = Embedding(config.context_length, config.width)
        if config.token_types:
            self.token_type_embedding = Embedding(config.token_types, config.width)
        self.embedding_norm = make_norm(config) if config.embedding_norm else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.final_norm = make_norm(config) if config.norm_placement == "pre" else None
        if not config.tie_embeddings:
            self.head = Linear(config.width, config.vocab_size, bias=False)
        if config.head_bias:
            self.head_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self._rotation: Rotation | None = None  # of positions 0, 1, …; recomputed when dtype, device or reach change
        if self.embedding.weight.device.type != "meta":
            initialise(self, seed=0)

    def forward(
        self,
        tokens: Tensor,
        *,
        lengths: Tensor | None = None,
        cache: KVCache | None = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
    ) -> Tensor:
        """Hidden states (B, T, C) after the last norm, for tokens (B, T) int64.

        lengths: (B,) real tokens per row, padding at the right, each at least 1; hidden states of padding mean nothing.
        cache: keys and values of earlier positions; these T are appended to it. Only causal models have one.
        positions: (T,) or (B, T) int64 where a token stands, if not behind what is cached. token_types: (B, T), else 0.
        Raises ValueError when the positions don't fit the model or the cache.
        """
        T, past = tokens.shape[1], cache.length if cache is not None else 0
        self._check(T, past, cache)
        x, rotation = self._embed(tokens, past, positions, token_types)
        visible = visibility(self.config, T, past, lengths, x.dtype, x.device)
        for block in self.blocks:
            x = block(x, visible, rotation, cache)
        if cache is not None:
            cache.advance(T)
        return x if self.final_norm is None else self.final_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, V) from hidden (…, C). For a loss over many positions use `losses`: this tensor is huge."""
        return F.linear(hidden, self.output_weight, self.output_bias)

    @property
    def output_weight(self) -> Tensor:
        """(V, C), the embedding itself if tied."""
        return self.embedding.weight if self.config.tie_embeddings else self.head.weight

    @property
    def output_bias(self) -> Tensor | None:
        return self.head_bias if self.config.head_bias else None

    def _embed(
        self, tokens: Tensor, past: int, positions: Tensor | None, token_types: Tensor | None
    ) -> tuple[Tensor, Rotation | None]:
        """The residual stream's start (B, T, C), and what the blocks rotate queries and keys by."""
        config, rotation = self.config, None
        x = self.embedding(tokens)
        at = torch.arange(past, past + tokens.shape[1], device=tokens.device) if positions is None else positions
        if config.position == "rope":
            rotation = self._rope(past, tokens.shape[1], positions, x)
        elif config.position == "learned":
            x = x + self.position_embedding(at)
        elif config.position == "sinusoidal":
            x = x + sinusoidal_table(at, config.width, x.dtype)
        if config.token_types:
            types = self.token_type_embedding
            x = x + (types.weight[0] if token_types is None else types(token_types))
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        return (F.dropout(x, config.dropout, self.training) if config.dropout else x), rotation

    def _rope(self, past: int, new: int, positions: Tensor | None, like: Tensor) -> Rotation:
        """Rows of the rotation table, kept for consecutive positions: its cosines cost more than a layer."""
        theta, head_dim = self.config.rope_theta, self.config.head_dim
        if positions is not None:
            return rope_table(positions, head_dim, theta, like.dtype)
        kept = self._rotation
        if kept is None or kept[0].dtype != like.dtype or kept[0].device != like.device or len(kept[0]) < past + new:
            reach = max(past + new, self.config.context_length)
            with torch.inference_mode(False), torch.no_grad():  # a table made while serving must also do for training
                kept = rope_table(torch.arange(reach, device=like.device), head_dim, theta, like.dtype)
            self._rotation = kept
        return kept[0][past : past + new], kept[1][past : past + new]

    def _check(self, new: int, past: int, cache: KVCache | None) -> None:
        if new < 1:
            raise ValueError("no tokens: a row needs at least one, such as the separator")
        if cache is not None and not self.config.causal:
            raise ValueError("a bidirectional model can't be cached: earlier positions change with later ones")
        if cache is not None and past + new > cache.capacity:
            raise ValueError(f"the cache has room for {cache.capacity} positions, not {past + new}; make it larger")
        if self.config.position == "learned" and past + new > self.config.context_length:
            reach = self.config.context_length
            raise ValueError(f"{past + new} positions, but only {reach} are learned; shorten the text")
