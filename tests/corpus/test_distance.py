"""nearest against the true Jaccard similarity of Python sets, and against plain loops over the signatures."""

from __future__ import annotations

import random

import numpy as np
import pytest

from groundup.corpus.dedup import EXACT_BYTES, signature
from groundup.corpus.distance import BLOCK, nearest
from tests.corpus.test_dedup import POLICY, document, family, true_jaccard


def test_the_nearest_document_is_as_near_as_true_jaccard_says() -> None:
    texts = family(3, roots=6, copies=4)
    held_out, training = texts[::3], [text for i, text in enumerate(texts) if i % 3]
    found = nearest([signature(text, POLICY) for text in held_out], [signature(text, POLICY) for text in training])
    wanted = [max(true_jaccard(text.text, other.text) for other in training) for text in held_out]
    assert min(wanted) < 0.3 < 0.7 < max(wanted)  # near and far ones are there
    # 256 permutations: a standard error of at most .031; the highest of some estimates lies a little above.
    np.testing.assert_allclose(found, wanted, atol=0.12)
    assert np.abs(found - wanted).mean() < 0.04


def test_a_copy_is_at_one_and_a_stranger_at_none() -> None:
    own = document("a/x.md", " ".join(f"w{i}" for i in range(80)))
    other = document("b/y.md", " ".join(f"v{i}" for i in range(80)))
    copy = document("c/z.md", own.text.upper() + " !")
    signed = [signature(one, POLICY) for one in (own, other)]
    assert nearest(signed, [signature(copy, POLICY)]).tolist() == [1.0, 0.0]
    assert nearest(signed, []).tolist() == [0.0, 0.0]
    assert nearest([], signed).tolist() == []


@pytest.mark.parametrize("training", [1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_every_training_document_is_looked_at(training: int) -> None:
    draw = random.Random(training)
    rows = [[draw.randrange(4) for _ in range(8)] for _ in range(training + 5)]
    signed = [bytes(EXACT_BYTES + 4) + np.array(row, "<u4").tobytes() for row in rows]
    wanted = [max(sum(a == b for a, b in zip(own, other, strict=True)) for other in rows[5:]) / 8 for own in rows[:5]]
    assert nearest(signed[:5], signed[5:]).tolist() == wanted
