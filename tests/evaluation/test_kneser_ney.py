"""kneser_ney.py against the definition written with dictionaries, and against what a distribution has to be."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.evaluation import kneser_ney
from groundup.evaluation.kneser_ney import FALLBACK_DISCOUNTS, discounts, train

V, SEPARATOR = 12, 11


def stream(documents: list[list[int]]) -> list[int]:
    return [token for document in documents for token in (SEPARATOR, *document)]


class Reference:
    """Chen & Goodman's formula, word for word, over tuples."""

    def __init__(self, documents: list[list[int]], order: int) -> None:
        raw: dict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
        before: dict[tuple[int, ...], set[int]] = defaultdict(set)
        for document in documents:
            sequence = (SEPARATOR, *document)
            for end in range(1, len(sequence)):
                for n in range(1, order + 1):
                    if end - n + 1 >= 0:
                        ngram = sequence[end - n + 1 : end + 1]
                        raw[n][ngram] += 1
                        if end - n >= 0:
                            before[ngram].add(sequence[end - n])
        self.order = order
        self.counts: dict[int, dict[tuple[int, ...], int]] = {}
        for n in range(1, order + 1):
            keep = {g: c for g, c in raw[n].items() if n == order or g[0] == SEPARATOR}
            self.counts[n] = {g: keep[g] if g in keep else len(before[g]) for g in raw[n]}
        self.discount = {n: self.estimate(list(self.counts[n].values())) for n in self.counts}

    @staticmethod
    def estimate(counts: list[int]) -> tuple[float, float, float]:
        n = [sum(c == k for c in counts) for k in range(5)]
        if 0 in n[1:]:
            return FALLBACK_DISCOUNTS
        y = n[1] / (n[1] + 2 * n[2])
        d = tuple(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))
        return d if all(0 < x <= k for k, x in zip((1, 2, 3), d, strict=True)) else FALLBACK_DISCOUNTS  # type: ignore[return-value]

    def p(self, token: int, context: tuple[int, ...]) -> float:
        n = len(context) + 1
        lower = 1 / V if n == 1 else self.p(token, context[1:])
        followers = {g: c for g, c in self.counts[n].items() if g[:-1] == context}
        total = sum(followers.values())
        if total == 0:
            return lower
        taken = {g: self.discount[n][min(c, 3) - 1] for g, c in followers.items()}
        gamma = sum(taken.values()) / total
        ngram = (*context, token)
        return (followers.get(ngram, 0) - taken.get(ngram, 0)) / total + gamma * lower


def context_at(sequence: Sequence[int], place: int, order: int) -> tuple[int, ...]:
    begin = max(i for i in range(place) if sequence[i] == SEPARATOR)
    return tuple(sequence[max(begin, place - order + 1) : place])


documents_of_tokens = st.lists(st.lists(st.integers(0, V - 2), max_size=25), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(documents_of_tokens, documents_of_tokens, st.integers(1, 5))
def test_probabilities_are_those_of_the_definition(
    training: list[list[int]], held_out: list[list[int]], order: int
) -> None:
    model = train(np.array(stream(training), dtype=np.uint16), V, SEPARATOR, order=order)
    reference = Reference(training, order)
    asked = stream(held_out)
    found = model.probabilities(asked)
    for place, token in enumerate(asked):
        if token == SEPARATOR:
            assert found[place] == 1.0
        else:
            expected = reference.p(token, context_at(asked, place, order))
            assert found[place] == pytest.approx(expected, rel=1e-5)


def corpus(seed: int, documents: int = 60, length: int = 200) -> list[list[int]]:
    """Tokens of a random second-order chain, so that counts of one to four are there at every order."""
    generator = np.random.default_rng(seed)
    table = generator.dirichlet(np.full(V - 1, 0.2), size=(V, V))
    result = []
    for _ in range(documents):
        tokens = [SEPARATOR, SEPARATOR]
        for _ in range(length):
            tokens.append(int(generator.choice(V - 1, p=table[tokens[-2], tokens[-1]])))
        result.append(tokens[2:])
    return result


def test_discounts_are_estimated_on_a_corpus_of_some_size() -> None:
    model = train(stream(corpus(1)), V, SEPARATOR)
    reference = Reference(corpus(1), 5)
    assert model.levels[4].discounts == pytest.approx(reference.discount[5])
    assert model.levels[4].discounts != FALLBACK_DISCOUNTS
    asked = stream(corpus(2, documents=2, length=40))
    found = model.probabilities(asked)
    expected = [reference.p(t, context_at(asked, i, 5)) for i, t in enumerate(asked) if t != SEPARATOR]
    assert found[np.array(asked) != SEPARATOR] == pytest.approx(expected, rel=1e-5)


def test_probabilities_sum_to_one_after_any_context() -> None:
    model = train(stream(corpus(3)), V, SEPARATOR)
    generator = np.random.default_rng(4)
    contexts = [generator.integers(0, V, size=generator.integers(0, 8)).tolist() for _ in range(200)]
    contexts += [document[i : i + 4] for document in corpus(3)[:20] for i in range(5)]
    contexts += [[SEPARATOR], [SEPARATOR, 0], [0, SEPARATOR, 3]]
    for context in contexts:
        distribution = model.distribution(context)
        assert distribution.shape == (V,)
        assert (distribution > 0).all()
        assert distribution.sum() == pytest.approx(1.0, abs=2e-6)


def test_distribution_is_what_scoring_uses() -> None:
    model = train(stream(corpus(5)), V, SEPARATOR)
    asked = stream(corpus(6, documents=3, length=30))
    scored = model.probabilities(asked)
    for place in range(1, len(asked)):
        if asked[place] != SEPARATOR:
            assert model.distribution(asked[:place])[asked[place]] == pytest.approx(scored[place], rel=1e-6)


def test_longer_context_helps_where_there_is_structure() -> None:
    held_out = stream(corpus(7)[:10])
    training = stream(corpus(7)[10:])
    nats = [-np.log(train(training, V, SEPARATOR, order=n).probabilities(held_out)).sum() for n in (1, 2, 3)]
    assert nats[0] > nats[1] > nats[2]


def test_large_vocabulary_keeps_its_keys_apart() -> None:
    generator = np.random.default_rng(8)
    size = 150_000
    documents = [generator.integers(0, size - 1, size=50).tolist() for _ in range(20)]
    tokens = [t for d in documents for t in (size - 1, *d)]
    p = train(tokens, size, size - 1).probabilities(tokens)
    assert p[2:51].min() > 0.2  # each token is the only one ever seen after its context
    unseen = train(tokens, size, size - 1).probabilities([size - 1, *documents[0][::-1]])
    assert unseen[2:].max() < 0.01


@pytest.mark.parametrize("largest", [2**20, 2**62])
def test_keys_are_sorted_whether_or_not_they_fit_beside_their_place(largest: int) -> None:
    keys = np.random.default_rng(9).integers(0, largest, size=500)
    keys[100:200] = keys[:100]
    in_order, places = kneser_ney._sorted(keys)
    assert (in_order == np.sort(keys)).all()
    assert (places == np.argsort(keys, kind="stable")).all()


@dataclass(frozen=True)
class Doc:
    id: str
    text: str


class Letters:
    """Letters a to k are tokens 0 to 10; "z" has no token; 11 is the separator."""

    vocab_size, separator_id = V, SEPARATOR

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.array([ord(c) - 97 for c in text if c != "z"], dtype=np.int32) for text in texts]

    def missing_bytes(self, text: str) -> int:
        return text.count("z")


def test_documents_are_charged_for_tokens_and_missing_bytes() -> None:
    model = train(stream(corpus(9)), V, SEPARATOR)
    documents = [Doc("a", "abcdk"), Doc("b", ""), Doc("c", "zz"), Doc("d", "kjz")]
    scores = kneser_ney.score_documents(model, Letters(), documents)
    expected = -np.log(model.probabilities([SEPARATOR, 0, 1, 2, 3, 10])).sum()
    assert scores[0].nats == pytest.approx(expected)
    assert [s.nats for s in scores[1:3]] == pytest.approx([0.0, 16 * math.log(2)])
    last = -np.log(model.probabilities([SEPARATOR, 10, 9])).sum() + 8 * math.log(2)
    assert scores[3].nats == pytest.approx(last)
    assert [(s.document_id, s.text_bytes, s.tokens, s.missing_bytes) for s in scores] == [
        ("a", 5, 5, 0), ("b", 0, 0, 0), ("c", 2, 0, 2), ("d", 3, 2, 1)
    ]  # fmt: skip
    assert kneser_ney.score_documents(model, Letters(), []) == []


def test_discounts_fall_back_where_the_estimate_has_no_sense() -> None:
    assert discounts(np.array([1, 1, 2, 3])) == FALLBACK_DISCOUNTS  # none seen four times
    assert discounts(np.array([1, *[2] * 1, *[3] * 50, 4])) == FALLBACK_DISCOUNTS  # D2 would be negative
    assert discounts(np.zeros(0, dtype=np.int64)) == FALLBACK_DISCOUNTS


def test_empty_corpus_is_uniform() -> None:
    assert train([], V, SEPARATOR).probabilities([SEPARATOR, 1, 2]) == pytest.approx([1.0, 1 / V, 1 / V])


@pytest.mark.parametrize("tokens", [[0, 1], [SEPARATOR, V], [SEPARATOR, -1], [[SEPARATOR]]])
def test_tokens_that_are_no_documents_are_refused(tokens: list[int]) -> None:
    with pytest.raises(ValueError, match=r"separator|from 0 to 11"):
        train(tokens, V, SEPARATOR)


def test_tokenizer_of_another_vocabulary_is_refused() -> None:
    model = train([99, 1], 100, 99)
    with pytest.raises(ValueError, match="counted with"):
        kneser_ney.score_documents(model, Letters(), [Doc("a", "b")])
