from __future__ import annotations

import numpy as np
import pytest

from groundup.generation.gain import FIRST_PLAIN, LENGTHS, PLAIN_EVERY, TRIAL_EVERY, TRIALS, USUAL_COST, Costs, Gain


def begun(plain: float = 1.0, costs_of: tuple[float, ...] = (2.0, 2.2, 2.8)) -> tuple[Gain, Costs]:
    """After the first plain steps and trials. costs_of: passes over LENGTHS, in plain steps, as many as were timed."""
    costs = Costs()
    for _ in range(FIRST_PLAIN):
        costs.took(0, plain)
    for length, cost in zip(LENGTHS, costs_of, strict=False):
        for _ in range(TRIALS):
            costs.took(length, cost * plain)
    costs.took(0, plain)
    return Gain(costs), costs


def test_expected_tokens_are_those_of_drafts_that_end_at_the_first_rejection() -> None:
    (gain, _), rejected_of = begun(), (5, 10, 20)  # one in so many tokens, by place in the draft
    for _ in range(40):
        for first, many in zip((0, *LENGTHS), rejected_of, strict=False):
            for one in range(many):
                gain.judged(20, first, one != many // 2)
    for length in LENGTHS:
        chances = [1 - 1 / rejected_of[sum(place >= bound for bound in LENGTHS)] for place in range(length)]
        drafts = np.random.default_rng(0).random((20_000, length)) < chances
        simulated = 1 + np.cumprod(drafts, 1).sum(1).mean()
        assert gain.expected_tokens(20, length) == pytest.approx(simulated, rel=0.05)


def test_there_is_no_draft_before_a_plain_step_was_timed_nor_without_a_match_nor_without_room() -> None:
    assert Gain(Costs()).best(64, 31) == 0
    gain, _ = begun()
    assert gain.best(0, 31) == 0
    assert gain.best(64, LENGTHS[0] - 1) == 0
    assert gain.best(64, LENGTHS[0]) == LENGTHS[0]


def test_the_shortest_draft_is_tried_whatever_it_may_bring_and_again_after_many_plain_steps() -> None:
    costs = Costs()
    for _ in range(FIRST_PLAIN):
        costs.took(0, 1.0)
    for _ in range(TRIALS):
        assert Gain(costs).best(1, 31) == LENGTHS[0]
        costs.took(LENGTHS[0], 50.0)
    for _ in range(TRIAL_EVERY):
        assert Gain(costs).best(64, 31) == 0
        costs.took(0, 1.0)
    assert Gain(costs).best(1, 31) == LENGTHS[0]


def test_what_was_not_measured_costs_as_much_more_as_is_usual() -> None:
    for scale in (0.6, 1.0, 3.0):
        _, costs = begun(0.05, (USUAL_COST[8] * scale,))
        for length in LENGTHS:
            assert costs.cost(length) == pytest.approx(USUAL_COST[length] * scale)


def test_longer_matches_draft_longer() -> None:
    gain, _ = begun()
    lengths = [gain.best(match, 100) for match in (1, 2, 4, 8, 16, 32, 1000)]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[-1] == LENGTHS[-1]


def test_cheap_passes_draft_after_shorter_matches() -> None:
    dear, cheap = begun()[0], begun(costs_of=(1.2, 1.3, 1.7))[0]
    assert dear.best(4, 31) == 0
    assert cheap.best(4, 31) > 0


def test_rejections_switch_drafts_off_and_acceptance_on_again() -> None:
    gain, _ = begun()
    for _ in range(20):
        gain.judged(64, 0, False)
    assert gain.best(64, 31) == 0
    assert gain.best(16, 31) > 0  # another match length is another matter
    for _ in range(200):
        gain.judged(64, 0, True)
    assert gain.best(64, 31) > 0


def test_the_time_of_passes_decides_and_one_slow_one_does_not() -> None:
    gain, costs = begun()
    costs.took(31, 1000.0)
    assert gain.best(64, 31) == 31
    for length in LENGTHS:
        for _ in range(5):
            costs.took(length, 40.0)
    costs.took(0, 1.0)
    assert gain.best(64, 31) == 0
    for _ in range(9):
        costs.took(15, 1.1)
    costs.took(0, 1.0)
    assert gain.best(64, 31) == 15


def test_a_plain_step_is_timed_anew_after_so_many_passes() -> None:
    gain, costs = begun()
    costs.took(0, 1.0)
    for _ in range(PLAIN_EVERY):
        assert gain.best(64, 31) > 0
        costs.took(31, 2.0)
    assert gain.best(64, 31) == 0
    costs.took(0, 1.0)
    assert gain.best(64, 31) > 0


def test_a_clock_that_stands_still_is_survived() -> None:
    gain, costs = begun(0.0)
    costs.took(8, 0.0)
    gain.best(64, 31)
