"""What an inspection found, as plain numbers.

Legend: L layers, H heads, T tokens, A answers: tokens whose probability was asked. Where L + 1 is written, the first
row is the embedding, and row l + 1 the residual stream behind layer l.
"""

from __future__ import annotations

import base64
import math
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Int = npt.NDArray[np.int64]
Asks = Literal["next", "masked"]  # a token from those before it, or from all others with itself hidden
LEVELS = 255
DIGITS = 4  # significant ones of a figure in JSON


@dataclass(frozen=True)
class Norms:
    """‖·‖₂ of each position's vector: the stream, and what attention and feed-forward add to it."""

    stream: Float  # (L + 1, T)
    attention: Float  # (L, T)
    ffn: Float  # (L, T)


@dataclass(frozen=True)
class Lens:
    """What each layer's stream would predict through the final norm and the head (nostalgebraist 2020)."""

    top_ids: Int  # (L + 1, A, K), likeliest first
    top: Float  # (L + 1, A, K) their probabilities
    truth: Float  # (L + 1, A) log2 p of the token that stands there


@dataclass(frozen=True)
class Predictions:
    """The model's own answers."""

    bits: Float  # (A,) −log2 p of the token that stands there
    rank: Int  # (A,) 1: it was the likeliest
    top_ids: Int  # (A, K)
    top: Float  # (A, K)


@dataclass(frozen=True)
class Gradients:
    """‖∂loss/∂·‖₂, the loss being the mean nats of an answer."""

    stream: Float  # (L + 1,) over all positions at once
    groups: dict[str, Float]  # "attention", "feed-forward", "norms" → (L,)
    ends: dict[str, float]  # "embedding", "final norm", "head": what the model has of them
    group_weights: dict[str, Float]  # ‖weights‖₂ of the same
    end_weights: dict[str, float]


@dataclass(frozen=True)
class Pooled:
    """How each token's hidden state stands to the one vector that is made of them."""

    by: Literal["mean", "cls"]
    cosine: Float  # (T,) with the vector
    share: Float | None  # (T,) of the vector, 1 in all; None where the vector is one token's


@dataclass(frozen=True)
class Compared:
    """A second text beside the first, S tokens."""

    text: str
    tokens: list[int]  # (S,)
    special: list[bool]  # (S,)
    similarity: float  # the cosine of the two vectors
    parts: Float | None  # (T, S) of the similarity, which is their sum; None where the vectors are one token's


@dataclass(frozen=True)
class Inspection:
    """One text through one model. What a model has no head for is None."""

    name: str
    text: str
    causal: bool
    parameters: int
    tokens: list[int]  # (T,)
    special: list[bool]  # (T,) not of the text
    labels: dict[int, str]  # of every id that occurs
    missing_bytes: int
    attention: npt.NDArray[np.float32]  # (L, H, T, T): weight of each key (last) for each query
    norms: Norms
    asks: Asks | None
    answers: list[int]  # (A,) the positions of the tokens asked for
    predictions: Predictions | None
    lens: Lens | None
    gradients: Gradients | None
    pooled: Pooled | None = None  # of an encoder that makes one vector of a text
    compared: Compared | None = None

    @property
    def mean_bits(self) -> float | None:
        return None if self.predictions is None else float(self.predictions.bits.mean())

    def to_json(self) -> dict[str, Any]:
        """Compact and plain; numbers that aren't finite are null. The page holds exactly this.

        "attention.weights": base64 of zlib of bytes, layer by layer, head by head, query by query; a byte q stands for
        (q / 255)². Of a causal model's query t only the keys up to t are there.
        """
        layers, heads, _, _ = self.attention.shape
        return {
            "name": self.name,
            "text": self.text,
            "causal": self.causal,
            "parameters": self.parameters,
            "layers": layers,
            "heads": heads,
            "tokens": self.tokens,
            "special": [int(one) for one in self.special],
            "labels": {str(number): label for number, label in self.labels.items()},
            "missing_bytes": self.missing_bytes,
            "attention": {
                "weights": pack(self.attention, self.causal),
                **{name: plain(share) for name, share in head_shares(self.attention).items()},
            },
            "norms": {"stream": plain(self.norms.stream), "attention": plain(self.norms.attention),
                      "feed-forward": plain(self.norms.ffn)},
            "asks": self.asks,
            "answers": self.answers,
            "predictions": _predictions(self.predictions),
            "lens": _lens(self.lens),
            "gradients": _gradients(self.gradients),
            "pooled": _pooled(self.pooled),
            "compared": _compared(self.compared),
        }  # fmt: skip


def pack(attention: npt.NDArray[np.float32], causal: bool) -> str:
    """(L, H, T, T) weights as `Inspection.to_json` says. The square root spares the small ones: a step is .4 % at 1 and
    .003 % at .0001, where even steps would lose all below .2 %."""
    levels = np.rint(np.sqrt(np.nan_to_num(attention).clip(0, 1)) * LEVELS).astype(np.uint8)
    if causal:
        levels = levels[..., *np.tril_indices(attention.shape[-1])]
    return base64.b64encode(zlib.compress(levels.tobytes(), 9)).decode("ascii")


def head_shares(attention: npt.NDArray[np.float32]) -> dict[str, Float]:
    """(L, H) each: the mean weight that queries give the first token, the one before them, and themselves.

    The first query, which often has no choice, doesn't count. Heads at rest look at the first token (Xiao et al. 2024).
    """
    T = attention.shape[-1]
    rows = np.arange(1, T)
    if not len(rows):
        nothing = np.zeros(attention.shape[:2])
        return {"first": nothing, "previous": nothing, "self": nothing}
    columns = {"first": np.zeros(T - 1, dtype=int), "previous": rows - 1, "self": rows}
    return {name: attention[:, :, rows, column].mean(-1, dtype=np.float64) for name, column in columns.items()}


def plain(values: Any) -> Any:
    """Arrays, numbers and lists of them as nested lists, floats with DIGITS significant digits, None if not finite."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, list):
        return [plain(value) for value in values]
    if isinstance(values, int):
        return values
    return float(f"{values:.{DIGITS}g}") if math.isfinite(values) else None


def _predictions(found: Predictions | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"bits": plain(found.bits), "rank": plain(found.rank), "ids": plain(found.top_ids), "top": plain(found.top)}


def _lens(found: Lens | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"ids": plain(found.top_ids), "top": plain(found.top), "truth": plain(found.truth)}


def _gradients(found: Gradients | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "stream": plain(found.stream),
        "groups": {name: plain(norms) for name, norms in found.groups.items()},
        "ends": {name: plain(norm) for name, norm in found.ends.items()},
        "group_weights": {name: plain(norms) for name, norms in found.group_weights.items()},
        "end_weights": {name: plain(norm) for name, norm in found.end_weights.items()},
    }


def _pooled(found: Pooled | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "by": found.by,
        "cosine": plain(found.cosine),
        "share": None if found.share is None else plain(found.share),
    }


def _compared(found: Compared | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "text": found.text,
        "tokens": found.tokens,
        "special": [int(one) for one in found.special],
        "similarity": round(found.similarity, 6),  # so that the page's script rounds it to what its words say
        "parts": None if found.parts is None else plain(found.parts),
    }
