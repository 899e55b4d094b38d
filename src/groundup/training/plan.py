"""What a training run is told: token counts and rates, never seconds. A plan is part of a step's identity."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from groundup.training.optimizers import Rates
from groundup.training.schedules import Schedule

NumberFormat = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class TrainingPlan:
    """A decoder's run. Steps follow from tokens and batch_tokens; micro_tokens changes memory, never the result
    beyond rounding."""

    tokens: int  # targets to learn from, repeated epochs counted again
    batch_tokens: int = 4096  # targets of one optimizer step
    length: int = 256  # positions of one window
    seed: int = 0
    rates: Rates = field(default_factory=Rates)
    warmup_share: float = 0.02  # of the steps
    decay_share: float = 0.7  # of the steps, at the end
    decay: Literal["linear", "cosine"] = "linear"
    final_share: float = 0.0  # of the peak rate, at the end
    clip: float = 1.0  # global gradient norm
    micro_tokens: int = 16384  # targets whose activations are held at once
    number_format: NumberFormat = "fp32"  # of the products; the planner asks machine.profile() what is fast
    save_every_tokens: int = 500_000
    evaluate_every_tokens: int = 500_000
    evaluate_tokens: int = 32_768  # held-out targets of an evaluation in between
    report_every: int = 10  # steps

    def __post_init__(self) -> None:
        whole = ("tokens", "batch_tokens", "length", "micro_tokens", "save_every_tokens", "evaluate_every_tokens")
        for name in (*whole, "report_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; set a whole number of 1 or more")
        if self.batch_tokens < self.length:
            raise ValueError(f"batch_tokens ({self.batch_tokens}) is below length ({self.length}); raise it")

    def bounded(self, tokens: int) -> TrainingPlan:
        """The same for at most so many tokens; what is paced by them keeps its pace."""
        if tokens >= self.tokens:
            return self
        kept = max(tokens, self.batch_tokens)
        pace = kept / self.tokens
        return replace(
            self,
            tokens=kept,
            save_every_tokens=max(1, int(self.save_every_tokens * pace)),
            evaluate_every_tokens=max(1, int(self.evaluate_every_tokens * pace)),
        )

    @property
    def batch(self) -> int:
        return self.batch_tokens // self.length

    @property
    def micro_batch(self) -> int:
        return max(1, min(self.batch, self.micro_tokens // self.length))

    @property
    def steps(self) -> int:
        return max(1, -(-self.tokens // (self.batch * self.length)))

    @property
    def schedule(self) -> Schedule:
        return _schedule(self.steps, self.warmup_share, self.decay_share, self.decay, self.final_share)

    def every(self, tokens: int) -> int:
        """Steps between two events that should lie `tokens` apart."""
        return max(1, tokens // (self.batch * self.length))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class EncoderPlan:
    """An encoder's run: masked tokens over the training stream, then contrastive over (query, passage) pairs."""

    masked_tokens: int  # positions read in the first part, masked or not
    pair_examples: int  # pairs seen in the second part, repeats counted
    batch_tokens: int = 8192
    length: int = 128  # positions of a window in the first part
    masked_share: float = 0.3  # ModernBERT's; BERT's .15 learns from half as many positions a step
    pair_batch: int = 64  # in-batch negatives are one fewer
    query_length: int = 64  # tokens; longer queries are cut
    passage_length: int = 192
    temperature: float = 0.05
    seed: int = 0
    rates: Rates = field(default_factory=Rates)
    pair_rate_share: float = 0.3  # of the rates, in the second part
    warmup_share: float = 0.05
    decay_share: float = 0.7
    clip: float = 1.0
    number_format: NumberFormat = "fp32"
    save_every: int = 200  # steps
    report_every: int = 10  # steps

    def __post_init__(self) -> None:
        if not 0 < self.masked_share < 1:
            raise ValueError(f"masked_share is {self.masked_share}; set a share between 0 and 1")
        if self.pair_batch < 2:
            raise ValueError("pair_batch is below 2: without another pair there is nothing to tell apart; raise it")

    @property
    def batch(self) -> int:
        return max(1, self.batch_tokens // self.length)

    @property
    def masked_steps(self) -> int:
        return -(-self.masked_tokens // (self.batch * self.length))

    @property
    def pair_steps(self) -> int:
        return -(-self.pair_examples // self.pair_batch)

    @property
    def pair_rates(self) -> Rates:
        share, rates = self.pair_rate_share, self.rates
        return replace(
            rates,
            matrices=rates.matrices * share,
            embeddings=rates.embeddings * share,
            head=rates.head * share,
            vectors=rates.vectors * share,
        )

    def schedule(self, steps: int) -> Schedule:
        return _schedule(max(1, steps), self.warmup_share, self.decay_share, "linear", 0.0)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def _schedule(
    steps: int, warmup: float, decay_share: float, decay: Literal["linear", "cosine"], final: float
) -> Schedule:
    return Schedule(steps, round(steps * warmup), round(steps * decay_share), decay, final)
