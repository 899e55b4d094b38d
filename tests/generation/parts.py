"""Tiny random decoders and a tokenizer trained on a few lines."""

from __future__ import annotations

from functools import cache

from groundup.generation.generator import Generator
from groundup.generation.memory import Memory
from groundup.generation.sampling import Sampling
from groundup.nn.config import decoder_config
from groundup.nn.init import initialise
from groundup.nn.transformer import Transformer
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

LINES = ["the quick brown fox jumps over the lazy dog", "naïve café, 日本語 text, 🦊🦊 and emoji"]


@cache
def tokenizer() -> Tokenizer:
    return train_bpe(LINES * 30, 380)


def generator(*, context_length: int = 300, seed: int = 0, **options: object) -> Generator:
    config = decoder_config(tokenizer().vocab_size, 32, 2, context_length=context_length, head_dim=8)
    model = Transformer(config)
    initialise(model, seed)
    return Generator(model, tokenizer(), **options)  # type: ignore[arg-type]


def one_by_one(made: Generator, prompt: list[int], sampling: Sampling, memory: Memory | None = None) -> str:
    """What a generator writes, all its bytes: `generate` leaves out a character that isn't whole at the end."""
    pieces = list(made.stream(prompt, sampling, memory=memory))
    return made.tokenizer.decode([piece.token_id for piece in pieces if piece.finish_reason != "stop"])
