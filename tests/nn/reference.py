"""The transformer again, written for one row of float64 and no speed: one position and one head at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer

ACTIVATIONS = {
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: x.clamp(min=0),
    "relu2": lambda x: x.clamp(min=0) ** 2,
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "tanh": lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
    "identity": lambda x: x,
}


def slopes(heads: int) -> list[float]:
    """As in the ALiBi authors' code."""

    def power_of_two(n: int) -> list[float]:
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    if math.log2(heads).is_integer():
        return power_of_two(heads)
    closest = 2 ** math.floor(math.log2(heads))
    return power_of_two(closest) + slopes(2 * closest)[0::2][: heads - closest]


def frequency(c: TransformerConfig, pair: int, rotated: int, local: bool, length: int) -> tuple[float, float]:
    """(radians a position of that pair, factor on its cosine and sine), from the papers' formulae."""
    theta = c.local_rope_theta if local else c.rope_theta
    f = theta ** (-2 * pair / rotated)
    r = c.rope_scaling
    if r is None or local:
        return f, 1.0
    if r.kind == "linear":
        return f / r.factor, 1.0
    if r.kind == "dynamic":
        grown = r.factor * max(length, r.original_length) / r.original_length - (r.factor - 1)
        return (theta * grown ** (rotated / (rotated - 2))) ** (-2 * pair / rotated), 1.0
    if r.kind == "llama3":
        wave = 2 * math.pi / f
        if wave < r.original_length / r.high_frequency_factor:
            return f, 1.0
        if wave > r.original_length / r.low_frequency_factor:
            return f / r.factor, 1.0
        smooth = (r.original_length / wave - r.low_frequency_factor) / (
            r.high_frequency_factor - r.low_frequency_factor
        )
        return (1 - smooth) * f / r.factor + smooth * f, 1.0

    def bound(turns: float) -> float:
        return rotated * math.log(r.original_length / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low, high = bound(r.beta_fast), bound(r.beta_slow)
    if r.whole_bounds:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotated - 1)
    ramp = min(1.0, max(0.0, (pair - low) / (high - low if high != low else 0.001)))
    return f / r.factor * ramp + f * (1 - ramp), r.attention_factor


def sees(c: TransformerConfig, layer: int, t: int, s: int, prefix: int = 0) -> bool:
    if c.causal and s > t and not (s < prefix and t < prefix):
        return False
    return not (c.window(layer) and abs(t - s) > c.window(layer))


def forward(
    model: Transformer, tokens: list[int], token_types: list[int] | None = None, prefix: int = 0
) -> tuple[Tensor, Tensor]:
    """(T, C) hidden states and (T, V) logits of one row."""
    c, w = model.config, {name: p.detach() for name, p in model.named_parameters()}

    def norm(x: Tensor, name: str) -> Tensor:
        heads = "q_norm" in name or "k_norm" in name
        if c.norm == "rmsnorm" or heads:
            y = x / math.sqrt(float((x * x).mean()) + c.norm_eps)
            if not c.norm_weight:
                return y
            return y * (1 + w[name + ".weight"] if c.norm_offset else w[name + ".weight"])
        y = (x - x.mean()) / math.sqrt(float(((x - x.mean()) ** 2).mean()) + c.norm_eps)
        if not c.norm_weight:
            return y
        y = y * w[name + ".weight"]
        return y + w[name + ".bias"] if c.norm_bias else y

    def linear(x: Tensor, name: str) -> Tensor:
        y = w[name + ".weight"] @ x
        return y + w[name + ".bias"] if name + ".bias" in w else y

    def rope(x: Tensor, at: int, local: bool) -> Tensor:
        rotated = int(len(x) * c.rope_share)
        y, half = x.clone(), rotated // 2
        for d in range(half):
            radians, factor = frequency(c, d, rotated, local, len(tokens))
            one, other = (2 * d, 2 * d + 1) if c.rope_interleaved else (d, d + half)
            cos, sin = math.cos(at * radians) * factor, math.sin(at * radians) * factor
            y[one] = x[one] * cos - x[other] * sin
            y[other] = x[other] * cos + x[one] * sin
        return y

    stream = []
    for at, token in enumerate(tokens):
        x = w["embedding.weight"][token] * c.embedding_scale
        if c.position == "learned":
            x = x + w["position_embedding.weight"][at]
        if c.position == "sinusoidal":
            x = x.clone()
            for d in range(0, c.width, 2):
                angle = at / 10000 ** (d / c.width)
                x[d] += math.sin(angle)
                x[d + 1] += math.cos(angle)
        if c.token_types:
            x = x + w["token_type_embedding.weight"][token_types[at] if token_types else 0]
        stream.append(norm(x, "embedding_norm") if c.embedding_norm else x)

    def attention(xs: list[Tensor], layer: int) -> list[Tensor]:
        name, local = f"blocks.{layer}.attention", bool(c.window(layer) and c.local_rope_theta)
        projected = []
        for at, x in enumerate(xs):
            if c.fused_qkv:
                keys = c.kv_heads * c.head_dim
                q, k, v = linear(x, name + ".qkv").split([c.heads * c.head_dim, keys, keys])
            else:
                q, k, v = (linear(x, f"{name}.{part}") for part in "qkv")
            heads = []
            for part, letter in ((q, "q"), (k, "k"), (v, "v")):
                pieces = list(part.split(c.head_dim))
                if c.qk_norm and letter != "v":
                    pieces = [norm(piece, f"{name}.{letter}_norm") for piece in pieces]
                if c.position == "rope" and letter != "v":
                    pieces = [rope(piece, at, local) for piece in pieces]
                heads.append(pieces)
            projected.append(heads)
        merged = []
        for t in range(len(xs)):
            outputs = []
            for h in range(c.heads):
                seen = [s for s in range(len(xs)) if sees(c, layer, t, s, prefix)]
                group = h // (c.heads // c.kv_heads)
                scale = c.attention_scale or 1 / math.sqrt(c.head_dim)
                scores = torch.stack([projected[t][0][h] @ projected[s][1][group] * scale for s in seen])
                if c.attention_softcap:
                    scores = c.attention_softcap * torch.tanh(scores / c.attention_softcap)
                if c.position == "alibi":
                    scores = scores - slopes(c.heads)[h] * torch.tensor([abs(t - s) for s in seen], dtype=scores.dtype)
                weights = torch.exp(scores - scores.max())
                weights = weights / weights.sum()
                outputs.append(sum(weight * projected[s][2][group] for weight, s in zip(weights, seen, strict=True)))
            merged.append(linear(torch.cat(outputs), name + ".o"))
        return merged

    def feedforward(x: Tensor, name: str) -> Tensor:
        act = ACTIVATIONS[c.activation]
        y = act(linear(x, name + ".gate")) * linear(x, name + ".up") if c.gated else act(linear(x, name + ".up"))
        return linear(y, name + ".down")

    def joined(x: Tensor, y: Tensor) -> Tensor:
        return x + c.residual_scale * y if c.residual else y

    for i in range(c.layers):
        name = f"blocks.{i}"
        if c.norm_placement == "post":
            added = attention(stream, i)
            stream = [norm(joined(x, y), name + ".attention_norm") for x, y in zip(stream, added, strict=True)]
            stream = [norm(joined(x, feedforward(x, name + ".ffn")), name + ".ffn_norm") for x in stream]
            continue
        first = i > 0 or c.first_norm
        added = attention([norm(x, name + ".attention_norm") if first else x for x in stream], i)
        worked = added
        if c.norm_placement == "sandwich":
            worked = [norm(y, name + ".attention_post_norm") for y in added]
        stream = [joined(x, y) for x, y in zip(stream, worked, strict=True)]
        made = [feedforward(norm(x, name + ".ffn_norm"), name + ".ffn") for x in stream]
        if c.norm_placement == "sandwich":
            made = [norm(y, name + ".ffn_post_norm") for y in made]
        stream = [joined(x, y) for x, y in zip(stream, made, strict=True)]
    hidden = [norm(x, "final_norm") if c.norm_placement != "post" else x for x in stream]
    logits = []
    for x in hidden:
        if c.head_transform:
            x = norm(ACTIVATIONS[c.activation](linear(x, "head_transform.dense")), "head_transform.norm")
        y = w["embedding.weight" if c.tie_embeddings else "head.weight"] @ x
        y = y + w["head_bias"] if c.head_bias else y
        logits.append(c.logit_softcap * torch.tanh(y / c.logit_softcap) if c.logit_softcap else y)
    return torch.stack(hidden), torch.stack(logits)
