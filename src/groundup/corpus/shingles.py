"""Words and word n-grams of a text as 64-bit hashes, computed by numpy over its bytes: no Python loop per word.

A word is a run of letters, digits and underscores of the lower-cased text; punctuation and white space only separate.
A character whose UTF-8 form takes three or four bytes (Han, kana, Hangul, Thai, Devanagari, …) starts a word of its
own, so that scripts without spaces have words too. The hashes are polynomials over bytes modulo 2**64, then mixed:
the same on every machine, and about 100 MB/s on one core.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Hashes: TypeAlias = NDArray[np.uint64]

PIECE_BYTES = 1 << 20  # of text hashed at a time: bounds the tables of powers and the temporary arrays (about 60 MB)
_BASE = 0x9E3779B97F4A7C15  # odd, so it has an inverse modulo 2**64; the golden ratio's bits show no pattern
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_STEP = np.uint64(0xD1342543DE82EF95)  # odd multiplier between the words of an n-gram


def word_hashes(text: str) -> tuple[Hashes, NDArray[np.int64]]:
    """Hash of every word of the text in order, (N,), and its length in bytes, (N,)."""
    data = np.frombuffer(text.lower().encode("utf-8", "surrogatepass"), dtype=np.uint8)
    hashes, lengths = [], []
    start = 0
    while start < len(data):
        piece = data[start : start + PIECE_BYTES]
        if start + len(piece) < len(data):
            breaks = np.flatnonzero(_starts_something_new(piece))
            if len(breaks) and breaks[-1] > 0:  # cut where no word goes on; a word of a megabyte is cut anywhere
                piece = piece[: breaks[-1]]
        found, sizes = _hash_words(piece)
        hashes.append(found)
        lengths.append(sizes)
        start += len(piece)
    if not hashes:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    return np.concatenate(hashes), np.concatenate(lengths)


def ngram_hashes(words: Hashes, n: int) -> Hashes:
    """Hash of every run of n words, (N - n + 1,); empty where there are fewer than n."""
    count = len(words) - n + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    total = words[:count].copy()
    for offset in range(1, n):
        total *= _STEP
        total += words[offset : offset + count]
    return _mix(total)


def shingles(text: str, n: int) -> Hashes:
    """The set of word n-grams of a text: sorted, unique, never empty.

    A text of fewer than n words has one shingle, all its words; one without words has its characters as one.
    """
    words, _ = word_hashes(text)
    if len(words) >= n:
        return np.unique(ngram_hashes(words, n))
    if len(words):
        return ngram_hashes(words, len(words))
    digest = hashlib.sha256("".join(text.split()).encode("utf-8", "surrogatepass")).digest()
    return np.frombuffer(digest[:8], dtype="<u8").astype(np.uint64)


def jaccard(first: Hashes, second: Hashes) -> float:
    """Size of the intersection over size of the union of two sets, each sorted and unique and not both empty."""
    small, large = sorted((first, second), key=len)
    places = np.searchsorted(large, small)
    places[places == len(large)] = 0
    shared = int(np.count_nonzero(large[places] == small)) if len(large) else 0
    return shared / (len(first) + len(second) - shared)


def _hash_words(data: NDArray[np.uint8]) -> tuple[Hashes, NDArray[np.int64]]:
    kind = _byte_kinds()[data]
    word = kind > 0
    new = _starts_something_new(data, kind)
    starts = np.flatnonzero(new & word)
    if not len(starts):
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    # A word ends where the next byte starts something new.
    ends = np.flatnonzero(word & np.append(new[1:], True)) + 1
    powers, inverses = _powers()
    running = np.zeros(len(data) + 1, np.uint64)
    np.cumsum((data.astype(np.uint64) + np.uint64(1)) * powers[: len(data)], out=running[1:])
    return _mix((running[ends] - running[starts]) * inverses[starts]), ends - starts


def _starts_something_new(data: NDArray[np.uint8], kind: NDArray[np.uint8] | None = None) -> NDArray[np.bool_]:
    """Where a byte begins a word or a stretch between words: (N,) bool."""
    kind = _byte_kinds()[data] if kind is None else kind
    word = kind > 0
    new = np.empty(len(data), np.bool_)
    new[:1] = True
    new[1:] = (word[1:] != word[:-1]) | (kind[1:] == 2)
    return new


@lru_cache(maxsize=1)
def _byte_kinds() -> NDArray[np.uint8]:
    """0: between words; 1: in a word; 2: first byte of a character that is a word of its own."""
    kinds = np.zeros(256, np.uint8)
    for byte in range(256):
        if byte >= 0xE0 or byte == 0xC2:  # 0xC2 leads « » § and the no-break space, which must not glue words together
            kinds[byte] = 2
        elif byte >= 0x80 or chr(byte).isalnum() or byte == ord("_"):
            kinds[byte] = 1
    return kinds


@lru_cache(maxsize=1)
def _powers() -> tuple[Hashes, Hashes]:
    """_BASE**i and _BASE**-i modulo 2**64 for i below PIECE_BYTES: 16 MB, made once a process in 10 ms."""
    powers = np.full(PIECE_BYTES, _BASE, np.uint64)
    inverses = np.full(PIECE_BYTES, _BASE_INVERSE, np.uint64)
    powers[0] = inverses[0] = 1
    return np.cumprod(powers, dtype=np.uint64), np.cumprod(inverses, dtype=np.uint64)


def _mix(values: Hashes) -> Hashes:
    """splitmix64's finaliser (Steele et al. 2014): every bit of the input moves half the bits of the output."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
