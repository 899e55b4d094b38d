"""The transformer again, written for one row of float64 and no speed: one position and one head at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from groundup.nn.transformer import Transformer

ACTIVATIONS = {
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": lambda x: x.clamp(min=0),
    "relu2": lambda x: x.clamp(min=0) ** 2,
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
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


def forward(model: Transformer, tokens: list[int], token_types: list[int] | None = None) -> Tensor:
    """(T, C) hidden states of one row."""
    c, w = model.config, {name: p.detach() for name, p in model.named_parameters()}

    def norm(x: Tensor, name: str) -> Tensor:
        if c.norm == "rmsnorm" or "q_norm" in name or "k_norm" in name:
            return x / math.sqrt(float((x * x).mean()) + c.norm_eps) * w[name + ".weight"]
        y = (x - x.mean()) / math.sqrt(float(((x - x.mean()) ** 2).mean()) + c.norm_eps) * w[name + ".weight"]
        return y + w[name + ".bias"] if c.norm_bias else y

    def linear(x: Tensor, name: str) -> Tensor:
        y = w[name + ".weight"] @ x
        return y + w[name + ".bias"] if name + ".bias" in w else y

    def rope(x: Tensor, at: int) -> Tensor:
        y, half = x.clone(), len(x) // 2
        for d in range(half):
            angle = at * c.rope_theta ** (-2 * d / len(x))
            y[d] = x[d] * math.cos(angle) - x[d + half] * math.sin(angle)
            y[d + half] = x[d + half] * math.cos(angle) + x[d] * math.sin(angle)
        return y

    stream = []
    for at, token in enumerate(tokens):
        x = w["embedding.weight"][token].clone()
        if c.position == "learned":
            x += w["position_embedding.weight"][at]
        if c.position == "sinusoidal":
            for d in range(0, c.width, 2):
                angle = at / 10000 ** (d / c.width)
                x[d] += math.sin(angle)
                x[d + 1] += math.cos(angle)
        if c.token_types:
            x += w["token_type_embedding.weight"][token_types[at] if token_types else 0]
        stream.append(norm(x, "embedding_norm") if c.embedding_norm else x)

    def attention(xs: list[Tensor], name: str) -> list[Tensor]:
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
                    pieces = [rope(piece, at) for piece in pieces]
                heads.append(pieces)
            projected.append(heads)
        merged = []
        for t in range(len(xs)):
            outputs = []
            for h in range(c.heads):
                seen = range(t + 1) if c.causal else range(len(xs))
                group = h // (c.heads // c.kv_heads)
                scores = torch.stack(
                    [projected[t][0][h] @ projected[s][1][group] / math.sqrt(c.head_dim) for s in seen]
                )
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

    for i in range(c.layers):
        name = f"blocks.{i}"
        if c.norm_placement == "pre":
            added = attention([norm(x, name + ".attention_norm") for x in stream], name + ".attention")
            stream = [x + y for x, y in zip(stream, added, strict=True)]
            stream = [x + feedforward(norm(x, name + ".ffn_norm"), name + ".ffn") for x in stream]
        else:
            added = attention(stream, name + ".attention")
            stream = [norm(x + y, name + ".attention_norm") for x, y in zip(stream, added, strict=True)]
            stream = [norm(x + feedforward(x, name + ".ffn"), name + ".ffn_norm") for x in stream]
    return torch.stack([norm(x, "final_norm") if c.norm_placement == "pre" else x for x in stream])
