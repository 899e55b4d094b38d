from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundup.corpus.document import make_document
from groundup.evaluation.collection import Collection
from groundup.evaluation.search_verdict import (
    _sentence,
    fit_dense_weight,
    index_collection,
    search_results,
    search_verdict,
    split_queries,
)
from groundup.evaluation.verdict import Comparison, Estimate, Row, Table
from tests.retrieval.stand_in import WordEncoder


def collection(questions: int, own: bool = True, seed: int = 0) -> Collection:
    """Passages of rare and common words; a question is some rare words of its passage among common ones."""
    draw = np.random.default_rng(seed)
    common = [f"common{chr(97 + i)}" for i in range(20)]
    documents, queries, judgements = [], {}, {}
    for i in range(max(questions, 20) + 40):
        rare = [f"rare{''.join(chr(97 + c) for c in draw.integers(0, 26, 3))}" for _ in range(6)]
        words = [*rare, *draw.choice(common, 30).tolist()]
        document = make_document(f"d{i}", " ".join(words), group="g", title="", kind="prose")
        documents.append(document)
        if i < questions:
            queries[f"q{i:03d}"] = " ".join([*rare[:2], *draw.choice(common, 8).tolist()])
            judgements[f"q{i:03d}"] = {document.id: 1}
    return Collection("known items" if own else "other", documents, queries, judgements, whole=True, own=own)


def test_every_system_is_measured_and_the_best_on_the_own_questions_serves(tmp_path: Path) -> None:
    encoder = WordEncoder()
    own, other = collection(100), collection(50, own=False, seed=1)
    pairs = [(c, index_collection(c, tmp_path / c.name, [encoder])) for c in (own, other)]
    verdict = search_verdict(pairs, [encoder], seed=0)
    table = verdict.table
    assert [row.name for row in table.rows] == ["TF-IDF", "BM25", "dense:words", "rrf:words", "hybrid:words"]
    assert table.columns == ["known items nDCG@10", "known items recall@100", "other nDCG@10", "other recall@100"]
    values = {row.name: row.values["known items nDCG@10"].value for row in table.rows}
    assert table.champion is not None
    assert values[table.champion.name] == max(values.values())
    assert {"BM25": "bm25", "TF-IDF": "tfidf"}.get(table.champion.name, table.champion.name) == verdict.best
    assert all(row.values["known items nDCG@10"].n == 50 for row in table.rows)  # the other half fitted the weight
    assert all(c.difference.value >= 0 for c in table.comparisons)
    assert len(table.comparisons) == 8
    assert table.sentence.startswith(f"{table.champion.name} serves: nDCG@10 {max(values.values()):.3f} on 50 of")
    assert "fitted on 50 other questions" in table.sentence
    assert Table.from_json(table.to_json()) == table
    assert search_verdict(pairs, [encoder], seed=0) == verdict


def test_under_fifty_questions_decide_nothing(tmp_path: Path) -> None:
    small = collection(30)
    verdict = search_verdict([(small, index_collection(small, tmp_path))], [], seed=0)
    assert verdict.best == "bm25"
    assert "known items: too few to tell, 30 questions." in verdict.table.warnings
    assert verdict.table.sentence.startswith("BM25 serves by default")


def test_no_questions_at_all_still_make_a_table(tmp_path: Path) -> None:
    none = replace(collection(0), queries={}, judgements={})
    verdict = search_verdict([(none, index_collection(none, tmp_path))], [], seed=0)
    assert verdict.best == "bm25"
    assert all(row.values == {} for row in verdict.table.rows)


def test_other_sets_alone_do_not_decide(tmp_path: Path) -> None:
    other = collection(60, own=False)
    assert search_verdict([(other, index_collection(other, tmp_path))], [], seed=0).best == "bm25"


def test_partial_coverage_is_said(tmp_path: Path) -> None:
    encoder = WordEncoder()
    own = collection(60)
    index = index_collection(own, tmp_path)
    index.embed_missing(encoder, limit=10)
    verdict = search_verdict([(own, index)], [encoder], seed=0)
    assert "known items: dense covers 10 of 100" in verdict.table.warnings


def test_an_item_scores_as_its_best_chunk(tmp_path: Path) -> None:
    text = "\n\n".join(f"{'alpha ' * i}{'filler ' * 60}" for i in (1, 3, 0))
    document = make_document("d", text, group="g", title="t", kind="prose")
    made = Collection("c", [document], {"q": "alpha"}, {"q": {document.id: 1}})
    index = index_collection(made, tmp_path)
    assert index.chunks > 1
    best = index.rank("alpha", 1, "bm25").scores[0]
    assert search_results(made, index, "bm25") == {"q": {document.id: pytest.approx(float(best))}}


def test_the_weight_is_fitted_on_the_questions_given(tmp_path: Path) -> None:
    encoder = WordEncoder(dim=2)  # two dimensions tell nothing apart: BM25 alone is best
    own = collection(100)
    fit, rest = split_queries(own)
    assert not set(fit.queries) & set(rest.queries)
    index = index_collection(own, tmp_path, [encoder])
    before = index.dense_weight
    assert fit_dense_weight(fit, index, encoder) <= 0.3
    assert index.dense_weight == before


@pytest.mark.parametrize("questions", [1, 4])
def test_fewer_than_five_questions_are_ahead_of_nothing(tmp_path: Path, questions: int) -> None:
    own, other = collection(60), collection(questions, own=False, seed=1)
    pairs = [(c, index_collection(c, tmp_path / c.name)) for c in (own, other)]
    table = search_verdict(pairs, [], seed=0).table
    few = [c for c in table.comparisons if c.column.startswith("other")]
    assert few
    assert not any(c.settled for c in few)
    assert "elsewhere" not in table.sentence


def test_sentence_on_few_questions_gives_no_interval() -> None:
    def row(name: str, value: float, serves: bool = False) -> Row:
        return Row(name, "candidate", {"own nDCG@10": Estimate(value, value, value, 1)}, serves=serves)

    rows = [row("BM25", 1.0, serves=True), row("TF-IDF", 0.5)]
    pair = Comparison("BM25", "TF-IDF", "own nDCG@10", Estimate(0.5, 0.5, 0.5, 1))
    table = Table("search", "Search", "nDCG@10", "nDCG", True, ["own nDCG@10"], rows, [pair])
    assert _sentence(table, "bm25", "own nDCG@10", [pair]).endswith("; TF-IDF is 0.500 below: too few to tell.")
