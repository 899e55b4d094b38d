"""How much say memory has at a position: λ of p = (1 − λ) · p_decoder + λ · p_memory.

A small network reads what memory knows of the context (lengths, counts and followers of the two longest matches, its
favourite's share) and what the decoder makes of it (entropy, best probability, what it thinks of memory's favourite).
It is fitted on texts that memory doesn't hold, by the likelihood of the mixture (as kNN-LM's gates are: He et al. 2021,
Drozdov et al. 2022). They are of the corpus' kind. For a decoder that can do more than the corpus, a cautious gate's λ
is multiplied by the `trust` that memory earned in the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.infinigram.descent import Float64, descend, sigmoid
from groundup.infinigram.evidence import Evidence
from groundup.infinigram.survey import Survey

HIDDEN = 8  # on 20 files as on 290 the gain was within half a percent of that of 32
STEPS, RATE, DECAY = 200, 0.02, 1e-3


@dataclass(frozen=True)
class Gate:
    """mean, scale: (F,) of the features where it was fitted. hidden to out_bias: one hidden layer of tanh units.

    cautious: memory has to earn its say in each text. It is fitted without: fitted with, λ grew where trust is in
    doubt, and held-out packages gained less.
    """

    mean: Float64
    scale: Float64
    hidden: Float64  # (F, H)
    hidden_bias: Float64  # (H,)
    out: Float64  # (H,)
    out_bias: float
    cautious: bool = False

    @classmethod
    def fit(
        cls, features: Float64, decoder: Float64, memory: Float64, seed: int = 0, *, cautious: bool = False
    ) -> Gate:
        """features: (P, F). decoder, memory: (P,) p of the token that came. Raises ValueError without a position."""
        if not len(features):
            raise ValueError("there is nothing to fit a gate on")
        mean, scale = features.mean(0), features.std(0) + 1e-6
        inputs = (features - mean) / scale
        random = np.random.default_rng(seed)
        width = inputs.shape[1]

        def gradients(now: Sequence[Any]) -> Sequence[Any]:
            hidden, hidden_bias, out, out_bias = now
            units = np.tanh(inputs @ hidden + hidden_bias)  # (P, H)
            share = sigmoid(units @ out + out_bias)
            mixed = (1 - share) * decoder + share * memory
            slope = -(memory - decoder) / mixed * share * (1 - share) / len(mixed)  # of the mean of −ln p
            inner = np.outer(slope, out) * (1 - units**2)
            return (
                inputs.T @ inner + DECAY * hidden,
                inner.sum(0),
                units.T @ slope + DECAY * out,
                np.array(slope.sum()),
            )

        start = [
            random.normal(0, width**-0.5, (width, HIDDEN)),
            np.zeros(HIDDEN),
            random.normal(0, 0.1, HIDDEN),
            np.array(-1.0),
        ]
        hidden, hidden_bias, out, out_bias = descend(gradients, start, steps=STEPS, rate=RATE)
        return cls(mean, scale, hidden, hidden_bias, out, float(out_bias), cautious)

    def shares(self, features: Float64) -> Float64:
        """(P,) λ for features (P, F), before caution."""
        units = np.tanh((features - self.mean) / self.scale @ self.hidden + self.hidden_bias)
        return sigmoid(units @ self.out + self.out_bias)

    def to_json(self) -> dict[str, Any]:
        return {name: np.asarray(getattr(self, name)).tolist() for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Gate:
        """Raises KeyError or ValueError for what is none. One that says nothing of caution was measured without."""
        mean, scale, hidden, hidden_bias, out = (
            np.array(value[name], np.float64) for name in ("mean", "scale", "hidden", "hidden_bias", "out")
        )
        gate = cls(mean, scale, hidden, hidden_bias, out, float(value["out_bias"]), bool(value.get("cautious")))
        if gate.hidden.shape != (len(gate.mean), len(gate.out)) or gate.mean.shape != (len(FEATURES),):
            raise ValueError("the gate's arrays don't fit each other")
        return gate


FEATURES = (
    *("matched", "ln length", "ln count", "ln distinct", "distinct / count", "favourite's share"),
    *("next matched", "ln next length", "ln next count", "ln next distinct", "next distinct / count", "next share"),
    *("entropy", "ln best p", "best p", "agreement", "ln p of favourite", "p of favourite"),
    *("ln memory's p of favourite", "memory's p of favourite"),
)


def features(survey: Survey, favourite: Float64, evidence: Evidence) -> Float64:
    """(P, F) by the names in FEATURES. favourite: (P,) memory's p of the longest match's favourite."""
    columns: list[Float64] = []
    for level in (0, 1):
        counts, distinct = survey.counts[:, level], survey.distinct[:, level]
        columns += [
            (counts > 0).astype(np.float64),
            _log(survey.lengths[:, level]),
            _log(counts),
            _log(distinct),
            distinct / np.maximum(counts, 1),
            survey.favourite_hits[:, level] / np.maximum(counts, 1),
        ]
    best = evidence.best_logp[:, 0]
    same = evidence.best == survey.favourite[:, None]
    found = (evidence.best_logp * same).sum(1)
    thought = np.where(same.any(1), found, evidence.best_logp[:, -1] - 1)  # at least e times less than the last
    columns += [evidence.entropy, best, np.exp(best), same[:, 0].astype(np.float64), thought, np.exp(thought)]
    columns += [np.log(favourite), favourite]
    return np.stack(columns, 1)


def _log(values: npt.NDArray[np.int64]) -> Float64:
    return np.log(np.maximum(values, 1).astype(np.float64))
