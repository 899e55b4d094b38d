"""What a decoder says before each token, as far as the gate reads it. Light: evaluation records it without numba."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BEST = 16  # of the decoder's likeliest tokens are looked at; what it thinks of others is taken as less than the last


@dataclass(frozen=True)
class Evidence:
    """entropy: (P,) in nats. best: (P, BEST) its likeliest tokens, best_logp their ln p."""

    entropy: npt.NDArray[np.float64]
    best: npt.NDArray[np.int64]
    best_logp: npt.NDArray[np.float64]
