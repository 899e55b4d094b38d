"""The transformer: tokens in, hidden states out, logits on request."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.nn.attend import Probe
from groundup.nn.attention import Pass
from groundup.nn.block import Block
from groundup.nn.cache import KVCache
from groundup.nn.config import TransformerConfig
from groundup.nn.head import HeadTransform, softcapped
from groundup.nn.init import initialise
from groundup.nn.linear import Embedding, Linear
from groundup.nn.masks import Mask, real_positions
from groundup.nn.norms import make_norm
from groundup.nn.positions import sinusoidal_table
from groundup.nn.rotations import Rotations


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
        self.final_norm = make_norm(config) if config.norm_placement != "post" else None
        self.head_transform = HeadTransform(config) if config.head_transform else None
        if not config.tie_embeddings:
            self.head = Linear(config.width, config.vocab_size, bias=False)
        if config.head_bias:
            self.head_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.packed_head: nn.Module | None = None  # in place of the head's matrix, see packed.py
        self._rotations = Rotations(config) if config.position == "rope" else None
        if self.embedding.weight.device.type != "meta":
            initialise(self, seed=0)

    def forward(
        self,
        tokens: Tensor,
        *,
        lengths: Tensor | None = None,
        real: Tensor | None = None,
        documents: Tensor | None = None,
        prefix: Tensor | None = None,
        cache: KVCache | None = None,
        positions: Tensor | None = None,
        token_types: Tensor | None = None,
        probe: Probe | None = None,
    ) -> Tensor:
        """Hidden states (B, T, C) after the last norm, for tokens (B, T) int64.

        Hidden states of padding mean nothing. With padding at the left or documents, positions count from the first
        token of each.

        lengths: (B,) real tokens per row, padding at the right, each at least 1.
        real: (B, T) bool, False for padding, wherever it stands.
        documents: (B, T) integers: rows packed with several documents, which don't see each other.
        prefix: (B,) how many first tokens of a row all see each other, in a causal model.
        cache: keys and values of earlier positions; these T are appended to it. Only causal models have one.
        positions: (T,) or (B, T) int64 where a token stands, if not behind what is cached. token_types: (B, T), else 0.
        probe: sees, and may change, what stands between: "embedding", and of each layer "blocks.0.query", ".key",
        ".value", ".scores", ".pattern", ".head_output", ".middle" (the stream between attention and feed-forward) and
        ".stream", then "hidden" and, in `logits`, "logits".
        Raises ValueError when the positions don't fit the model or the cache.
        """
        T, past = tokens.shape[1], cache.length if cache is not None else 0
        self._check(T, cache, real is not None or documents is not None or prefix is not None)
        if lengths is not None and not self.config.causal:  # padding behind real tokens is not seen by causal ones
            real = real_positions(lengths.to(tokens.device), T)
        mask = Mask(T, past, self.config.causal, 0, prefix, real, documents)
        reach = mask.keys
        if positions is None:
            positions = _positions(T, past, real, documents, tokens.device)
        else:
            reach = max(reach, int(positions.max()) + 1)
        at = Pass(mask, cache=cache, probe=probe)
        x = at.see("embedding", self._embed(tokens, positions, token_types))
        if self._rotations is not None:
            at.rotation, at.local_rotation = self._rotations(positions, reach, x)
        for block in self.blocks:
            x = block(x, at)
        if cache is not None:
            cache.advance(T)
        return at.see("hidden", x if self.final_norm is None else self.final_norm(x))

    def logits(self, hidden: Tensor, probe: Probe | None = None) -> Tensor:
        """(…, V) from hidden (…, C). For a loss over many positions use `losses`: this tensor is huge."""
        x = self.readout(hidden)
        logits = F.linear(x, self.output_weight, self.output_bias) if self.packed_head is None else self.packed_head(x)
        logits = softcapped(logits, self.config.logit_softcap)
        return logits if probe is None else probe("logits", logits)

    def readout(self, hidden: Tensor) -> Tensor:
        """(…, C) that the head multiplies: the hidden states themselves but for models with a transform before it."""
        return hidden if self.head_transform is None else self.head_transform(hidden)

    @property
    def output_weight(self) -> Tensor:
        """(V, C), the embedding itself if tied."""
        return self.embedding.weight if self.config.tie_embeddings else self.head.weight

    @property
    def output_bias(self) -> Tensor | None:
        return self.head_bias if self.config.head_bias else None

    @property
    def logit_softcap(self) -> float:
        return self.config.logit_softcap

    def _embed(self, tokens: Tensor, positions: Tensor, token_types: Tensor | None) -> Tensor:
        """The residual stream's start (B, T, C)."""
        config = self.config
        x = self.embedding(tokens)
        if config.embedding_scale != 1:
            x = x * torch.tensor(config.embedding_scale, dtype=x.dtype, device=x.device)  # rounded first, as Gemma does
        if config.position == "learned":
            x = x + self.position_embedding(positions)
        elif config.position == "sinusoidal":
            x = x + sinusoidal_table(positions, config.width, x.dtype)
        if config.token_types:
            types = self.token_type_embedding
            x = x + (types.weight[0] if token_types is None else types(token_types))
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        return F.dropout(x, config.dropout, self.training) if config.dropout else x

    def _check(self, new: int, cache: KVCache | None, masked: bool) -> None:
        past = cache.longest if cache is not None else 0
        if new < 1:
            raise ValueError("no tokens: a row needs at least one, such as the separator")
        if cache is not None and not self.config.causal:
            raise ValueError("a bidirectional model can't be cached: earlier positions change with later ones")
        if cache is not None and past + new > cache.capacity:
            raise ValueError(f"the cache has room for {cache.capacity} positions, not {past + new}; make it larger")
        if cache is not None and masked:
            raise ValueError("a cache knows lengths alone; pad at the right and give it lengths after the prompts")
        if self.config.position == "learned" and past + new > self.config.context_length:
            reach = self.config.context_length
            raise ValueError(f"{past + new} positions, but only {reach} are learned; shorten the text")


def _positions(
    new: int, past: int | Tensor, real: Tensor | None, documents: Tensor | None, device: torch.device
) -> Tensor:
    """(T,) or (B, T) int64: where each token stands in its text."""
    at = torch.arange(new, device=device)
    if documents is not None:
        starts = torch.ones_like(documents, dtype=torch.bool)
        starts[:, 1:] = documents[:, 1:] != documents[:, :-1]
        return at - torch.where(starts, at, 0).cummax(1).values
    if real is not None:
        return (real.cumsum(1) - 1).clamp(min=0)
    return at + (past if isinstance(past, int) else past[:, None])
