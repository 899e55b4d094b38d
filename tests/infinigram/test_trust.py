"""How far memory is believed in a text: against a loop over plain counts."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from groundup.infinigram.backoff import Backoff
from groundup.infinigram.descent import Float64
from groundup.infinigram.evidence import Evidence
from groundup.infinigram.gate import Gate, features
from groundup.infinigram.memory import Memory
from groundup.infinigram.mixture import Mixture
from groundup.infinigram.survey import survey
from groundup.infinigram.trust import COST, LIMIT, LOOK_BACK, PULL, SHORT, START, trust
from tests.infinigram.plain import Plain, segment
from tests.infinigram.test_mixture import V, corpora, plain_distribution, random_gate, tokens

MIXTURE = Mixture(Memory(segment({}, V)), Backoff(), None)


def trusts(memory: Memory, text: list[int], first: int = 0) -> Float64:
    mixture = replace(MIXTURE, memory=memory)
    return trust(survey(memory, np.array(text), first), mixture.weights, mixture.last, memory.separator)


def plain_trusts(plain: Plain, document: list[int]) -> list[float]:
    """document: with its separator."""
    start = math.log(START / (1 - START))
    found, gains = [START], []
    for at in range(1, len(document)):
        every, short = (plain_distribution(plain, document[:at], most)[document[at]] for most in (at, SHORT))
        gains.append(math.log(every / short) - COST)
        odds = start
        for gain in gains[-LOOK_BACK:]:
            odds = max(-LIMIT, min(LIMIT, odds + gain - PULL * (odds + gain - start)))
        found.append(1 / (1 + math.exp(-odds)))
    return found


@given(corpora, tokens)
@settings(max_examples=40, deadline=None)
def test_trust_is_the_odds_that_longer_matches_earned(corpus: dict[str, list[int]], text: list[int]) -> None:
    found = trusts(Memory(segment(corpus, V)), [0, *text])
    assert found[0] == pytest.approx(START)
    np.testing.assert_allclose(found[1:], plain_trusts(Plain(corpus, 0), [0, *text]), rtol=1e-9)


def test_trust_stays_between_none_and_all_and_forgets_what_lies_far_behind() -> None:
    random = np.random.default_rng(0)
    copied = random.integers(1, V, 60).tolist()
    corpus = {"copied": copied, **{f"d{i}": random.integers(1, V, 40).tolist() for i in range(3)}}
    text = [0, *(copied * 7), *random.integers(1, V, 2 * LOOK_BACK).tolist()]
    memory = Memory(segment(corpus, V))
    found = trusts(memory, text)
    assert ((found > 0) & (found < 1)).all()
    assert found[400] > 0.999
    assert found[-1] < START
    expected = plain_trusts(Plain(corpus, 0), text[: LOOK_BACK + 50])
    np.testing.assert_allclose(found[1 : LOOK_BACK + 51], expected, rtol=1e-9)
    for at in (LOOK_BACK + 1, LOOK_BACK + 77, len(text)):
        assert trusts(memory, text[:at], first=at - LOOK_BACK)[-1] == found[at]


@given(corpora, tokens, tokens)
@settings(max_examples=30, deadline=None)
def test_a_document_earns_its_trust_alone(corpus: dict[str, list[int]], one: list[int], other: list[int]) -> None:
    memory = Memory(segment(corpus, V))
    together, alone = trusts(memory, [0, *one, 0, *other]), trusts(memory, [0, *other])
    np.testing.assert_array_equal(together[len(one) + 2 :], alone[1:])


def test_a_recall_trusts_as_far_as_its_prompt_earned_and_no_gate_trusts_only_if_it_is_cautious() -> None:
    random = np.random.default_rng(1)
    corpus = {f"d{i}": random.integers(1, V, 40).tolist() for i in range(8)}
    memory, logits = Memory(segment(corpus, V)), random.normal(size=V)
    text = [0, *random.integers(1, V, 30).tolist(), *corpus["d3"]]
    at_once = trusts(memory, text)
    for end in range(1, len(text)):
        shares = []
        for cautious in (False, True):
            recall = Mixture(memory, Backoff(), replace(random_gate(2), cautious=cautious)).recall(text[:end])
            recall.advance(text[end])  # earns nothing
            shares.append(share_in(recall.mix(logits), logits, recall.distribution()))
        assert shares[1] == pytest.approx(shares[0] * at_once[end], rel=1e-6)


def share_in(mixed: Float64, logits: Float64, memory: Float64) -> float:
    """λ of a mixture, from the token on which its parts differ most."""
    total = np.logaddexp.reduce(logits)
    p, decoder = np.exp(mixed - total), np.exp(logits - total)
    at = int(np.abs(memory - decoder).argmax())
    return float((p[at] - decoder[at]) / (memory[at] - decoder[at]))


def test_caution_costs_foreign_texts_next_to_nothing_and_leaves_familiar_ones_their_gain() -> None:
    """The decoder knows that foreign tokens come evenly, and nothing of the phrases that the corpus is made of."""
    random = np.random.default_rng(0)
    size = 50
    phrases = random.integers(1, size, (80, 7))
    familiar = [phrases[random.integers(0, 80, 60)].ravel().tolist() for _ in range(12)]
    foreign = [random.integers(1, size, 420).tolist() for _ in range(6)]
    memory = Memory(segment({f"d{i}": one for i, one in enumerate(familiar[:4])}, size))
    fitting, held_out = familiar[4:8], familiar[8:]
    backoff = Backoff.fit([survey(memory, np.array([0, *one])) for one in fitting], memory.unigrams)
    mixture = Mixture(memory, backoff, None)

    def read(text: list[int]) -> tuple[Float64, Float64, Float64]:
        """(features, memory's p, trust) of each token."""
        found = survey(memory, np.array([0, *text]))
        best = np.tile(np.arange(1, 17), (len(text), 1))
        evidence = Evidence(np.full(len(text), math.log(size)), best, np.full(best.shape, -math.log(size)))
        seen = features(found, backoff.favourite_probabilities(found, memory.unigrams), evidence)
        believed = trust(found, mixture.weights, mixture.last, 0)[:-1]
        return seen, backoff.probabilities(found, memory.unigrams), believed

    seen, own, _ = (np.concatenate(parts) for parts in zip(*map(read, fitting), strict=True))
    gate = Gate.fit(seen, np.full(len(own), 1 / size), own)

    def dearer(texts: list[list[int]], *, cautious: bool) -> float:
        """Bits with memory, as a share more than without."""
        nats = 0.0
        for text in texts:
            seen, own, believed = read(text)
            share = gate.shares(seen) * (believed if cautious else 1.0)
            nats -= float(np.log((1 - share) / size + share * own).sum())
        return nats / (sum(map(len, texts)) * math.log(size)) - 1

    always, cautious = (dearer(foreign, cautious=one) for one in (False, True))
    assert always > 0.1
    assert cautious < 0.001
    always, cautious = (dearer(held_out, cautious=one) for one in (False, True))
    assert cautious == pytest.approx(always, abs=0.003)
    assert cautious < -0.3


def test_evidence_is_what_matches_of_three_and_more_bring() -> None:
    memory = Memory(segment({"a": [1, 2, 3, 4, 5, 6], "b": [7, 3, 8], "c": [2, 3, 8]}, 9))
    copied, recombined = trusts(memory, [0, 1, 2, 3, 4, 5, 6]), trusts(memory, [0, 4, 7, 6, 2, 5, 1])
    assert all(later > earlier for earlier, later in pairwise(copied[3:].tolist()))
    assert all(later < earlier for earlier, later in pairwise(recombined[1:].tolist()))
