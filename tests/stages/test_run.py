"""The whole pipeline on a small real corpus: what it makes, what it keeps, what it says."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from groundup import machine
from groundup.errors import CorpusError, ModelError, RecipeError, SourceError, StoreBusyError, StoreError
from groundup.pipeline.store import Store
from groundup.progress import open_sink
from groundup.recipe import Recipe, load_recipe
from groundup.registry import champion
from groundup.stages.look_ahead import plan_pipeline
from groundup.stages.outcome import Outcome
from groundup.stages.run import run_pipeline
from tests.stages.conftest import Finished, small_recipe

pytestmark = pytest.mark.slow


def run(recipe: Recipe, store: Path, *, retrain: bool = False) -> Outcome:
    with open_sink("silent") as sink:
        return run_pipeline(recipe, store, sink, retrain=retrain)


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> tuple[Path, Path]:
    """(sources, store) of the finished run, to change. The sources keep their place: it is part of a run's name."""
    backup, store = tmp_path / "sources", tmp_path / "store"
    shutil.copytree(finished.sources, backup)
    shutil.copytree(finished.store, store)
    yield finished.sources, store
    shutil.rmtree(finished.sources)
    shutil.copytree(backup, finished.sources)


def test_every_part_of_the_verdict_is_there(finished: Finished) -> None:
    tables = {table.id: table for table in finished.outcome.summary.verdicts}
    assert set(tables) == {"generation", "continuations", "search", "answers"}
    rows = {row.name for row in tables["generation"].rows}
    memory = {"from-scratch + memory", "∞-gram, from-scratch's tokens"}
    assert rows == {"from-scratch", "5-gram (Kneser–Ney)", "zstd -19", *memory}
    for table in tables.values():
        assert table.sentence
        assert sum(row.serves for row in table.rows) == (table.id != "continuations")
    values = [row.values["held-out documents"].value for row in tables["generation"].rows]
    assert values == sorted(values)
    served = next(row.name for row in tables["generation"].rows if row.serves)
    assert finished.outcome.text().splitlines()[-1].startswith(f"serves   {served} completes; ")


def test_baselines_never_serve(finished: Finished) -> None:
    assert all(
        row.role == "candidate" for table in finished.outcome.summary.verdicts for row in table.rows if row.serves
    )


def test_the_release_holds_what_serves_and_its_cards(finished: Finished) -> None:
    release = champion.require(Store(finished.store))
    assert release.models == ["encoder-from-scratch", "from-scratch"]
    assert release.verify() == []
    assert "from-scratch" in release.model_card
    assert "documents" in release.data_card


def test_the_report_is_one_file_that_loads_nothing(finished: Finished) -> None:
    page = finished.outcome.report.read_text(encoding="utf-8")
    assert "Completion" in page
    assert 'src="http' not in page
    assert "@import" not in page


def test_nothing_of_a_person_stays_where_a_mask_should_be(finished: Finished) -> None:
    found = [
        path for path in finished.store.rglob("*") if path.is_file() and b"anna.gardener@posteo.de" in path.read_bytes()
    ]
    assert found == []


def test_a_second_run_is_all_cached(copy: tuple[Path, Path]) -> None:
    sources, store = copy
    outcome = run(small_recipe(sources), store)
    assert outcome.failure is None
    assert {step.state for step in outcome.summary.steps} == {"cached"}
    assert "everything" in outcome.text()


def test_memory_follows_the_files_and_holds_what_is_there_now(copy: tuple[Path, Path]) -> None:
    from groundup.stages.memory_use import open_tracer

    sources, store = copy
    new = "The wheelbarrow stands behind the greenhouse, under the blue tarpaulin sheet, next to nine copper kettles."
    old = "In the second week of November, before the ground freezes, three fingers deep and a hand apart."
    (found,) = open_tracer(store).trace(old).spans
    assert [source.path.endswith("notes/garden.md") for source in found.sources] == [True]
    assert not open_tracer(store).trace(new).spans
    (sources / "notes" / "garden.md").write_text(f"# Garden notes\n\n{new}\n", encoding="utf-8")
    outcome = run(small_recipe(sources), store)
    raise_failure(outcome)
    assert {step.name: step.state for step in outcome.summary.steps}["memory"] == "done"
    (found,) = open_tracer(store).trace(new).spans
    assert found.sources[0].path.endswith("notes/garden.md")
    assert not open_tracer(store).trace(old).spans
    (sources / "notes" / "garden.md").unlink()
    raise_failure(run(small_recipe(sources), store))
    assert not open_tracer(store).trace(new).spans


def test_a_lost_or_damaged_memory_is_made_again(copy: tuple[Path, Path]) -> None:
    from groundup.stages.memory_use import open_tracer

    sources, store = copy
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:100])):
        for path in (store / "memory").rglob("ends.bin"):
            damage(path)
        with pytest.raises(StoreError, match=r"ends\.bin .*groundup memory rebuild"):
            open_tracer(store)
        raise_failure(run(small_recipe(sources), store))
        assert open_tracer(store).trace("In the second week of November, before the ground freezes, three").spans


def test_a_changed_file_refreshes_the_index_alone_and_says_why(copy: tuple[Path, Path]) -> None:
    sources, store = copy
    (sources / "notes" / "garden.md").write_text(
        "# Garden notes\n\n## Where the wheelbarrow stands\n\nBehind the greenhouse, under the blue tarpaulin sheet.\n",
        encoding="utf-8",
    )
    outlook = plan_pipeline(small_recipe(sources), store)
    assert {step.state for step in outlook.steps if step.name != "index"} == {"cached"}
    outcome = run(small_recipe(sources), store)
    states = {step.name: step for step in outcome.summary.steps}
    assert {name for name, step in states.items() if step.state == "done"} <= {"index", "memory", "vectors"}
    assert "1 changed" in states["index"].reason
    assert "garden.md" in states["index"].reason
    assert outcome.summary.stale is not None
    assert outcome.summary.stale.files_changed == 1

    from groundup.stages.use import search_index

    found = search_index(store, "wheelbarrow tarpaulin", k=3, system="bm25", explain=False)
    assert found.found[0].source.endswith("notes/garden.md")
    assert all(
        "broad beans" not in one.text for one in search_index(store, "beans", k=9, system="bm25", explain=False).found
    )


def test_a_lost_or_damaged_index_is_made_again(copy: tuple[Path, Path]) -> None:
    sources, store = copy
    from groundup.stages.use import search_index

    shutil.rmtree(store / "index")
    outcome = run(small_recipe(sources), store)
    raise_failure(outcome)
    assert {step.name: step.state for step in outcome.summary.steps}["index"] == "done"
    assert search_index(store, "broad beans", k=1, system="bm25", explain=False).found
    largest = max(
        (path for path in (store / "index").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    largest.write_bytes(largest.read_bytes()[:100])
    raise_failure(run(small_recipe(sources), store))
    assert search_index(store, "broad beans", k=1, system="bm25", explain=False).found


def test_a_new_file_that_cannot_be_read_is_in_the_funnel_and_new_text_gets_vectors(copy: tuple[Path, Path]) -> None:
    sources, store = copy
    (sources / "notes" / "noise.bin").write_bytes(bytes(range(256)) * 40)
    (sources / "notes" / "new.md").write_text("# New\n\nThe ladder leans against the north wall of the barn.\n")
    outcome = run(small_recipe(sources), store)
    raise_failure(outcome)
    assert any(row.example_source.endswith("noise.bin") for row in outcome.summary.funnel)
    assert "left out" in outcome.text()
    before = run(small_recipe(sources), store).summary.coverage
    assert before is not None
    assert outcome.summary.coverage == before


def test_a_rollback_is_not_undone_by_a_run_that_makes_nothing(copy: tuple[Path, Path]) -> None:
    sources, store = copy
    first = champion.require(Store(store)).id
    raise_failure(run(small_recipe(sources, **{"decoder.tokens": 20_480}), store))
    second = champion.require(Store(store)).id
    if second == first:
        pytest.skip("the second release was judged worse, so there is nothing to roll back")
    champion.rollback(Store(store))
    raise_failure(run(small_recipe(sources, **{"decoder.tokens": 20_480}), store))
    assert champion.require(Store(store)).id == first


def test_damage_of_an_artifact_is_named_with_its_mend(copy: tuple[Path, Path]) -> None:
    sources, store = copy
    documents = next((store / "objects" / "corpus").glob("*/documents.parquet"))
    raw = bytearray(documents.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    documents.write_bytes(raw)
    with pytest.raises(StoreError, match=r"Delete .*corpus"):
        raise_failure(run(small_recipe(sources, **{"tokenizer.vocab_size": 800}), store))


def test_a_failed_run_shows_nothing_of_another_one(copy: tuple[Path, Path], tmp_path: Path) -> None:
    _, store = copy
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.md").write_text("# One\n\nA single note that stands alone and has nothing beside it.\n")
    outcome = run(small_recipe(tmp_path / "one"), store)
    assert outcome.failure is not None
    assert outcome.summary.next == []  # what to do is in the error
    assert not outcome.summary.release
    assert "serves" not in outcome.text()
    assert "cached" not in outcome.text()


def test_of_two_runs_in_a_store_the_one_asked_for_last_serves(copy: tuple[Path, Path], tmp_path: Path) -> None:
    from groundup.stages.use import search_index

    sources, store = copy
    (tmp_path / "cellar").mkdir()
    for number in range(4):
        text = f"# Boiler {number}\n\nThe pressure of the boiler in cellar {number} was read on the first of May.\n"
        (tmp_path / "cellar" / f"{number}.md").write_text(text * 3, encoding="utf-8")
    other = run(small_recipe(tmp_path / "cellar"), store)
    raise_failure(other)
    assert search_index(store, "boiler pressure", k=3, system="bm25", explain=False).found
    again = run(small_recipe(sources), store)
    raise_failure(again)
    assert again.summary.release != other.summary.release
    assert search_index(store, "broad beans", k=3, system="bm25", explain=False).found[0].source.endswith("garden.md")


def test_retrain_takes_the_files_as_they_are(copy: tuple[Path, Path]) -> None:
    sources, store = copy
    (sources / "notes" / "garden.md").write_text("# Garden\n\nNothing grows here any more, and nobody minds.\n")
    outcome = run(small_recipe(sources), store, retrain=True)
    assert outcome.failure is None
    assert outcome.summary.stale is not None
    assert outcome.summary.stale.files_changed == 0
    assert {"corpus", "split", "tokens"} <= {step.name for step in outcome.summary.steps if step.state == "done"}


def test_another_choice_reruns_what_depends_on_it_and_no_more(copy: tuple[Path, Path]) -> None:
    sources, store = copy
    changed = small_recipe(sources, **{"sentence_encoder.pairs": 128})
    outlook = plan_pipeline(changed, store)
    states = {step.name: step for step in outlook.steps}
    assert states["corpus"].state == states["decoder"].state == states["score-5-gram"].state == "cached"
    assert states["encoder"].state == "run"
    assert "64 → 128" in states["encoder"].reason


def test_generate_streams_and_the_seed_decides(finished: Finished) -> None:
    from groundup.stages.use import generate_text

    options = {"model": "champion", "chat": False, "max_tokens": 12, "temperature": 1.0}
    first = "".join(piece.text for piece in generate_text(finished.store, "def f(", seed=1, **options).pieces)
    again = "".join(piece.text for piece in generate_text(finished.store, "def f(", seed=1, **options).pieces)
    other = "".join(piece.text for piece in generate_text(finished.store, "def f(", seed=2, **options).pieces)
    assert first == again != other


def test_chat_without_a_template_points_to_completion(finished: Finished) -> None:
    from groundup.errors import RequestError
    from groundup.stages.use import generate_text

    with pytest.raises(RequestError, match="completion"):
        generate_text(finished.store, "hello", model="champion", chat=True, max_tokens=3)


# ------------------------------------------------------------------ bad input


def test_no_such_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        raise_failure(run(load_recipe(None, {"sources": (tmp_path / "nowhere",)}), tmp_path / "store"))


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="empty"):
        raise_failure(run(load_recipe(None, {"sources": (tmp_path / "empty",)}), tmp_path / "store"))


def test_a_corpus_that_filters_empty_says_which_rule(tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "a.txt").write_text("---\n")
    with pytest.raises(CorpusError, match="funnel"):
        raise_failure(run(small_recipe(tmp_path / "noise"), tmp_path / "store"))


def test_one_document_is_too_few_to_measure(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.md").write_text("# One\n\nA single note that stands alone and has nothing beside it.\n")
    with pytest.raises(CorpusError, match="too little"):
        raise_failure(run(small_recipe(tmp_path / "one"), tmp_path / "store"))


def test_three_documents_give_a_release(tmp_path: Path) -> None:
    (tmp_path / "three").mkdir()
    for number, text in enumerate(("beans in November", "the barrel is behind the house", "letters from the coast")):
        (tmp_path / "three" / f"{number}.md").write_text(
            f"# Note {number}\n\nThis note is about {text} and little else.\n" * 3
        )
    outcome = run(small_recipe(tmp_path / "three"), tmp_path / "store")
    raise_failure(outcome)
    assert any("too few" in warning.lower() for table in outcome.summary.verdicts for warning in table.warnings)


def test_an_unknown_base_is_refused_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model"):
        run(load_recipe(None, {"base": str(tmp_path / "nothing")}), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_second_run_in_the_same_store_is_refused(finished: Finished, tmp_path: Path) -> None:
    import threading

    store = Store(tmp_path / "store")
    seen: list[BaseException] = []

    def other() -> None:
        try:
            run(small_recipe(finished.sources), store.root)
        except StoreBusyError as error:
            seen.append(error)

    with store.writing():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(seen) == 1


def test_a_folder_without_judgements_is_named(finished: Finished, tmp_path: Path) -> None:
    recipe = small_recipe(finished.sources, **{"evaluation.judgements": (tmp_path,)})
    with pytest.raises(SourceError, match=r"corpus\.jsonl"):
        raise_failure(run(recipe, tmp_path / "store"))


def test_a_stopped_run_leaves_a_report_and_goes_on(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groundup.stages import scores

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(scores, "run_ngram", interrupt)
        outcome = run(small_recipe(finished.sources), tmp_path / "store")
    assert outcome.stopped
    from groundup.stages.use import search_index

    early = search_index(tmp_path / "store", "json decoder", k=3, system="best", explain=False)
    assert early.found  # the index is there before the first release
    assert early.system == "bm25"
    assert "score-5-gram" in outcome.report.read_text(encoding="utf-8")
    again = run(small_recipe(finished.sources), tmp_path / "store")
    raise_failure(again)
    states = {step.name: step.state for step in again.summary.steps}
    assert states["corpus"] == "cached"
    assert states["score-5-gram"] == "done"


def test_summaries_are_plain_json(finished: Finished) -> None:
    assert json.loads(json.dumps(finished.outcome.to_json()))["verdicts"]


def test_an_unknown_choice_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("minutes: 5\ndecoder:\n  tokenz: 3\n")
    with pytest.raises(RecipeError, match=r"recipe\.yaml:3.*Did you mean `tokens`"):
        load_recipe(tmp_path / "recipe.yaml", {})


def raise_failure(outcome: Outcome) -> None:
    if outcome.failure is not None:
        raise outcome.failure


def test_bf16_is_refused_before_work_starts_where_it_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = dataclasses.replace(machine.profile(), best_format="fp32")
    monkeypatch.setattr(machine, "profile", lambda: slow)
    with pytest.raises(RecipeError, match="encoder_format: bf16 is not faster than fp32 on this processor"):
        run(small_recipe(tmp_path, encoder_format="bf16"), tmp_path / "store")
    assert not (tmp_path / "store").exists()
