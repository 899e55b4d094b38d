"""Drafts from the text itself, against a search through all of it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.generation.memory import Remembered
from groundup.generation.own_text import MOST, PLACES, OwnText
from tests.generation.memories import Plain


def searched(text: list[int]) -> tuple[int, int]:
    """(length, place behind it) of the longest earlier match of the text's end, the latest of equals."""
    best = (0, 0)
    for behind in range(len(text) - 1, 0, -1):
        length = 0
        while length < min(behind, MOST) and text[behind - 1 - length] == text[len(text) - 1 - length]:
            length += 1
        if length > best[0]:
            best = (length, behind)
    return best


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_the_longest_match_is_found_whatever_was_prompt(text: list[int], prompt: int) -> None:
    own = OwnText(text[:prompt])
    for token in text[prompt:]:
        own.match_length()
        own.advance(token)
    length, behind = searched(text)
    assert own.match_length() == length
    assert own.draft(7) == (text[behind : behind + 7] if length else [])


def test_a_long_repetition_counts_in_part_and_drafts_what_came_next() -> None:
    line = list(range(100, 150))
    own = OwnText([*line, 7, *line])
    assert own.match_length() == MOST
    assert own.draft(3) == [7, 100, 101]


def test_a_token_that_stands_everywhere_is_looked_at_in_its_latest_places() -> None:
    own = OwnText([5, 1, 2, *[9, 2] * (2 * PLACES), 5, 1, 2])
    assert own.match_length() == 1
    assert own.draft(1) == [5]


def test_it_drafts_beside_a_memory_and_not_where_nothing_is_drafted() -> None:
    memory = Plain([[1, 2, 3]])
    both = Remembered(memory, [1, 2, 8, 1], "decoder", speculate=True)
    assert [drafter.draft(2) for drafter in both.drafters] == [[2, 3], [2, 8]]
    both.advance(2)
    assert [drafter.draft(2) for drafter in both.drafters] == [[3], [8, 1]]
    assert not Remembered(memory, [1, 2], "mixture", speculate=False).drafters
    assert not Remembered(None, [1, 2], "mixture", speculate=True).drafters
