"""Against a loop that knows no cache, no blocks and no stream."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from groundup.errors import ModelError, RequestError
from groundup.generation.generator import ContextLengthError, Generator, Piece
from groundup.generation.logits import log_softmax
from groundup.generation.prefix import BLOCK
from groundup.generation.sampling import Sampling
from groundup.generation.turns import Turns
from tests.generation.parts import LINES, generator, tokenizer
from tests.generation.test_turns import wait_until

GREEDY = Sampling(temperature=0, max_tokens=12)


@torch.no_grad()
def whole_logits(made: Generator, ids: Sequence[int]) -> np.ndarray:
    model = made.model
    return model.logits(model(torch.tensor([list(ids)]))[:, -1])[0].double().numpy()


def naive_greedy(made: Generator, prompt: Sequence[int], count: int) -> list[int]:
    shows_nothing = [
        token for token in range(made.tokenizer.vocab_size)
        if not made.tokenizer.token_bytes[token] and token not in made.ends
    ]  # fmt: skip
    ids = list(prompt)
    for _ in range(count):
        row = whole_logits(made, ids)
        row[shows_nothing] = -np.inf
        ids.append(int(row.argmax()))
        if ids[-1] in made.ends:
            break
    return ids[len(prompt) :]


def tokens(pieces: Sequence[Piece]) -> list[int]:
    return [piece.token_id for piece in pieces]


@pytest.mark.parametrize("length", [1, 5, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3])
def test_greedy_text_equals_a_loop_without_cache(length: int) -> None:
    made = generator()
    prompt = np.random.default_rng(length).integers(0, 250, length).tolist()
    pieces = list(made.stream(prompt, GREEDY))
    assert tokens(pieces) == naive_greedy(made, prompt, 12)
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)


def test_logprobs_are_those_of_the_model_before_sampling() -> None:
    made, sampling = generator(), Sampling(temperature=2.0, top_k=5, presence_penalty=1, max_tokens=6, top_logprobs=3)
    prompt = made.encode_prompt("the quick")
    pieces, ids = list(made.stream(prompt, sampling)), list(prompt)
    for piece in pieces:
        expected = log_softmax(whole_logits(made, ids))
        assert piece.logprob == pytest.approx(expected[piece.token_id], abs=1e-4)
        assert [token for token, _ in piece.top_logprobs] == np.argsort(-expected)[:3].tolist()
        ids.append(piece.token_id)


def test_same_seed_same_text_and_another_seed_another() -> None:
    made = generator()
    prompt = made.encode_prompt("the")
    texts = [made.generate(prompt, Sampling(seed=seed, max_tokens=40)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_what_was_asked_before_changes_no_bit() -> None:
    prompt = np.random.default_rng(0).integers(0, 250, 2 * BLOCK + 9).tolist()
    sampling = Sampling(seed=3, max_tokens=20, top_logprobs=5)
    fresh = list(generator().stream(prompt, sampling))
    used = generator()
    for other in (prompt[: BLOCK + 50], [*prompt[:BLOCK], 1, 2, 3], prompt, prompt[:7]):
        list(used.stream(other, Sampling(seed=9, max_tokens=5)))
    assert used._prefix.tokens == 0  # the last prompt had no whole block
    assert list(used.stream(prompt, sampling)) == fresh
    assert used._prefix.tokens == 2 * BLOCK
    _, _, reused = used._prefix.read([*prompt[:BLOCK], 5], 300)
    assert reused == BLOCK
    assert list(used.stream(prompt, sampling)) == fresh


def test_a_stop_string_across_tokens_ends_the_text_before_it() -> None:
    made = generator()
    prompt = made.encode_prompt("the")
    whole = made.generate(prompt, Sampling(seed=1, max_tokens=60))
    stop = next(whole[at : at + 5] for at in range(8, len(whole)) if whole.index(whole[at : at + 5]) == at)
    pieces = list(made.stream(prompt, Sampling(seed=1, max_tokens=60, stop=(stop,))))
    assert "".join(piece.text for piece in pieces) == whole[: whole.index(stop)]
    assert pieces[-1].finish_reason == "stop"


def test_an_end_token_ends_the_text_and_shows_nothing() -> None:
    made = generator()
    prompt = made.encode_prompt("the")
    third = tokens(list(made.stream(prompt, GREEDY)))[2]
    made.drawable.ends = frozenset([third])
    pieces = list(made.stream(prompt, GREEDY))
    assert (pieces[-1].token_id, pieces[-1].finish_reason) == (third, "stop")
    assert tokens(pieces).index(third) == len(pieces) - 1


def test_tokens_that_show_nothing_are_never_drawn() -> None:
    made = generator()
    pieces = [
        piece for seed in range(6)
        for piece in made.stream(made.encode_prompt("a"), Sampling(temperature=100, seed=seed, max_tokens=200))
    ]  # fmt: skip
    assert {tokenizer().special["<|pad|>"], tokenizer().special["<|mask|>"]} <= set(made.drawable.silent.tolist())
    assert not set(tokens(pieces)) & set(made.drawable.silent.tolist())
    assert any(piece.token_id in made.ends for piece in pieces)


def test_streamed_text_has_no_broken_character() -> None:
    made = generator()
    for line in LINES:
        ids = tokenizer().encode(line)
        forced = iter(ids)
        # The same loop, with the model's choice replaced by a known text that holds characters of 2 to 4 bytes.
        made.drawable.logits = lambda _, forced=forced: one_hot(next(forced))  # type: ignore[method-assign]
        pieces = list(made.stream(made.encode_prompt("x"), Sampling(temperature=0, max_tokens=len(ids))))
        assert "".join(piece.text for piece in pieces) == line
        assert all("\ufffd" not in piece.text for piece in pieces)


def one_hot(token: int) -> np.ndarray:
    row = np.full(tokenizer().vocab_size, -5.0)
    row[token] = 5.0
    return row


def test_a_prompt_that_fills_the_context_is_refused_with_both_numbers() -> None:
    made = generator(context_length=20)
    with pytest.raises(ContextLengthError, match=r"25 tokens long, and the model's context holds 20") as caught:
        made.stream([1] * 25, GREEDY)
    assert caught.value.param == "prompt"


def test_truncation_keeps_the_end_and_the_separator_and_says_how_much_it_dropped() -> None:
    made = generator(context_length=20)
    separator = tokenizer().separator_id
    assert separator is not None
    fit = made.fit([separator, *range(100, 130)], Sampling(max_tokens=8), truncate=True)
    assert fit.prompt == [separator, *range(119, 130)]
    assert (fit.dropped, fit.max_tokens) == (31 - 12, 8)
    assert len(made.fit([7] * 50, Sampling(max_tokens=500), truncate=True).prompt) == 10  # half the context at least


def test_text_ends_where_the_context_does() -> None:
    made = generator(context_length=20)
    made.drawable.ends = frozenset()
    pieces = list(made.stream([5] * 12, Sampling(temperature=0, max_tokens=100)))
    assert (len(pieces), pieces[-1].finish_reason) == (8, "length")


@pytest.mark.parametrize("prompt", [[], [-1], [10_000]])
def test_prompts_without_or_outside_the_vocabulary_are_refused(prompt: list[int]) -> None:
    with pytest.raises(RequestError, match="prompt"):
        generator().stream(prompt, GREEDY)


def test_a_client_that_leaves_stops_the_work_and_frees_the_turn() -> None:
    made, seen = generator(), list[Piece]()
    made.drawable.ends = frozenset()
    for piece in made.stream([5], Sampling(max_tokens=250), cancelled=lambda: len(seen) >= 3):
        seen.append(piece)
    assert len(seen) <= 4
    assert not made.turns.busy
    stream = made.stream([5], Sampling(max_tokens=250))
    next(stream)
    assert made.turns.busy
    stream.close()  # type: ignore[attr-defined]
    assert not made.turns.busy


def test_requests_at_the_same_time_queue_and_get_what_they_would_alone() -> None:
    turns = Turns()
    made = generator(turns=turns)
    prompts = [made.encode_prompt(line) for line in ("the quick", "naïve", "lazy dog", "fox")]
    alone = [made.generate(prompt, Sampling(seed=5, max_tokens=30)) for prompt in prompts]
    together: dict[int, str] = {}

    def work(number: int) -> None:
        together[number] = made.generate(prompts[number], Sampling(seed=5, max_tokens=30))

    with turns.turn():
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: turns.waiting == 4)
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(4)] == alone


def test_a_model_that_computes_no_numbers_is_named() -> None:
    made = generator()
    with torch.no_grad():
        made.model.embedding.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="no number"):
        list(made.stream([5], GREEDY))
    assert not made.turns.busy
