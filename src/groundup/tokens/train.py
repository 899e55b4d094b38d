"""Training a byte-level BPE on a sample of the training split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import tokenizers

from groundup.errors import CorpusError
from groundup.tokens.bytelevel import pre_tokenizer
from groundup.tokens.tokenizer import Tokenizer

# After the vocabulary, so that their ids move when its size does but never stand among the merges.
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|mask|>", "<|pad|>")
MIN_VOCAB_SIZE = 256 + len(SPECIALS)
DEFAULT_SAMPLE_BYTES = 16_000_000
PIECE_CHARACTERS = 50_000  # of one document at most: one huge table must not decide the merges


def train_bpe(
    texts: Iterable[str], vocab_size: int, *, sample_bytes: int = DEFAULT_SAMPLE_BYTES, min_frequency: int = 2
) -> Tokenizer:
    """Train a byte-level BPE: every byte has a token, so no text loses anything. No normalizer.

    texts: documents of the training split, in any order; the sample depends on their contents alone.
    vocab_size: all tokens, the five special ones included. Fewer come out if the sample has too few pairs.
    Raises CorpusError without any text, ValueError for a vocabulary below 261. Source: Sennrich et al. 2016.
    """
    if vocab_size < MIN_VOCAB_SIZE:
        raise ValueError(f"vocab_size is {vocab_size}, but bytes and special tokens need {MIN_VOCAB_SIZE}")
    sample = _sample(texts, sample_bytes)
    if not any(sample):
        raise CorpusError("there is no text to train a tokenizer on", mend="Name more sources, or loosen the filters")
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = pre_tokenizer("qwen2")
    backend.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIALS),
        min_frequency=min_frequency,
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(sample, trainer)
    backend.add_special_tokens([tokenizers.AddedToken(name, special=True, normalized=False) for name in SPECIALS])
    end, turn_end = (int(backend.token_to_id(name) or 0) for name in ("<|endoftext|>", "<|im_end|>"))
    return Tokenizer(backend, separator_id=end, eos_ids=[end, turn_end])


def _sample(texts: Iterable[str], sample_bytes: int) -> list[str]:
    """Pieces of documents in the order of their hashes until the bytes are spent: a fair draw that needs no seed."""
    pieces = sorted(
        ((hashlib.sha256(text.encode("utf-8", "replace")).digest(), text[:PIECE_CHARACTERS]) for text in texts),
        key=lambda row: row[0],
    )
    taken: list[str] = []
    left = sample_bytes
    for _, piece in pieces:
        raw = piece.encode("utf-8", "replace")[:left]
        taken.append(raw.decode("utf-8", "ignore"))
        left -= len(raw)
        if left <= 0:
            break
    return taken
