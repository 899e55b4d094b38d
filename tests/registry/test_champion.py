"""champion.py: promotion is decided by verdicts, moved atomically, and can be undone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from groundup.errors import ReleaseError, StoreBusyError
from groundup.pipeline import Store
from groundup.pipeline.lock import writing
from groundup.registry import champion
from groundup.registry.release import Release
from tests.registry.conftest import table

Make = Callable[..., Release]


def test_first_release_serves(store: Store, make: Make) -> None:
    assert champion.current(store) is None
    with pytest.raises(ReleaseError, match=r"there is no release yet.*groundup run"):
        champion.require(store)
    made = make()
    promotion = champion.promote(store, made)
    assert (promotion.promoted, promotion.why, promotion.previous) == (True, "the first release", None)
    assert champion.require(store) == made
    assert champion.promote(store, made).why == "it serves already"
    assert len(champion.history(store)) == 1


@pytest.mark.parametrize(
    ("challenger", "promoted", "why"),
    [
        (table(0.70), True, "Completion 0.83 → 0.7 bits/byte (better)"),
        (table(0.835), True, "Completion 0.83 → 0.835 bits/byte (no difference that can be told)"),
        (table(0.90), False, "goes on serving: Completion 0.83 → 0.9 bits/byte (worse)"),
        (table(0.90, id="search"), True, "nothing both were measured on"),
        (table(0.90, rows=[]), True, "nothing both were measured on"),
    ],
)
def test_challenger_serves_unless_it_is_worse_for_sure(
    store: Store, make: Make, challenger: dict[str, object], promoted: bool, why: str
) -> None:
    first = make()
    champion.promote(store, first)
    second = make("v", verdicts=[challenger])
    promotion = champion.promote(store, second)
    assert promotion.promoted is promoted
    assert why in promotion.why
    assert promotion.previous == first.id
    assert champion.require(store).id == (second if promoted else first).id


def test_figures_of_other_texts_are_not_compared(store: Store, make: Make) -> None:
    champion.promote(store, make())
    second = make("v", verdicts=[table(9.0)], measured_on="split-2")
    promotion = champion.promote(store, second)
    assert promotion.promoted
    assert "measured on other texts" in promotion.why
    third = make("w2", verdicts=[table(10.0)], measured_on="split-2")
    assert not champion.promote(store, third).promoted


def test_where_higher_is_better_higher_wins() -> None:
    def search(value: float) -> list[dict[str, object]]:
        return [table(value, higher_is_better=True, unit="nDCG@10")]

    assert champion.compare(search(0.5), search(0.6)) == (False, "Completion 0.5 → 0.6 nDCG@10 (better)")
    assert champion.compare(search(0.6), search(0.5))[0]


def test_one_table_worse_is_enough_to_stay() -> None:
    old = [table(0.8), table(0.5, id="search", higher_is_better=True)]
    assert champion.compare(old, [table(0.7), table(0.3, id="search", higher_is_better=True)])[0]


def test_rollback_goes_back_and_keeps_the_history(store: Store, make: Make) -> None:
    first, second = make("1"), make("2")
    champion.promote(store, first)
    with pytest.raises(ReleaseError, match="no other release has served"):
        champion.rollback(store)
    champion.promote(store, second)
    assert champion.rollback(store).release == first.id
    assert champion.require(store) == first
    assert champion.rollback(store, second.id).why == f"rolled back from {first.id}"
    assert [entry["release"] for entry in champion.history(store)] == [first.id, second.id, first.id, second.id]
    with pytest.raises(ReleaseError, match="is no release here"):
        champion.rollback(store, "nothing")


def test_two_promotions_at_once_are_refused(store: Store, make: Make) -> None:
    made = make()
    failures: list[Exception] = []

    def promote() -> None:
        try:
            champion.promote(store, made)
        except StoreBusyError as error:
            failures.append(error)

    with writing(store.releases):
        thread = threading.Thread(target=promote)
        thread.start()
        thread.join()
    assert len(failures) == 1
    assert champion.current(store) is None


def test_damaged_pointer_is_one_clear_error(store: Store, make: Make) -> None:
    champion.promote(store, make())
    (store.releases / "champion.json").write_text("{}")
    with pytest.raises(ReleaseError, match=r"can't be read.*names the champion anew"):
        champion.current(store)


def test_damaged_champion_gives_way_to_a_whole_challenger(store: Store, make: Make) -> None:
    first = make("1")
    champion.promote(store, first)
    (first.path / "metrics.json").unlink()
    promotion = champion.promote(store, make("2", verdicts=[table(9.0)]))
    assert promotion.promoted
    assert "can't be read" in promotion.why
