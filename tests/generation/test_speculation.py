"""Drafted texts against undrafted ones: models in fp64, where rounding parts no two texts, and once in fp32."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from groundup.generation.gain import LENGTHS, TRIALS
from groundup.generation.generator import Generator, Piece
from groundup.generation.logits import processed, softmax
from groundup.generation.memory import Memory
from groundup.generation.sampling import Sampling
from tests.generation.memories import Oracle, PassClock, Plain, measured, nearly_free
from tests.generation.parts import generator, tokenizer

GREEDY = Sampling(temperature=0, max_tokens=60, top_logprobs=3)
ROWS = {1, *(1 + length for length in LENGTHS)}


def exact(**options: object) -> Generator:
    """In fp64, with no end token, so that texts are long."""
    made = generator(**options)  # type: ignore[arg-type]
    made.model.double()
    made.drawable.ends = frozenset()
    return made


def undrafted(made: Generator, prompt: Sequence[int], sampling: Sampling, memory: Memory | None = None) -> list[Piece]:
    return list(made.stream(prompt, sampling, memory=memory, speculate=False))


def tokens(pieces: Sequence[Piece]) -> list[int]:
    return [piece.token_id for piece in pieces]


def assert_same(pieces: Sequence[Piece], plain: Sequence[Piece]) -> None:
    """The same but for the last bits of probabilities."""
    assert [(p.text, p.token_id, p.finish_reason) for p in pieces] == [
        (p.text, p.token_id, p.finish_reason) for p in plain
    ]
    np.testing.assert_allclose([p.logprob for p in pieces], [p.logprob for p in plain], atol=1e-9)
    ours, theirs = ([t for p in some for t in p.top_logprobs] for some in (pieces, plain))
    assert [token for token, _ in ours] == [token for token, _ in theirs]
    np.testing.assert_allclose([value for _, value in ours], [value for _, value in theirs], atol=1e-9)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_greedy_text_is_that_of_plain_decoding_on_random_prompts(weight: float) -> None:
    made = exact()
    clock = PassClock(made, nearly_free)
    for seed in range(16):
        random = np.random.default_rng(seed)
        prompt = random.integers(5, 250, random.integers(1, 30)).tolist()
        own = tokens(undrafted(made, prompt, GREEDY))
        spoilt = [token if random.random() < 0.9 else int(random.integers(5, 250)) for token in own]
        memory = Plain([prompt + spoilt, random.integers(5, 250, 40).tolist(), own[20:]], weight)
        plain = undrafted(made, prompt, GREEDY, memory)
        clock.rows.clear()
        assert_same(list(made.stream(prompt, GREEDY, memory=memory)), plain)
        assert set(clock.rows[1:]) <= ROWS
    assert made.speculated.passes > 16
    assert weight or 0 < made.speculated.accepted < made.speculated.drafted  # a mixture says what memory says


def test_greedy_text_in_fp32_differs_at_ties_only() -> None:
    made = generator()
    made.drawable.ends = frozenset()
    PassClock(made, nearly_free)
    for seed in range(15):
        prompt = np.random.default_rng(seed).integers(5, 250, 12).tolist()
        plain = tokens(undrafted(made, prompt, GREEDY))
        drafted = tokens(list(made.stream(prompt, GREEDY, memory=Plain([prompt + plain]))))
        parted = next((at for at, (a, b) in enumerate(zip(plain, drafted, strict=True)) if a != b), None)
        if parted is not None:
            with torch.no_grad():
                row = made.model.logits(made.model(torch.tensor([prompt + plain[:parted]]))[:, -1])[0]
            assert abs(float(row[plain[parted]] - row[drafted[parted]])) < 1e-4
    assert made.speculated.accepted > 100


@pytest.mark.parametrize("wrong", range(3, 40, 4))
def test_a_rejected_token_leaves_no_trace_wherever_it_stands(wrong: int) -> None:
    made, prompt = exact(), [9, 8, 7]
    PassClock(made, nearly_free)
    plain = undrafted(made, prompt, GREEDY)
    told = [*tokens(plain), *[0] * 40]
    assert_same(list(made.stream(prompt, GREEDY, memory=Oracle(told, lambda place: place == wrong))), plain)
    assert_same(list(made.stream(prompt, GREEDY, memory=Oracle(told, lambda place: place % wrong == 0))), plain)
    assert made.speculated.accepted > 30


FILTERS = [
    Sampling(temperature=0.8, max_tokens=50, top_logprobs=2),
    Sampling(temperature=1.2, top_p=0.8, min_p=0.02, max_tokens=50),
    Sampling(
        temperature=0.5, top_k=5, repetition_penalty=1.2, presence_penalty=0.3, frequency_penalty=0.2, max_tokens=50
    ),
    Sampling(temperature=0, repetition_penalty=1.5, frequency_penalty=0.7, max_tokens=50),
]


@pytest.mark.parametrize("sampling", FILTERS)
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_the_same_seed_gives_the_same_text_drafted_or_not(sampling: Sampling, weight: float) -> None:
    made = exact()
    PassClock(made, nearly_free)
    for seed in range(5):
        asked = Sampling(**{name: getattr(sampling, name) for name in sampling.__slots__} | {"seed": seed})
        prompt = np.random.default_rng(seed).integers(5, 250, 10).tolist()
        own = tokens(undrafted(made, prompt, asked))
        memory = Plain([[*prompt, *own[:25], 17, *own[25:]], [*prompt, *own[:9]]], weight)
        assert_same(list(made.stream(prompt, asked, memory=memory)), undrafted(made, prompt, asked, memory))
        assert_same(list(made.stream(prompt, asked, memory=memory, target="decoder")), undrafted(made, prompt, asked))
        told = Oracle([*own, *own], lambda place: place % 11 == 5)
        assert_same(list(made.stream(prompt, asked, memory=told)), undrafted(made, prompt, asked))
    assert made.speculated.accepted > 60


def test_drafts_leave_the_distribution_as_it_is() -> None:
    made, prompt, sampling = exact(), [9, 8, 7], Sampling(top_k=2, temperature=1.5, max_tokens=20)
    PassClock(made, nearly_free)
    told = tokens(undrafted(made, prompt, sampling))
    length, texts = 6, 500
    with torch.no_grad():
        expected = {(): 1.0}
        for _ in range(length):
            begun, expected = expected, {}
            for ids, p in begun.items():
                row = made.model.logits(made.model(torch.tensor([[*prompt, *ids]]))[:, -1])[0].double().numpy()
                row[made.drawable.silent] = -np.inf
                shares = softmax(processed(row, prompt, ids, sampling))
                expected |= {(*ids, int(token)): p * float(shares[token]) for token in np.flatnonzero(shares)}
    counts = dict.fromkeys(expected, 0)
    for seed in range(texts):
        asked = Sampling(top_k=2, temperature=1.5, max_tokens=20, seed=10_000 + seed)
        pieces = made.stream(prompt, asked, memory=Oracle([*told, *[5] * 20]))
        counts[tuple(piece.token_id for piece in itertools.islice(pieces, length))] += 1
        pieces.close()  # type: ignore[attr-defined]
    often = [ids for ids in expected if expected[ids] * texts >= 5]
    observed = [*(counts[ids] for ids in often), texts - sum(counts[ids] for ids in often)]
    shares = [*(expected[ids] for ids in often), 1 - sum(expected[ids] for ids in often)]
    assert len(often) > 20
    assert made.speculated.accepted > 100
    assert chisquare(observed, np.array(shares) * texts).pvalue > 1e-4


def test_a_stop_string_inside_an_accepted_draft_ends_the_text_before_it() -> None:
    made, prompt = exact(), [9, 8, 7]
    clock = PassClock(made, nearly_free)
    sampling = Sampling(seed=4, max_tokens=60)
    plain = undrafted(made, prompt, sampling)
    whole = "".join(piece.text for piece in plain)
    for at in range(6, len(whole) - 4, 5):
        stop = whole[at : at + 4]
        asked = Sampling(seed=4, max_tokens=60, stop=(stop,))
        clock.rows.clear()
        pieces = list(made.stream(prompt, asked, memory=Oracle(tokens(plain))))
        assert "".join(piece.text for piece in pieces) == whole[: whole.index(stop)]
        assert_same(pieces, undrafted(made, prompt, asked))
    assert made.speculated.passes > 10


def test_an_end_token_where_the_draft_says_another_or_itself_ends_the_text() -> None:
    made, prompt = exact(), [9, 8, 7]
    clock = PassClock(made, nearly_free)
    text = tokens(undrafted(made, prompt, Sampling(seed=4, max_tokens=60)))
    for at in range(4, 50, 3):
        made.drawable.ends = frozenset([text[at]])
        sampling = Sampling(seed=4, max_tokens=60)
        plain = undrafted(made, prompt, sampling)
        assert (plain[-1].token_id, plain[-1].finish_reason, plain[-1].text) == (text[at], "stop", "")
        clock.rows.clear()
        assert_same(list(made.stream(prompt, sampling, memory=Oracle(text))), plain)
        assert sum(clock.rows) <= len(plain) + len(prompt)  # nothing is read behind an end that the draft foresees
        other = Oracle(text, lambda place, at=at: place == at)
        assert_same(list(made.stream(prompt, sampling, memory=other)), plain)


@pytest.mark.parametrize("room", [1, 2, 3, 9, 10, 11, 12, 19, 30, 45])
def test_text_ends_where_the_context_or_max_tokens_does_and_drafts_never_reach_beyond(room: int) -> None:
    made, prompt = exact(context_length=64), [5] * (64 - room)
    clock = PassClock(made, nearly_free)
    asked = Sampling(temperature=0, max_tokens=100)
    plain = undrafted(made, prompt, asked)
    assert (len(plain), plain[-1].finish_reason) == (room, "length")
    told = Oracle([*tokens(plain), *[5] * 100])
    clock.rows.clear()
    assert_same(list(made.stream(prompt, asked, memory=told)), plain)
    assert sum(clock.rows) < 64  # nor is the last token read
    few = Sampling(temperature=0, max_tokens=max(1, room - 1))
    assert_same(list(made.stream(prompt, few, memory=told)), undrafted(made, prompt, few))


def test_a_client_that_leaves_amid_a_draft_gets_no_more_and_spoils_nothing() -> None:
    made, prompt = exact(), [9, 8, 7]
    PassClock(made, nearly_free)
    plain, seen = undrafted(made, prompt, GREEDY), list[Piece]()
    for piece in made.stream(prompt, GREEDY, memory=Oracle(tokens(plain)), cancelled=lambda: len(seen) >= 9):
        seen.append(piece)
    assert tokens(seen) == tokens(plain)[: len(seen)]
    assert 9 <= len(seen) <= 10
    assert made.speculated.passes == 1
    assert not made.turns.busy
    assert undrafted(made, prompt, GREEDY) == plain


def test_what_was_drafted_before_changes_no_bit() -> None:
    prompt = np.random.default_rng(0).integers(5, 250, 150).tolist()
    fresh, used = undrafted(exact(), prompt, GREEDY), exact()
    PassClock(used, nearly_free)
    for told in (tokens(fresh), [5] * 60):
        list(used.stream(prompt, GREEDY, memory=Oracle(told)))
        assert undrafted(used, prompt, GREEDY) == fresh
    assert used.speculated.passes > 0


def test_drafts_of_what_is_no_token_or_is_never_drawn_are_cut_there() -> None:
    made, prompt = exact(), [9, 8, 7]
    PassClock(made, nearly_free)
    plain = undrafted(made, prompt, GREEDY)
    for alien in (-1, 10**9, tokenizer().vocab_size, tokenizer().special["<|pad|>"]):
        for at in (0, 5, 14, 30):
            told = tokens(plain)
            told[at:] = [alien] * (60 - at)
            assert_same(list(made.stream(prompt, GREEDY, memory=Oracle(told))), plain)


@pytest.mark.parametrize("temperature", [0, 0.8])
def test_whatever_the_clock_says_the_text_is_the_same(temperature: float) -> None:
    prompt = [9, 8, 7]
    sampling = Sampling(temperature=temperature, seed=6, max_tokens=80)
    plain = undrafted(exact(), prompt, sampling)
    told = Oracle([*tokens(plain), *[7] * 40], lambda place: place % 13 == 7)
    random = np.random.default_rng(0)
    passes = set()
    for cost in (nearly_free, measured, float, lambda _: 0.0, lambda _: float(random.exponential())):
        made = exact()
        PassClock(made, cost)
        assert_same(list(made.stream(prompt, sampling, memory=told)), plain)
        passes.add(made.speculated.passes)
    assert len(passes) > 1


def test_good_drafts_save_time_and_bad_ones_cost_next_to_none() -> None:
    prompt, sampling = [9, 8, 7], Sampling(temperature=0, max_tokens=250)

    def seconds(memory: Memory | None) -> float:
        made = exact()
        clock = PassClock(made, measured)
        list(made.stream(prompt, sampling, memory=memory))
        return clock.now

    plain, told = seconds(None), tokens(undrafted(exact(), prompt, sampling))
    assert seconds(Oracle(told)) < plain / 5
    assert seconds(Oracle(told, lambda place: place % 12 == 0)) < plain / 2
    # Short matches are watched before they are used, but for the passes that are tried.
    assert seconds(Oracle(told, lambda _: True, length=6)) < 1.02 * plain
    assert seconds(Oracle(told, lambda _: True)) < 1.05 * plain  # the longest matches, and all of them lie


def test_drafts_that_take_longer_than_they_save_are_given_up() -> None:
    made, prompt, sampling = exact(), [9, 8, 7], Sampling(temperature=0, max_tokens=250)
    clock = PassClock(made, lambda rows: 1.0 if rows == 1 else 60.0)
    told = tokens(undrafted(made, prompt, sampling))
    clock.rows.clear()
    list(made.stream(prompt, sampling, memory=Oracle(told)))
    assert made.speculated.passes <= 3 * len(LENGTHS)


def test_acceptance_of_undrafted_tokens_is_learnt_without_a_pass() -> None:
    made, prompt, sampling = exact(), [9, 8, 7], Sampling(temperature=0, max_tokens=250)
    PassClock(made, measured)
    told = tokens(undrafted(made, prompt, sampling))
    list(made.stream(prompt, sampling, memory=Oracle(told, length=2)))  # too short to be trusted at first
    assert made.speculated.passes > TRIALS + 2
    assert made.speculated.accepted == made.speculated.drafted


def test_a_draft_is_followed_without_rows_until_its_first_wrong_token() -> None:
    made, prompt, sampling = exact(), [9, 8, 7], Sampling(temperature=1.5, max_tokens=65)  # hardly repeats itself
    PassClock(made, lambda rows: 1.0 if rows == 1 else 90.0)  # nothing pays
    told = tokens(undrafted(made, prompt, sampling))
    once, often = Oracle(told, length=2), Oracle(told, lambda place: place % 4 == 0, length=2)
    for oracle in (once, once, often):  # the first has the trials
        oracle.asked = 0
        list(made.stream(prompt, sampling, memory=oracle))
    assert 3 <= once.asked <= 5  # 64 tokens, 31 at a time, but where the text itself drafts
    assert often.asked >= 16
