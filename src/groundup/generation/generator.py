"""The loop that turns a decoder into text: read the prompt, then one token at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from groundup.errors import RequestError
from groundup.generation.drawable import Drawable
from groundup.generation.gain import Costs
from groundup.generation.logits import Logits, draw, log_softmax, processed
from groundup.generation.memory import Memory, Remembered, Target
from groundup.generation.prefix import PrefixCache
from groundup.generation.sampling import Sampling
from groundup.generation.speculation import Ahead, Clock, Tally
from groundup.generation.text import TextStream
from groundup.generation.turns import Cancelled, Turns, never
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One token and the text that became certain with it, which may be empty or belong to tokens before it.

    logprob: ln p of the token in the target's own distribution, before penalties, temperature and filters: the
    decoder's, or that of its mixture with a memory where there is one.
    finish_reason: set on the last piece: "stop" for an end token or a stop string, "length" for max_tokens or the
    end of the context.
    """

    text: str
    token_id: int
    logprob: float
    finish_reason: FinishReason | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()  # (token id, ln p) of the likeliest, best first


@dataclass(frozen=True, slots=True)
class Fit:
    """A prompt made to fit the context. `dropped`: tokens cut off its beginning."""

    prompt: list[int]
    dropped: int
    max_tokens: int


class Generator:
    """A decoder and its tokenizer. Safe to use from many threads: they take turns.

    chat_template: the model's own, or None if it can't chat (see chat.py).
    turns: shared by generators that use the same cores.
    clock: seconds, by which it is found whether drafts pay.

    A text may be drawn with a memory, an argument of the methods that begin one. `target` names the distribution it is
    drawn from: the "mixture" of decoder and memory, or the "decoder" alone, for which memory then only drafts. With
    `speculate` off nothing is drafted. Drafts change the time a text takes and never the text, but where rounding
    breaks a tie otherwise (speculation.py); without a memory all of this is as if it weren't there.
    """

    def __init__(
        self,
        model: Transformer,
        tokenizer: Tokenizer,
        *,
        chat_template: str | None = None,
        context_length: int | None = None,
        turns: Turns | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.model, self.tokenizer, self.chat_template = model.eval(), tokenizer, chat_template
        self.context_length = context_length or model.config.context_length
        self.turns, self.speculated = turns or Turns(), Tally()
        self._costs, self._clock = Costs(), clock
        self._prefix = PrefixCache(model)
        self.drawable = Drawable(tokenizer, model.config.vocab_size)

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a text."""
        return self.drawable.ends

    def encode_prompt(self, text: str) -> list[int]:
        """Tokens of a text to be continued, after the separator that stands before every document in training."""
        separator = self.tokenizer.separator_id
        return [*([] if separator is None else [separator]), *self.tokenizer.encode(text)]

    def fit(self, prompt: Sequence[int], sampling: Sampling, *, truncate: bool = False, param: str = "prompt") -> Fit:
        """The prompt and max_tokens that fit the context.

        A prompt that leaves no room for one token raises RequestError, or, with `truncate`, loses its beginning: as
        much of its end stays as leaves room for max_tokens, and half the context at least. max_tokens is lowered to
        the room there is; the text then ends with finish_reason "length".
        """
        ids = list(prompt)
        if not ids:
            raise RequestError("the prompt has no tokens", mend="Send some text to continue.", param=param)
        outside = [token for token in ids if not 0 <= token < self.tokenizer.vocab_size]
        if outside:
            mend = f"Send token ids from 0 to {self.tokenizer.vocab_size - 1}, or text."
            raise RequestError(f"{outside[0]} is no token of this model", mend=mend, param=param)
        dropped = 0
        if len(ids) >= self.context_length:
            if not truncate:
                raise ContextLengthError(len(ids), self.context_length, param)
            keep = max(self.context_length - sampling.max_tokens, self.context_length // 2, 1)
            separator = self.tokenizer.separator_id
            head = [separator] if separator is not None and ids[0] == separator and keep > 1 else []
            dropped = len(ids) - keep
            ids = [*head, *ids[len(ids) - keep + len(head) :]]
        return Fit(ids, dropped, min(sampling.max_tokens, self.context_length - len(ids)))

    def stream(
        self,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        *,
        truncate: bool = False,
        cancelled: Callable[[], bool] = never,
        memory: Memory | None = None,
        target: Target = "mixture",
        speculate: bool = True,
    ) -> Iterator[Piece]:
        """Pieces, one per token; the last has a finish_reason. Same arguments, same pieces.

        Waits for its turn. Ends without a last piece if `cancelled` turns true. The turn is given back when the
        iterator is used up or closed. Raises RequestError for a prompt that doesn't fit or when too many wait.
        """
        fit = self.fit(prompt_ids, sampling, truncate=truncate)
        return self.stream_fit(fit, sampling, cancelled=cancelled, memory=memory, target=target, speculate=speculate)

    def stream_fit(
        self,
        fit: Fit,
        sampling: Sampling,
        *,
        cancelled: Callable[[], bool] = never,
        memory: Memory | None = None,
        target: Target = "mixture",
        speculate: bool = True,
    ) -> Iterator[Piece]:
        """As `stream`, for a prompt that was made to fit already."""
        remember = partial(Remembered, memory, fit.prompt, target, speculate=speculate)
        return self._pieces(fit, sampling, cancelled, remember)

    def generate(
        self,
        prompt_ids: Sequence[int],
        sampling: Sampling,
        *,
        truncate: bool = False,
        memory: Memory | None = None,
        target: Target = "mixture",
        speculate: bool = True,
    ) -> str:
        """The whole text at once."""
        pieces = self.stream(prompt_ids, sampling, truncate=truncate, memory=memory, target=target, speculate=speculate)
        return "".join(piece.text for piece in pieces)

    def _pieces(
        self, fit: Fit, sampling: Sampling, cancelled: Callable[[], bool], remember: Callable[[], Remembered]
    ) -> Iterator[Piece]:
        try:
            with self.turns.turn(cancelled):
                yield from self._loop(fit, sampling, cancelled, remember())
        except Cancelled:
            return

    def _loop(
        self, fit: Fit, sampling: Sampling, cancelled: Callable[[], bool], remembered: Remembered
    ) -> Iterator[Piece]:
        random = np.random.default_rng(sampling.seed)
        text = TextStream(sampling.stop)
        generated: list[int] = []
        row, cache, _ = self._prefix.read(fit.prompt, len(fit.prompt) + fit.max_tokens, cancelled)
        ahead = Ahead(self.model, cache, remembered, self.drawable.goes_on, self._costs, self.speculated, self._clock)
        begins = not any(map(self.tokenizer.token_bytes.__getitem__, fit.prompt))  # nothing but special tokens before
        while True:
            logits = remembered.mix(self.drawable.logits(row))
            able = self.drawable.without_silent(logits)
            token = draw(processed(able, fit.prompt, generated, sampling), sampling, random)
            generated.append(token)
            shown, reason = "", None
            if token in self.ends:
                reason = "stop"
            else:
                data = self.tokenizer.decode_bytes([token]) if begins else self.tokenizer.token_bytes[token]
                shown, begins = text.feed(data), False
                reason = "stop" if text.stopped else "length" if len(generated) == fit.max_tokens else None
            if reason is not None:
                shown += text.finish()
            yield self._piece(shown, token, logits, reason, sampling.top_logprobs)  # type: ignore[arg-type]
            if reason is not None or cancelled():
                return
            remembered.advance(token)
            row = ahead.after(token, fit.max_tokens - len(generated))

    @staticmethod
    def _piece(text: str, token: int, logits: Logits, reason: FinishReason | None, alternatives: int) -> Piece:
        logprobs = log_softmax(logits)
        top: tuple[tuple[int, float], ...] = ()
        if alternatives:
            best = np.argsort(-logprobs, kind="stable")[:alternatives]
            top = tuple((int(i), float(logprobs[i])) for i in best)
        return Piece(text, token, float(logprobs[token]), reason, top)


class ContextLengthError(RequestError):
    """The prompt leaves no room for one more token."""

    def __init__(self, tokens: int, context_length: int, param: str) -> None:
        super().__init__(
            f"it is {tokens:,} tokens long, and the model's context holds {context_length:,}",
            mend=f"Send at most {context_length - 1:,} tokens.",
            param=param,
        )
