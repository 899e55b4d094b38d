"""Encoding at speed: gigatoken where it gives the same ids, `tokenizers` elsewhere.

gigatoken reads a tokenizer.json; special tokens are taken out of it first, since a text is never read for them.
It refuses vocabularies it has no fast path for (SmolLM2's lacks bytes and splits digits); then `tokenizers` encodes.
A BPE of SentencePiece isn't given to it: what it puts before a text would have to be taken out again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tokenizers

from groundup.tokens.bytelevel import utf8

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

SAMPLE_TEXTS = 32  # texts of the first call on which both must agree, spread over it
SAMPLE_CHARACTERS = 4_000  # of each: `tokenizers` runs at about 2 MB/s, so the check costs about 60 ms
# What texts rarely hold and pre-tokenizers differ in: digits of other scripts, joined emoji, odd blanks, line ends.
PROBES = (
    "",
    "don't WE'LL  I'm x1234567890 ١٢٣ ½ Ⅷ",
    "\r\n\r\n \t \n\n  def f(x):\n\t\treturn  x\u00a0\u3000\u2028\u200b\n",
    "naïve cafe\u0301 ǅ ß 中文字 かな 한국어 हिन्दी ไทย 👩‍👩‍👧 \U0001f1e9\U0001f1ea\x00\x7f\u0085\ufeff",
    "<|endoftext|><|im_start|>a<|mask|>",
    "=" * 100 + " " * 100 + "\n" * 20 + "a" * 300,
)


class FastEncoder:
    """Encodes many texts into one array of ids; never adds special tokens nor reads them in a text."""

    def __init__(self, reference: tokenizers.Tokenizer, tokenizer_json: str) -> None:
        self._reference = reference
        self._checked = False
        self.refusal = ""  # why `tokenizers` encodes
        self._fast = self._build(tokenizer_json)

    @property
    def name(self) -> str:
        return "tokenizers" if self._fast is None else "gigatoken"

    def encode(self, texts: Sequence[str]) -> tuple[Int32, Int64]:
        """(ids of all texts in a row, number of ids of each text)."""
        clean = [utf8(text) for text in texts]
        self.settle(clean)
        if self._fast is None:
            return with_tokenizers(self._reference, clean)
        return _with_gigatoken(self._fast, clean)

    def settle(self, texts: Sequence[str]) -> None:
        """Compares both on these texts if that hasn't been done; then `name` is what encodes from here on."""
        if self._fast is not None and not self._checked and texts:
            self._check(texts)

    def _build(self, tokenizer_json: str) -> Any | None:
        try:
            import gigatoken

            return gigatoken.Tokenizer.from_json(without_specials(tokenizer_json))
        except Exception as error:  # it raises several kinds for what it can't do; each means the same here
            self.refusal = str(error)[:200] or type(error).__name__
            return None

    def _check(self, texts: Sequence[str]) -> None:
        step = max(1, len(texts) // SAMPLE_TEXTS)
        sample = [*PROBES, *(text[:SAMPLE_CHARACTERS] for text in texts[::step])]
        ids, counts = with_tokenizers(self._reference, sample)
        fast_ids, fast_counts = _with_gigatoken(self._fast, sample)
        self._checked = True
        if not (np.array_equal(counts, fast_counts) and np.array_equal(ids, fast_ids)):
            self._fast, self.refusal = None, "other ids than tokenizers on a sample"


def without_specials(tokenizer_json: str) -> str:
    """The same tokenizer without special tokens, as text; the ids of all others stay.

    Raises ValueError where encoding needs more than its merges: byte fallback, added words, a normalizer.
    """
    state = json.loads(tokenizer_json)
    if state["model"].get("byte_fallback"):
        raise ValueError("byte fallback")
    if any(not token["special"] for token in state["added_tokens"]) or state.get("normalizer") is not None:
        raise ValueError("added words or a normalizer")
    specials = {token["content"] for token in state["added_tokens"]}
    if specials & state["model"]["vocab"].keys():
        state["model"]["vocab"] = {
            # A name no text can spell (its bytes are none of UTF-8) keeps the ids of the others in place.
            (_unspeakable(number) if token in specials else token): number
            for token, number in state["model"]["vocab"].items()
        }
    state["added_tokens"], state["post_processor"] = [], None
    return json.dumps(state)


def _unspeakable(number: int) -> str:
    from groundup.tokens.bytelevel import BYTE_TO_CHARACTER

    return BYTE_TO_CHARACTER[0xFF] * 4 + str(number)


def with_tokenizers(reference: tokenizers.Tokenizer, texts: Sequence[str]) -> tuple[Int32, Int64]:
    """(ids of all texts in a row, number of ids of each text), by the original."""
    encodings = [row.ids for row in reference.encode_batch_fast(list(texts), add_special_tokens=False)]
    counts = np.array([len(row) for row in encodings], dtype=np.int64)
    flat = np.fromiter((number for row in encodings for number in row), dtype=np.int32, count=int(counts.sum()))
    return flat, counts


def _with_gigatoken(fast: Any, texts: Sequence[str]) -> tuple[Int32, Int64]:
    rows = fast.encode_batch(list(texts))
    layout = rows.layout  # awkward's ListOffsetArray: offsets and one flat uint32 array
    offsets = np.asarray(layout.offsets.data, dtype=np.int64)
    flat = np.asarray(layout.content.data)[offsets[0] : offsets[-1]]
    return flat.astype(np.int32), np.diff(offsets)
