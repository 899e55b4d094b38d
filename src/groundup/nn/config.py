"""Every choice a transformer is built from, as one frozen value that says by itself what it can't be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Position = Literal["rope", "learned", "sinusoidal", "alibi", "none"]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu", "relu2", "sigmoid"]
Norm = Literal["rmsnorm", "layernorm"]
NormPlacement = Literal["pre", "post"]


@dataclass(frozen=True)
class TransformerConfig:
    """Shape and switches of a transformer. Raises ValueError, naming the field and what to set, if they don't fit."""

    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int  # each serves heads / kv_heads query heads (GQA, Ainslie et al. 2023); 1 is multi-query attention
    head_dim: int
    ffn_width: int
    context_length: int  # positions trained for; a hard limit only for learned positions
    causal: bool = True
    position: Position = "rope"
    rope_theta: float = 10000.0
    activation: Activation = "silu"
    gated: bool = True  # SwiGLU and its kin (Shazeer 2020): one more matrix, so take a narrower ffn_width
    norm: Norm = "rmsnorm"
    norm_eps: float = 1e-6
    norm_bias: bool = True  # of layernorm; rmsnorm has none
    norm_placement: NormPlacement = "pre"  # "post" is BERT's: norm after each addition, none at the end
    qk_norm: bool = False  # RMS norm of every query and key head before rotation (Qwen3)
    tie_embeddings: bool = True
    attention_bias: bool = False  # of query, key and value projections
    attention_output_bias: bool = False
    ffn_bias: bool = False
    head_bias: bool = False
    token_types: int = 0  # BERT's segment embeddings; 0: none
    embedding_norm: bool = False
    dropout: float = 0.0  # share of activations zeroed after embeddings, attention and feed-forward, in training only
    fused_qkv: bool = False  # one matrix for query, key and value: fewer calls, but optimizers then see one matrix

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "width", "layers", "heads", "kv_heads", "head_dim", "ffn_width", "context_length")
        for name in sizes:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; set a whole number of 1 or more")
        choices = {"position": Position, "activation": Activation, "norm": Norm, "norm_placement": NormPlacement}
        for name, literal in choices.items():
            if getattr(self, name) not in get_args(literal):
                raise ValueError(f"{name} is {getattr(self, name)!r}; set one of {', '.join(get_args(literal))}")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) is no multiple of kv_heads ({self.kv_heads}); set one that is")
        if self.position == "rope" and self.head_dim % 2:
            raise ValueError(f"head_dim is {self.head_dim}, but rope rotates pairs; set an even number")
        if self.position == "sinusoidal" and self.width % 2:
            raise ValueError(f"width is {self.width}, but sinusoidal positions come in pairs; set an even number")
        if not self.rope_theta > 1:
            raise ValueError(f"rope_theta is {self.rope_theta}; set a number above 1")
        if not self.norm_eps > 0:
            raise ValueError(f"norm_eps is {self.norm_eps}; set a small number above 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; set a share from 0 to below 1")
        if type(self.token_types) is not int or self.token_types < 0:
            raise ValueError(f"token_types is {self.token_types!r}; set 0 for none, or how many there are")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TransformerConfig:
        """Inverse of `to_dict`. Raises ValueError for an unknown key: a model must not lose a switch in silence."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"unknown transformer settings: {', '.join(unknown)}; remove them")
        missing = sorted(field.name for field in fields(cls)[:8] if field.name not in values)
        if missing:
            raise ValueError(f"transformer settings are missing: {', '.join(missing)}; add them")
        return cls(**values)

    def parameters(self) -> int:
        """How many numbers are trained. Tied embeddings count once."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        norm = self.width * (2 if self.norm == "layernorm" and self.norm_bias else 1)
        attention = self.width * (2 * queries + 2 * keys) + self.attention_bias * (queries + 2 * keys)
        attention += self.attention_output_bias * self.width + 2 * self.qk_norm * self.head_dim
        inner = 2 if self.gated else 1
        feedforward = (inner + 1) * self.width * self.ffn_width
        feedforward += self.ffn_bias * (inner * self.ffn_width + self.width)
        embeddings = (self.vocab_size + self.token_types) * self.width + self.embedding_norm * norm
        embeddings += (self.position == "learned") * self.context_length * self.width
        head = (not self.tie_embeddings) * self.vocab_size * self.width + self.head_bias * self.vocab_size
        final = norm if self.norm_placement == "pre" else 0
        return embeddings + self.layers * (attention + feedforward + 2 * norm) + final + head

    def flops_per_token(self, context: int | None = None) -> int:
        """Multiply-adds × 2 of one forward pass per token, head included; training takes three times as many.

        context: positions in a row (context_length if None); causal attention sees half of them on average.
        """
        positions = context or self.context_length
        matrices = self.width * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        matrices += (3 if self.gated else 2) * self.width * self.ffn_width
        attended = self.heads * self.head_dim * positions * (1 if self.causal else 2)
        return 2 * (self.layers * (matrices + attended) + self.width * self.vocab_size)


def decoder_config(
    vocab_size: int,
    width: int,
    layers: int,
    *,
    context_length: int = 1024,
    head_dim: int = 64,
    kv_share: int = 2,
    ffn_width: int | None = None,
    **switches: Any,
) -> TransformerConfig:
    """A Qwen3-class decoder: pre-norm RMSNorm, QK-norm, RoPE, grouped-query heads, SwiGLU, no biases.

    kv_share: query heads that share one key/value head; lowered to the largest number that divides the heads.
    ffn_width: 8/3 of the width, rounded up to 64, if None: a gated layer then has as many weights as 4 × width plain.
    """
    heads = max(1, width // head_dim)
    share = next(share for share in range(min(kv_share, heads), 0, -1) if heads % share == 0)
    switches = {"qk_norm": True, "tie_embeddings": True, **switches}
    return TransformerConfig(
        vocab_size, width, layers, heads, heads // share, head_dim, ffn_width or _two_thirds(width), context_length,
        **switches,
    )  # fmt: skip


def encoder_config(
    vocab_size: int,
    width: int,
    layers: int,
    *,
    context_length: int = 512,
    head_dim: int = 32,
    ffn_width: int | None = None,
    **switches: Any,
) -> TransformerConfig:
    """A bidirectional encoder in the manner of ModernBERT: pre-norm RMSNorm, RoPE, gated GELU, no biases."""
    heads = max(1, width // head_dim)
    switches = {"causal": False, "activation": "gelu", "embedding_norm": True, **switches}
    return TransformerConfig(
        vocab_size, width, layers, heads, heads, head_dim, ffn_width or _two_thirds(width), context_length, **switches
    )


def _two_thirds(width: int) -> int:
    return -(-(4 * width * 2 // 3) // 64) * 64
