"""Tokens for the corpus memory, by the fastest encoder that gives the original's ids on a sample of the texts.

A memory of the corpus bears a document in two hundred that is cut into tokens a little otherwise, a score doesn't:
scoring goes through `Tokenizer.encode_many`, whose ids are the original's always. Each document is encoded by itself,
so its ids depend neither on what stands beside it nor on the number of processors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tokenizers

from groundup.tokens.bytelevel import utf8
from groundup.tokens.fast import FastEncoder, Int32, Int64, with_tokenizers
from groundup.tokens.tokie_encoder import TokieEncoder, split

SAMPLE_DOCUMENTS = 200
SAMPLE_CHARACTERS = 20_000  # of each: more than one piece of tokie's, and a second's work for the original
MIN_EQUAL_SHARE = 0.99

Encode = Callable[[Sequence[str]], tuple[Int32, Int64]]


@dataclass(frozen=True)
class IndexEncoder:
    """name: "gigatoken", "tokie" or "tokenizers". equal, sampled: documents of the sample with the original's ids, of
    how many; 0 of 0 where there was nothing to compare. refusal: why no faster one encodes."""

    name: str
    equal: int
    sampled: int
    refusal: str
    _encode: Encode

    def encode(self, texts: Sequence[str]) -> tuple[Int32, Int64]:
        """(ids of all texts in a row, number of ids of each text). No special tokens, neither added nor read."""
        return self._encode([utf8(text) for text in texts])

    def metrics(self) -> dict[str, str | int]:
        """What an artifact's manifest says of it."""
        found: dict[str, str | int] = {"encoder": self.name}
        return found | ({"encoder_equal": self.equal, "encoder_sampled": self.sampled} if self.sampled else {})


@dataclass(frozen=True)
class Original:
    """What encodes exactly, and what is needed to check another against it.

    token_bytes: (V,) bytes of each token. present: byte values that have a token of their own.
    """

    reference: tokenizers.Tokenizer
    definition: str
    exact: FastEncoder
    token_bytes: Sequence[bytes]
    present: bytes
    special: Sequence[str]
    of_sentencepiece: bool

    def encode(self, texts: Sequence[str]) -> tuple[Int32, Int64]:
        return with_tokenizers(self.reference, texts)


def choose(original: Original, texts: Sequence[str], named: str | None = None) -> IndexEncoder:
    """The encoder for these texts, or for documents that are to join them.

    texts: all or some of what will be encoded; up to 200 of them, spread evenly, are compared.
    named: the encoder chosen before, to be taken again without comparing, so that a document added later has the tokens
    a rebuild would give it. Where it can't be built any more, the original encodes and `refusal` says why.
    """
    if named not in (None, "gigatoken", "tokie", "tokenizers"):
        raise ValueError(f"no encoder is named {named!r}")
    slow = IndexEncoder("tokenizers", 0, 0, "", original.encode)
    if original.of_sentencepiece:
        return replace(slow, refusal="a BPE of SentencePiece")
    if named == "tokenizers":
        return slow
    if named == "gigatoken":  # gives the original's ids, or lets it encode
        return IndexEncoder(original.exact.name, 0, 0, _line(original.exact.refusal), original.exact.encode)
    sample = [utf8(text[:SAMPLE_CHARACTERS]) for text in spread(texts, SAMPLE_DOCUMENTS)]
    if named != "tokie":
        original.exact.settle(sample)
        if original.exact.name == "gigatoken":  # its ids were equal on every text compared
            return IndexEncoder("gigatoken", len(sample), len(sample), "", original.exact.encode)
    try:
        guarded = _Guarded(original, TokieEncoder(original.definition))
    except BaseException as error:
        if not _refuses(error):
            raise
        return replace(slow, refusal=f"tokie: {_line(str(error)) or type(error).__name__}")
    if named == "tokie":
        return IndexEncoder("tokie", 0, 0, "", guarded.encode)
    equal, refusal = _compare(original, guarded, sample)
    if refusal:
        return replace(slow, equal=equal, sampled=len(sample), refusal=f"tokie: {refusal}")
    return IndexEncoder("tokie", equal, len(sample), f"gigatoken: {_line(original.exact.refusal)}", guarded.encode)


def spread(texts: Sequence[str], count: int) -> list[str]:
    """Up to `count` of the texts at even distances, the first and the last among them."""
    if len(texts) <= count:
        return list(texts)
    return [texts[place] for place in np.linspace(0, len(texts) - 1, count).round().astype(int)]


def _compare(original: Original, guarded: _Guarded, sample: Sequence[str]) -> tuple[int, str]:
    """(documents of the sample with the same ids, why it may not encode)."""
    if not sample:
        return 0, "no text to compare"
    spelled = [f"{name} a{name}b {name}" for name in original.special]
    if not all(_same(original, guarded, spelled)):
        return 0, "other ids where a text spells a special token"
    same = _same(original, guarded, sample)
    if sum(same) < MIN_EQUAL_SHARE * len(sample):
        return sum(same), f"the same ids on {sum(same)} of {len(sample)} documents"
    others = [text for text, equal in zip(sample, same, strict=True) if not equal]
    for text, ids in zip(others, _rows(guarded.encode(others)), strict=True):
        if b"".join(original.token_bytes[number] for number in ids) != text.encode():
            return sum(same), "its tokens' bytes aren't those of the text"
    return sum(same), ""


def _same(original: Original, guarded: _Guarded, texts: Sequence[str]) -> list[bool]:
    pairs = zip(_rows(guarded.encode(texts)), _rows(original.encode(texts)), strict=True)
    return [np.array_equal(own, theirs) for own, theirs in pairs]


class _Guarded:
    """tokie where it may encode. To the original go a text with a byte that the vocabulary lacks, one that can't be cut
    into pieces, and one whose tokens have other than its number of bytes."""

    def __init__(self, original: Original, tokie: TokieEncoder) -> None:
        self._original, self._tokie = original, tokie
        self._lengths = np.array([len(token) for token in original.token_bytes], np.int32)

    def encode(self, texts: Sequence[str]) -> tuple[Int32, Int64]:
        pieces = [self._pieces(text) for text in texts]
        apt = np.array([number for number, parts in enumerate(pieces) if parts is not None], np.int64)
        try:
            ids, counts = self._tokie.encode([parts for parts in pieces if parts is not None])
            sizes = _sums(self._lengths[ids], counts)
        except BaseException as error:
            if not _refuses(error):
                raise
            if len(texts) <= 1:
                return self._original.encode(texts)
            return _joined([self.encode([text])[0] for text in texts])
        whole = sizes == np.array([len(texts[number].encode()) for number in apt], np.int64)
        if len(apt) == len(texts) and whole.all():
            return ids, counts
        rows = dict(zip(apt.tolist(), _rows((ids, counts)), strict=True))
        good = set(apt[whole].tolist())
        left = [number for number in range(len(texts)) if number not in good]
        rows |= dict(zip(left, _rows(self._original.encode([texts[number] for number in left])), strict=True))
        return _joined([rows[number] for number in range(len(texts))])

    def _pieces(self, text: str) -> list[str] | None:
        if len(self._original.present) < 256 and text.encode().translate(None, self._original.present):
            return None
        return split(text)


def _refuses(error: BaseException) -> bool:
    """Whether a library said no: a panic of a Rust library is no Exception, and its class can't be imported."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]


def _rows(encoded: tuple[Int32, Int64]) -> list[Int32]:
    flat, counts = encoded
    return np.split(flat, np.cumsum(counts)[:-1]) if len(counts) else []


def _joined(rows: Sequence[Int32]) -> tuple[Int32, Int64]:
    flat = np.concatenate(rows) if rows else np.zeros(0, np.int32)
    return flat, np.array([len(row) for row in rows], np.int64)


def _sums(values: Int32, counts: Int64) -> Int64:
    """(D,) the sum of each run of `counts[d]` values."""
    sums = np.zeros(len(counts), np.int64)
    filled = counts > 0
    if filled.any():
        sums[filled] = np.add.reduceat(values, (np.cumsum(counts) - counts)[filled], dtype=np.int64)
    return sums
