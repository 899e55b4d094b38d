"""Every choice a transformer is built from, as one frozen value that says by itself what it can't be."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

Position = Literal["rope", "learned", "sinusoidal", "alibi", "none"]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu", "relu2", "sigmoid", "tanh", "identity"]
Norm = Literal["rmsnorm", "layernorm"]
NormPlacement = Literal["pre", "post", "sandwich"]
Scaling = Literal["linear", "dynamic", "yarn", "llama3"]
Initialisation = Literal["scaled", "gpt2", "normal", "truncated", "xavier", "kaiming", "orthogonal"]


def check_kinds(values: Any) -> None:
    """Raises ValueError for a switch that is neither on nor off, and for a number that is none or infinite."""
    for field in fields(values):
        value, name = getattr(values, field.name), type(values).__name__
        if field.type == "bool" and not isinstance(value, bool):
            raise ValueError(f"{name}.{field.name} is {value!r}; set True or False")
        if field.type == "int" and type(value) is not int:
            raise ValueError(f"{name}.{field.name} is {value!r}; set a whole number")
        if field.type == "float" and (type(value) not in (int, float) or not math.isfinite(value)):
            raise ValueError(f"{name}.{field.name} is {value!r}; set a number")


@dataclass(frozen=True)
class RopeScaling:
    """How RoPE is stretched over more positions than a model was first trained on; `positions.py` has the formulae.

    factor: how many times as many. original_length: positions of the first training ("dynamic": those up to which
    nothing is stretched). The others are the kinds' own settings, by the names their papers use.
    """

    kind: Scaling
    factor: float
    original_length: int = 0
    low_frequency_factor: float = 1.0  # llama3: waves longer than original_length / this are stretched whole
    high_frequency_factor: float = 4.0  # llama3: waves shorter than original_length / this not at all
    beta_fast: float = 32.0  # yarn: pairs that turn more often than this within original_length aren't stretched
    beta_slow: float = 1.0  # yarn: those that turn less often are stretched whole
    attention_factor: float = 1.0  # yarn: cosines and sines are multiplied by it; .1 ln(factor) + 1 in the paper
    whole_bounds: bool = True  # yarn: the two bounds rounded outwards to whole pairs

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.kind not in get_args(Scaling):
            raise ValueError(f"rope_scaling.kind is {self.kind!r}; set one of {', '.join(get_args(Scaling))}")
        if not self.factor >= 1:
            raise ValueError(f"rope_scaling.factor is {self.factor}; set 1 or more")
        if self.kind != "linear" and self.original_length < 1:
            raise ValueError(f"rope_scaling.original_length is {self.original_length}; set the positions trained on")
        if not 0 < self.low_frequency_factor < self.high_frequency_factor:
            raise ValueError("rope_scaling.low_frequency_factor must lie between 0 and high_frequency_factor; lower it")
        if not 0 < self.beta_slow < self.beta_fast:
            raise ValueError("rope_scaling.beta_slow must lie between 0 and beta_fast; lower it")
        if not self.attention_factor > 0:
            raise ValueError(f"rope_scaling.attention_factor is {self.attention_factor}; set a number above 0")


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

    # Attention
    causal: bool = True
    windows: tuple[int, ...] = ()  # for each layer, how far away a position sees; 0: no limit. (): no limit anywhere
    attention_scale: float = 0.0  # scores are multiplied by it; 0: 1/sqrt(head_dim)
    attention_softcap: float = 0.0  # cap · tanh(score / cap) (Gemma 2); 0: none
    attention_dropout: float = 0.0  # share of attention weights zeroed, in training only
    qk_norm: bool = False  # RMS norm of every query and key head before rotation (Qwen3)
    attention_bias: bool = False  # of query, key and value projections
    attention_output_bias: bool = False
    fused_qkv: bool = False  # one matrix for query, key and value: fewer calls, but optimizers then see one matrix

    # Positions
    position: Position = "rope"
    rope_theta: float = 10000.0
    local_rope_theta: float = 0.0  # of layers with a window, which are then not stretched either; 0: as the others
    rope_share: float = 1.0  # of a head's dimensions that are rotated, from the first (GPT-NeoX)
    rope_interleaved: bool = False  # pairs are neighbours (GPT-J) instead of d and d + D/2
    rope_scaling: RopeScaling | None = None

    # Feed-forward
    activation: Activation = "silu"
    gated: bool = True  # SwiGLU and its kin (Shazeer 2020): one more matrix, so take a narrower ffn_width
    ffn_bias: bool = False

    # Norms and the residual stream
    norm: Norm = "rmsnorm"
    norm_eps: float = 1e-6
    norm_weight: bool = True
    norm_bias: bool = True  # of layernorm with weights; rmsnorm has none
    norm_offset: bool = False  # rmsnorm multiplies by 1 + weight (Gemma)
    norm_placement: NormPlacement = "pre"  # "post" is BERT's: norm after each addition, none at the end
    first_norm: bool = True  # before the first layer's attention (ModernBERT has none)
    residual: bool = True  # False: layers replace the stream, and gradients vanish: for learning about it
    residual_scale: float = 1.0  # what layers add is multiplied by it
    dropout: float = 0.0  # share of activations zeroed after embeddings, attention and feed-forward, in training only

    # Both ends
    embedding_scale: float = 1.0  # sqrt(width) in Gemma
    embedding_norm: bool = False
    token_types: int = 0  # BERT's segment embeddings; 0: none
    tie_embeddings: bool = True
    head_bias: bool = False
    head_transform: bool = False  # matrix, activation and norm before the head (BERT's and ModernBERT's masked tokens)
    head_transform_bias: bool = True
    logit_softcap: float = 0.0  # as attention_softcap

    initialisation: Initialisation = "scaled"  # see init.py

    def __post_init__(self) -> None:
        check_kinds(self)
        if self.rope_scaling is not None and not isinstance(self.rope_scaling, RopeScaling):
            raise ValueError(f"rope_scaling is {self.rope_scaling!r}; set a RopeScaling, or None")
        if not isinstance(self.windows, tuple):
            raise ValueError(f"windows is {self.windows!r}; set a tuple with a distance for each layer")
        sizes = ("vocab_size", "width", "layers", "heads", "kv_heads", "head_dim", "ffn_width", "context_length")
        for name in sizes:
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; set a whole number of 1 or more")
        choices = {
            "position": Position, "activation": Activation, "norm": Norm, "norm_placement": NormPlacement,
            "initialisation": Initialisation,
        }  # fmt: skip
        for name, literal in choices.items():
            if getattr(self, name) not in get_args(literal):
                raise ValueError(f"{name} is {getattr(self, name)!r}; set one of {', '.join(get_args(literal))}")
        if type(self.token_types) is not int or self.token_types < 0:
            raise ValueError(f"token_types is {self.token_types!r}; set 0 for none, or how many there are")
        for name in ("attention_scale", "attention_softcap", "logit_softcap"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; set a number above 0, or 0 for the default")
        for name in ("dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; set a share from 0 to below 1")
        for name in ("norm_eps", "residual_scale", "embedding_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; set a number above 0")
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) is no multiple of kv_heads ({self.kv_heads}); set one that is")
        self._check_windows()
        self._check_positions()
        self._check_norms()

    def _check_windows(self) -> None:
        if self.windows and len(self.windows) != self.layers:
            raise ValueError(f"windows names {len(self.windows)} layers of {self.layers}; name each, 0 for no limit")
        if any(type(window) is not int or window < 0 for window in self.windows):
            raise ValueError(f"windows is {self.windows}; set distances of 1 or more, 0 for no limit")

    def _check_positions(self) -> None:
        rope = self.position == "rope"
        if self.position == "sinusoidal" and self.width % 2:
            raise ValueError(f"width is {self.width}, but sinusoidal positions come in pairs; set an even number")
        if not rope:
            for name, default in (
                ("rope_scaling", None), ("rope_share", 1.0), ("rope_interleaved", False), ("local_rope_theta", 0.0),
            ):  # fmt: skip
                if getattr(self, name) != default:
                    raise ValueError(f"{name} is set, but position is {self.position!r}; set position to 'rope'")
            return
        if not self.rope_theta > 1:
            raise ValueError(f"rope_theta is {self.rope_theta}; set a number above 1")
        if not 0 < self.rope_share <= 1:
            raise ValueError(f"rope_share is {self.rope_share}; set a share above 0, at most 1")
        if self.rotated < 2 or self.rotated % 2:
            which = f"head_dim is {self.head_dim}" + (f" and rope_share {self.rope_share}" * (self.rope_share != 1))
            raise ValueError(f"{which}, but rope rotates pairs; set an even number of dimensions to rotate")
        if self.rope_scaling is not None and self.rope_scaling.kind == "dynamic" and self.rotated == 2:
            raise ValueError(
                "rope_scaling 'dynamic' stretches by pair, and one pair is rotated; set 4 dimensions or more"
            )
        if self.local_rope_theta:
            if not self.local_rope_theta > 1:
                raise ValueError(f"local_rope_theta is {self.local_rope_theta}; set a number above 1, or 0")
            if not any(self.windows):
                raise ValueError("local_rope_theta is set, but no layer has a window; set windows, or 0")

    def _check_norms(self) -> None:
        if self.norm_offset and (self.norm != "rmsnorm" or not self.norm_weight):
            raise ValueError("norm_offset is for rmsnorm with weights; set norm to 'rmsnorm' and norm_weight")
        if not self.first_norm and self.norm_placement == "post":
            raise ValueError("first_norm leaves out a norm before attention, and post placement has none; set it")
        if not self.residual and self.residual_scale != 1:
            raise ValueError("residual_scale is set, but there is no residual stream; set residual, or 1")

    @property
    def rotated(self) -> int:
        """Dimensions of a head that RoPE turns."""
        return int(self.head_dim * self.rope_share)

    def window(self, layer: int) -> int:
        """How far away a position of that layer sees; 0: no limit."""
        return self.windows[layer] if self.windows else 0

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
        values = {**values, "windows": tuple(values.get("windows", ()))}
        if isinstance(values.get("rope_scaling"), dict):
            values["rope_scaling"] = RopeScaling(**values["rope_scaling"])
        return cls(**values)

    def parameters(self) -> int:
        """How many numbers are trained. Tied embeddings count once."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        norm = self.norm_weight * self.width * (2 if self.norm == "layernorm" and self.norm_bias else 1)
        attention = self.width * (2 * queries + 2 * keys) + self.attention_bias * (queries + 2 * keys)
        attention += self.attention_output_bias * self.width + 2 * self.qk_norm * self.norm_weight * self.head_dim
        inner = 2 if self.gated else 1
        feedforward = (inner + 1) * self.width * self.ffn_width
        feedforward += self.ffn_bias * (inner * self.ffn_width + self.width)
        embeddings = (self.vocab_size + self.token_types) * self.width + self.embedding_norm * norm
        embeddings += (self.position == "learned") * self.context_length * self.width
        head = (not self.tie_embeddings) * self.vocab_size * self.width + self.head_bias * self.vocab_size
        head += self.head_transform * (self.width * (self.width + self.head_transform_bias) + norm)
        norms = self.layers * (4 if self.norm_placement == "sandwich" else 2) - (not self.first_norm)
        norms += self.norm_placement != "post"
        return embeddings + self.layers * (attention + feedforward) + norms * norm + head

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
        vocab_size, width, layers, heads, heads // share, head_dim, ffn_width or gated_width(width), context_length,
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
        vocab_size, width, layers, heads, heads, head_dim, ffn_width or gated_width(width), context_length, **switches
    )


def gated_width(width: int, times: float = 4.0, multiple: int = 64) -> int:
    """Hidden size at which a gated layer's three matrices hold what two of `times` · width would (Shazeer 2020):
    two thirds of it, rounded up to whole vectors of `multiple`."""
    return -(-int(times * width * 2 / 3) // multiple) * multiple
