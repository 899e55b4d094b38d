"""From logits to a token: pure functions over one row of logits, applied in one stated order.

    repetition → presence → frequency → temperature → top-k → nucleus (top-p) → min-p → draw

Every function takes (V,) logits and returns new ones; a token that is out has −inf. Each keeps at least one token.
float64 throughout: 49,152 of them cost a few hundred µs a token, and a nucleus in fp32 depends on the order of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from groundup.generation.sampling import Sampling

Logits = npt.NDArray[np.float64]


def repetition(logits: Logits, seen: Sequence[int], penalty: float) -> Logits:
    """Logits of tokens seen in prompt or text: divided by the penalty if above 0, multiplied if below (CTRL, 2019)."""
    if penalty == 1 or not len(seen):
        return logits
    tokens = np.unique(np.asarray(seen, dtype=np.int64))
    out = logits.copy()
    out[tokens] = np.where(out[tokens] > 0, out[tokens] / penalty, out[tokens] * penalty)
    return out


def presence_and_frequency(logits: Logits, generated: Sequence[int], presence: float, frequency: float) -> Logits:
    """logit − presence · [count > 0] − frequency · count, with counts over generated tokens only (OpenAI's formula)."""
    if (presence == 0 and frequency == 0) or not len(generated):
        return logits
    tokens, counts = np.unique(np.asarray(generated, dtype=np.int64), return_counts=True)
    out = logits.copy()
    out[tokens] -= presence + frequency * counts
    return out


def temperature(logits: Logits, value: float) -> Logits:
    """logits / value. The largest is moved to 0 first, so that a tiny temperature gives −inf and never inf − inf."""
    with np.errstate(over="ignore"):
        return np.asarray((logits - logits.max()) / value, dtype=np.float64)


def top_k(logits: Logits, k: int | None) -> Logits:
    """Keeps the k largest, and whatever ties with the smallest of them."""
    if k is None or k >= len(logits):
        return logits
    bound = np.partition(logits, len(logits) - k)[len(logits) - k]
    return np.where(logits < bound, -np.inf, logits)


def top_p(logits: Logits, p: float) -> Logits:
    """Keeps the smallest set of likeliest tokens whose mass reaches p; of equal tokens the lower id comes first."""
    if p >= 1:
        return logits
    probabilities = softmax(logits)
    # Tokens below (1 − p) / V weigh less than 1 − p together, so the nucleus lies among the others: sorting only those
    # takes a fraction of sorting 49,152.
    candidates = np.flatnonzero(probabilities >= min((1 - p) / len(logits), probabilities.max()))
    order = candidates[np.argsort(-probabilities[candidates], kind="stable")]
    before = np.cumsum(probabilities[order]) - probabilities[order]  # mass of all that are likelier
    keep = order[: max(1, int(np.count_nonzero(before < p)))]
    return _only(logits, keep)


def min_p(logits: Logits, share: float) -> Logits:
    """Keeps tokens with at least `share` of the likeliest one's probability: a difference of ln(share) in logits."""
    if share <= 0:
        return logits
    return np.where(logits < logits.max() + np.log(share), -np.inf, logits)


def processed(logits: Logits, prompt: Sequence[int], generated: Sequence[int], sampling: Sampling) -> Logits:
    """All of the above in order. With temperature 0 only the penalties: what follows can't change the largest."""
    out = repetition(logits, [*prompt, *generated], sampling.repetition_penalty) if _repeats(sampling) else logits
    out = presence_and_frequency(out, generated, sampling.presence_penalty, sampling.frequency_penalty)
    if sampling.greedy:
        return out
    out = temperature(out, sampling.temperature)
    out = top_k(out, sampling.top_k)
    out = top_p(out, sampling.top_p)
    return min_p(out, sampling.min_p)


def draw(logits: Logits, sampling: Sampling, random: np.random.Generator) -> int:
    """One token from processed logits: the largest (lowest id of equals) if greedy, else by inverse of the sum."""
    if sampling.greedy:
        return int(np.argmax(logits))
    kept = np.flatnonzero(logits > -np.inf)
    mass = np.cumsum(softmax(logits[kept]))
    at = int(np.searchsorted(mass, random.random() * mass[-1], side="right"))
    return int(kept[min(at, len(kept) - 1)])


def softmax(logits: Logits) -> Logits:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def log_softmax(logits: Logits) -> Logits:
    shifted = logits - logits.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()), dtype=np.float64)


def _only(logits: Logits, keep: npt.NDArray[np.int64]) -> Logits:
    out = np.full_like(logits, -np.inf)
    out[keep] = logits[keep]
    return out


def _repeats(sampling: Sampling) -> bool:
    return sampling.repetition_penalty != 1
