from __future__ import annotations

from pathlib import Path

import pytest

from groundup.corpus.document import make_document
from groundup.evaluation.answers import REFUSED, RIGHT, _Outcome, evaluate_answers, fit_threshold
from groundup.evaluation.collection import Collection
from groundup.evaluation.search_verdict import index_collection
from groundup.retrieval.answer import AnswerPolicy
from tests.evaluation.test_search_verdict import collection


def outcomes(*pairs: tuple[float, bool]) -> list[_Outcome]:
    return [_Outcome(confidence, right) for confidence, right in pairs]


def test_threshold_parts_right_answers_from_unanswerable_questions() -> None:
    threshold = fit_threshold(
        outcomes((0.9, True), (0.8, True), (0.7, False), (0.2, False)), outcomes((0.5, False), (0.1, False))
    )
    assert 0.5 < threshold < 0.8


def test_threshold_maximises_both_shares_by_trying_all() -> None:
    answered = outcomes(*[((i * 37 % 100) / 100, i % 3 > 0) for i in range(60)])
    without = outcomes(*[((i * 53 % 80) / 100, False) for i in range(40)])

    def gain(threshold: float) -> float:
        right = sum(o.right and o.confidence >= threshold for o in answered) / len(answered)
        return right + sum(o.confidence < threshold for o in without) / len(without)

    assert gain(fit_threshold(answered, without)) == pytest.approx(max(gain(i / 1000) for i in range(1002)))


def test_answers_are_right_and_unanswerable_questions_refused(tmp_path: Path) -> None:
    made = collection(300)
    verdict = evaluate_answers(made, index_collection(made, tmp_path), seed=0, answerable=100, unanswerable=50)
    values = verdict.table.rows[0].values
    assert (values[RIGHT].n, values[REFUSED].n) == (100, 50)
    assert values[RIGHT].value > 0.9
    assert values[REFUSED].value > 0.9
    assert 0 < verdict.policy.threshold < 1
    assert f"threshold {verdict.policy.threshold:.2f}, fitted on 75 other questions" in verdict.table.sentence
    assert "another document may answer it" in verdict.table.warnings[-1]


def test_a_handful_of_questions_decides_no_threshold(tmp_path: Path) -> None:
    made = collection(40)
    verdict = evaluate_answers(made, index_collection(made, tmp_path), seed=0, answerable=20, unanswerable=10)
    assert verdict.policy.threshold == AnswerPolicy.default_threshold(dense=False)
    assert "the default: too few questions to fit one" in verdict.table.sentence


def test_a_cluster_is_left_out_whole(tmp_path: Path) -> None:
    texts = ["zebra stripes " + "filler " * 40, "zebra stripes and hooves " + "filler " * 40, "nothing " * 40]
    documents = [make_document(f"d{i}", text, group="g", title="", kind="prose") for i, text in enumerate(texts)]
    queries = {f"q{i}": "zebra stripes" for i in range(6)}
    made = Collection(
        "c",
        documents,
        queries,
        {query: {documents[0].id: 1} for query in queries},
        clusters={documents[0].id: "a", documents[1].id: "a", documents[2].id: "b"},
        whole=True,
    )
    verdict = evaluate_answers(made, index_collection(made, tmp_path), seed=0, answerable=2, unanswerable=4)
    assert verdict.table.rows[0].values[REFUSED].value == 1.0
    assert verdict.table.warnings[0].startswith("Too few to tell")


def test_no_questions_make_a_table_that_says_so(tmp_path: Path) -> None:
    made = collection(0)
    verdict = evaluate_answers(made, index_collection(made, tmp_path), seed=0)
    assert verdict.table.rows[0].values == {}
    assert verdict.table.sentence == "No questions could be made from this corpus."
