"""compression.py: what is counted can be read back, and the dictionary is the stated sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.evaluation.bits import bits_per_byte
from groundup.evaluation.compression import Compressor, sample_dictionary, score_documents


@dataclass(frozen=True)
class Doc:
    id: str
    text: str


WORDS = [f"{a}{b}" for a in ("def ", "return ", "class ", "import ") for b in ("alpha", "beta", "gamma", "delta")]


def prose(seed: int, words: int) -> str:
    return "\n".join(np.random.default_rng(seed).choice(WORDS, size=words))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=2000), st.binary(min_size=8, max_size=3000))
def test_compressed_text_can_be_read_back_with_the_dictionary_alone(text: bytes, dictionary: bytes) -> None:
    compressed = Compressor(dictionary).compress(text)
    before = zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    reader = zstandard.ZstdDecompressor(dict_data=before, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    assert reader.decompress(compressed, max_output_size=max(1, len(text))) == text


def test_frame_costs_at_most_eight_bytes() -> None:
    noise = np.random.default_rng(0).bytes(5000)
    assert 5000 < len(Compressor(b"").compress(noise)) <= 5008


def test_document_that_was_read_costs_next_to_nothing() -> None:
    noise = "".join(np.random.default_rng(1).choice(list("abcdefghijklmnop"), size=20_000))
    (read,) = score_documents(noise.encode(), [Doc("a", noise[5000:9000])])
    (unread,) = score_documents(b"", [Doc("a", noise[5000:9000])])
    assert read.bits < 8 * 30
    assert unread.bits > 8 * 1900  # 16 letters at random are 4 bits each


def test_training_text_helps_and_random_bytes_do_not() -> None:
    documents = [Doc(str(i), prose(i, 60)) for i in range(20)]
    alone = bits_per_byte(score_documents(b"", documents))
    after = bits_per_byte(score_documents(prose(99, 4000).encode(), documents))
    beside = bits_per_byte(score_documents(np.random.default_rng(2).bytes(50_000), documents))
    assert after < 0.75 * alone
    assert beside > 0.9 * alone


def test_score_counts_bits_of_the_compressed_bytes_and_bytes_of_the_cut_text() -> None:
    text = prose(3, 100) + "é"
    (score,) = score_documents(b"", [Doc("a", text)])
    assert score.bits == pytest.approx(8 * len(Compressor(b"").compress(text.encode())))
    assert score.text_bytes == score.tokens == len(text.encode())
    (short,) = score_documents(b"", [Doc("a", text)], max_bytes=50)
    assert short.text_bytes == 50
    (empty,) = score_documents(b"", [Doc("a", "")])
    assert (empty.bits, empty.text_bytes) == (0.0, 0)


def test_dictionary_is_whole_texts_within_the_budget_in_a_seeded_order() -> None:
    texts = [f"<{i}:{'x' * (i * 7 % 50)}>" for i in range(100)]
    sample = sample_dictionary(texts, 1000, seed=0)
    pieces = sample.decode().replace("><", ">\n<").split("\n")
    assert len(sample) <= 1000
    assert set(pieces) <= set(texts)
    assert len(pieces) == len(set(pieces)) > 10
    assert sample_dictionary(texts, 1000, seed=0) == sample != sample_dictionary(texts, 1000, seed=1)
    assert sorted(sample_dictionary(texts, 10**6, seed=0)) == sorted("".join(texts).encode())
    assert sample_dictionary(["x" * 2000], 1000, seed=0) == sample_dictionary([], 1000, seed=0) == b""
