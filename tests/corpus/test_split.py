"""split: disjoint, by cluster and by group, of the share asked for, and an error where nothing can be held out."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.document import Document, make_document
from groundup.corpus.split import Split, split
from groundup.errors import CorpusError


def document(group: str, name: int, size: int = 100) -> Document:
    return make_document(f"{group}/{name}.txt", f"{name} ".ljust(size, "x"), group=group, title="", kind="prose")


def corpus(seed: int, documents: int = 600, groups: int = 30) -> tuple[list[Document], dict[str, str]]:
    draw = random.Random(seed)
    made = [document(f"g{draw.randrange(groups)}", i, draw.randrange(50, 3000)) for i in range(documents)]
    clusters = {d.id: d.id for d in made}
    for _ in range(documents // 10):
        first, second = draw.sample(made, 2)
        # Most near-duplicates stand in one group, as they do on a disk.
        if first.group == second.group or draw.random() < 0.1:
            clusters[second.id] = clusters[first.id]
    return made, clusters


def check(result: Split, documents: list[Document], clusters: dict[str, str]) -> None:
    columns = [result.train, result.held_out, result.package, result.left_out]
    assert sorted(id_ for column in columns for id_ in column) == sorted(d.id for d in documents)
    assert all(column == sorted(column) for column in columns)
    assert result.train
    assert result.held_out
    side: dict[str, set[int]] = {}
    for number, column in enumerate(columns[:3]):
        for id_ in column:
            side.setdefault(clusters.get(id_, id_), set()).add(number)
    assert all(len(sides) == 1 for sides in side.values()), "a cluster crosses"
    held = set(result.held_out_groups)
    assert {d.id for d in documents if d.group in held} == set(result.package)
    crossing = {clusters.get(id_, id_) for id_ in result.package}
    assert all(clusters.get(id_, id_) in crossing for id_ in result.left_out)


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_about_those_asked_for(seed: int) -> None:
    documents, clusters = corpus(seed)
    result = split(documents, clusters, held_out_share=0.05, package_share=0.05, seed=seed)
    check(result, documents, clusters)
    sizes = {d.id: len(d.text) for d in documents}
    total = sum(sizes.values())
    assert 0.05 <= sum(sizes[i] for i in result.held_out) / total < 0.08
    assert 0.02 <= sum(sizes[i] for i in result.package) / total < 0.08
    assert len(result.held_out) >= 20


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 400), st.integers(0, 15)), min_size=2, max_size=60),
    st.floats(0.01, 0.5),
    st.floats(0, 0.5),
    st.integers(0, 3),
)
def test_no_document_is_lost_and_no_cluster_crosses(
    rows: list[tuple[int, int, int]], share: float, package: float, seed: int
) -> None:
    documents = [document(f"g{group}", i, size) for i, (group, size, _) in enumerate(rows)]
    clusters = {d.id: f"c{cluster}" for d, (_, _, cluster) in zip(documents, rows, strict=True)}
    try:
        result = split(documents, clusters, held_out_share=share, package_share=package, seed=seed)
    except CorpusError:
        assert len(set(clusters.values())) == 1
        return
    check(result, documents, clusters)


def test_the_order_of_the_documents_decides_nothing_and_the_seed_does() -> None:
    documents, clusters = corpus(0)
    first = split(documents, clusters, held_out_share=0.05, package_share=0.05, seed=0)
    assert first == split(documents[::-1], clusters, held_out_share=0.05, package_share=0.05, seed=0)
    assert first.held_out != split(documents, clusters, held_out_share=0.05, package_share=0.05, seed=1).held_out


def test_a_few_documents_more_move_few() -> None:
    documents, clusters = corpus(0)
    before = split(documents[:-6], clusters, held_out_share=0.05, seed=0)
    after = split(documents, clusters, held_out_share=0.05, seed=0)
    assert len(set(before.held_out) & set(after.held_out)) >= 0.8 * len(before.held_out)


def test_three_documents_are_split_two_to_one() -> None:
    documents = [document("notes", i) for i in range(3)]
    result = split(documents, {}, held_out_share=0.02, package_share=0.02, seed=0)
    assert (len(result.train), len(result.held_out), result.package) == (2, 1, [])
    assert result.notes == ["No whole group is held out: the corpus has 1 and needs 3."]


def test_of_one_long_and_one_short_document_the_short_is_held_out() -> None:
    long, short = document("notes", 1, 10_000), document("notes", 2, 50)
    result = split([long, short], {}, held_out_share=0.02, seed=0)
    assert (result.train, result.held_out) == ([long.id], [short.id])


def test_maximum_of_documents_is_kept() -> None:
    documents, clusters = corpus(1)
    assert len(split(documents, clusters, held_out_share=0.4, seed=0, max_documents=25).held_out) <= 25


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_documents_are_an_error_with_a_mend(count: int) -> None:
    with pytest.raises(CorpusError, match=r"document is left after cleaning.*Add documents"):
        split([document("notes", i) for i in range(count)], {}, held_out_share=0.02, seed=0)


def test_near_duplicates_alone_are_an_error_that_says_so() -> None:
    documents = [document("notes", i) for i in range(3)]
    with pytest.raises(CorpusError, match="all 3 documents are near-duplicates of each other"):
        split(documents, dict.fromkeys((d.id for d in documents), "c"), held_out_share=0.02, seed=0)


def test_a_group_copied_elsewhere_is_not_held_out_whole() -> None:
    documents = [document(f"g{i % 10}", i, 200) for i in range(200)]
    clusters = {d.id: d.id for d in documents}
    for i in range(0, 200, 10):  # each text of g0 has a near-copy in g1
        clusters[documents[i].id] = clusters[documents[i + 1].id]
    for seed in range(10):
        result = split(documents, clusters, held_out_share=0.02, package_share=0.1, seed=seed)
        assert not {"g0", "g1"} & set(result.held_out_groups)
        assert result.held_out_groups
