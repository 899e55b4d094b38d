"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Schedule:
    """Warm-up, constant, decay (WSD). Source: Hu et al. 2024 (MiniCPM); linear decay to zero: Defazio et al. 2023.

    steps: of the whole run. warmup_steps: the factor rises from 1/warmup_steps to 1 over them. decay_steps: the last
    ones, over which it falls to final_share; all after the warm-up make the classic linear or cosine schedule.
    """

    steps: int
    warmup_steps: int = 0
    decay_steps: int = 0
    decay: Literal["linear", "cosine"] = "linear"
    final_share: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup_steps < 0 or self.decay_steps < 0 or not 0 <= self.final_share <= 1:
            raise ValueError(f"no such schedule: {self}; steps from 1, the others from 0, final_share from 0 to 1")
        if self.decay not in ("linear", "cosine"):
            raise ValueError(f"decay is {self.decay!r}; set linear or cosine")

    def factor(self, step: int) -> float:
        """Factor on the learning rate of step 0 … steps-1. Where warm-up and decay meet, the smaller holds."""
        rise = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        left = self.steps - step  # 1 at the last step, so that it still learns
        if not self.decay_steps or left > self.decay_steps:
            return rise
        share = left / (self.decay_steps + 1)
        if self.decay == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return min(rise, self.final_share + (1 - self.final_share) * share)
