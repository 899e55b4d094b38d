from __future__ import annotations

import threading
import time

import pytest

from groundup.errors import RequestError
from groundup.generation.turns import Cancelled, Turns


def wait_until(condition: object, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.002)


def test_turns_go_one_at_a_time_in_the_order_of_asking() -> None:
    turns, order, inside, most = Turns(), list[int](), 0, 0

    def work(number: int) -> None:
        nonlocal inside, most
        with turns.turn():
            inside += 1
            most = max(most, inside)
            time.sleep(0.005)
            order.append(number)
            inside -= 1

    with turns.turn():
        threads = []
        for number in range(8):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            wait_until(lambda count=number + 1: turns.waiting == count)
    for thread in threads:
        thread.join()
    assert (order, most, turns.waiting, turns.busy) == (list(range(8)), 1, 0, False)


def test_more_than_may_wait_are_refused_at_once() -> None:
    turns = Turns(limit=0)
    with turns.turn():
        with pytest.raises(RequestError, match="wait already") as caught, turns.turn():
            pass
    assert caught.value.status == 429
    with turns.turn():  # the refused one left nothing behind
        assert turns.waiting == 0


def test_who_leaves_while_waiting_frees_the_place() -> None:
    turns, left = Turns(), threading.Event()
    raised = []

    def work() -> None:
        try:
            with turns.turn(left.is_set):
                raised.append("had a turn")
        except Cancelled:
            raised.append("left")

    with turns.turn():
        thread = threading.Thread(target=work)
        thread.start()
        wait_until(lambda: turns.waiting == 1)
        left.set()
        thread.join()
        assert (raised, turns.waiting) == (["left"], 0)
