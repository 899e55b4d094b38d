"""What a person may ask of sampling, checked once, with the request's own field named in every refusal."""

from __future__ import annotations

import math
from dataclasses import dataclass

from groundup.errors import RequestError

MAX_STOPS = 16  # OpenAI allows 4; each costs a search per token
MAX_STOP_LENGTH = 500  # characters: as much text may be held back while it could still become a stop string
MAX_TOP_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn, and when to end. The defaults sample the model's own distribution.

    The order is that of `logits.py`: repetition, presence and frequency penalties, then temperature, top-k, nucleus
    (top-p), min-p. Raises RequestError with `param` set for a value out of bounds.
    """

    temperature: float = 1.0  # 0 is greedy: the likeliest token, and top-k, nucleus, min-p and seed don't matter
    top_k: int | None = None  # keep the k likeliest tokens; None keeps all
    top_p: float = 1.0  # nucleus (Holtzman et al. 2020): keep the likeliest tokens that together reach this mass
    min_p: float = 0.0  # keep tokens with at least this share of the likeliest one's probability (Nguyen et al. 2024)
    repetition_penalty: float = 1.0  # CTRL (Keskar et al. 2019), over prompt and generated tokens; 1 is off
    presence_penalty: float = 0.0  # off the logit of every generated token, once
    frequency_penalty: float = 0.0  # off the logit of every generated token, for each time it was generated
    stop: tuple[str, ...] = ()  # the text ends before the first of these
    seed: int = 0
    max_tokens: int = 128
    top_logprobs: int = 0  # alternatives reported with each token

    def __post_init__(self) -> None:
        _number("temperature", self.temperature, 0, 100)
        _number("top_p", self.top_p, 0, 1)
        _number("min_p", self.min_p, 0, 1)
        _number("repetition_penalty", self.repetition_penalty, 0.01, 100)
        _number("presence_penalty", self.presence_penalty, -2, 2)
        _number("frequency_penalty", self.frequency_penalty, -2, 2)
        if self.top_k is not None:
            _whole("top_k", self.top_k, 1, None, "leave it out to keep all tokens")
        _whole("seed", self.seed, 0, 2**64 - 1)
        _whole("max_tokens", self.max_tokens, 1, None)
        _whole("top_logprobs", self.top_logprobs, 0, MAX_TOP_LOGPROBS)
        if not isinstance(self.stop, tuple) or len(self.stop) > MAX_STOPS:
            raise RequestError("there are too many stop strings", mend=f"Send at most {MAX_STOPS}.", param="stop")
        for text in self.stop:
            if not isinstance(text, str) or not 1 <= len(text) <= MAX_STOP_LENGTH:
                mend = f"Send strings of 1 to {MAX_STOP_LENGTH} characters."
                raise RequestError(f"{text!r:.60} can't be a stop string", mend=mend, param="stop")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


def _number(name: str, value: object, low: float, high: float) -> None:
    real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not real or not low <= value <= high:  # type: ignore[operator]
        raise RequestError(f"{value!r:.40} is out of bounds", mend=f"Send a number from {low} to {high}.", param=name)


def _whole(name: str, value: object, low: int, high: int | None, otherwise: str = "") -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):  # type: ignore[operator]
        bounds = f"from {low} to {high}" if high is not None else f"of {low} or more"
        mend = f"Send a whole number {bounds}{', or ' + otherwise if otherwise else ''}."
        raise RequestError(f"{value!r:.40} is out of bounds", mend=mend, param=name)
