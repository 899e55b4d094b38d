"""dedup against datasketch, against brute force over Python sets, and under every order of the documents."""

from __future__ import annotations

import random
import re
from itertools import combinations

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.dedup import BUCKET_NEIGHBOURS, deduplicate, signature
from groundup.corpus.document import Document, make_document
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.shingles import PIECE_BYTES, jaccard, ngram_hashes, shingles, word_hashes

POLICY = CorpusPolicy()


def document(source: str, text: str) -> Document:
    return make_document(source, text, group=source.split("/")[0], title=source, kind="prose", language="en")


def words_of(text: str) -> list[str]:
    """The definition of a word, in Python, one character at a time."""
    words, word = [], ""
    for character in text.lower():
        size, lead = len(character.encode("utf-8")), character.encode("utf-8")[0]
        alone = size > 2 or lead == 0xC2
        inside = alone or size == 2 or character.isalnum() or character == "_"
        if word and (alone or not inside):
            words.append(word)
            word = ""
        word += character if inside else ""
    return [*words, word] if word else words


def grams_of(text: str, n: int = 5) -> set[tuple[str, ...]]:
    words = words_of(text)
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def true_jaccard(first: str, second: str) -> float:
    a, b = grams_of(first), grams_of(second)
    return len(a & b) / len(a | b)


def family(seed: int, roots: int = 12, copies: int = 6, length: int = 160) -> list[Document]:
    """Texts with near-copies: each copy replaces, drops and repeats words at its own rate."""
    draw = random.Random(seed)
    vocabulary = [f"{a}{b}" for a in ("ka", "lo", "mi", "nu", "re", "so", "ti", "va") for b in "abcdefghijklmnop"]
    documents = []
    for root in range(roots):
        original = [draw.choice(vocabulary) for _ in range(draw.randrange(40, length))]
        for copy in range(copies):
            rate = draw.choice([0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3])
            changed = [draw.choice(vocabulary) if draw.random() < rate else word for word in original]
            documents.append(document(f"g{root % 4}/{'x/' * (copy % 2)}t{root}-{copy}.txt", " ".join(changed)))
    draw.shuffle(documents)
    return documents


@given(st.text(max_size=200), st.integers(1, 6))
def test_words_and_ngrams_are_those_of_the_definition(text: str, n: int) -> None:
    words = words_of(text)
    hashes, lengths = word_hashes(text)
    assert lengths.tolist() == [len(word.encode("utf-8")) for word in words]
    assert len(set(zip(words, hashes.tolist(), strict=True))) == len(set(words)) == len(set(hashes.tolist()))
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    found = ngram_hashes(hashes, n).tolist()
    assert len(set(zip(grams, found, strict=True))) == len(set(grams)) == len(set(found))


def test_a_text_longer_than_a_piece_hashes_as_if_it_were_one() -> None:
    text = "".join(f"word{i % 5003} 日本 é{i % 7};\n" for i in range(120_000))
    assert len(text.encode("utf-8")) > 2 * PIECE_BYTES
    hashes, _ = word_hashes(text)
    by_word: dict[str, int] = {}
    for word, value in zip(words_of(text), hashes.tolist(), strict=True):
        assert by_word.setdefault(word, value) == value


@given(
    st.lists(st.sampled_from(list("abcdefg")), max_size=40),
    st.lists(st.sampled_from(list("abcd")), max_size=40),
)
def test_jaccard_is_that_of_python_sets(first: list[str], second: list[str]) -> None:
    a, b = " ".join(first) or "?", " ".join(second) or "?"
    assert jaccard(shingles(a, 5), shingles(b, 5)) == pytest.approx(
        true_jaccard(a, b) if words_of(a) or words_of(b) else 1.0
    )


@pytest.mark.parametrize("seed", range(4))
def test_removals_and_clusters_are_those_of_brute_force(seed: int) -> None:
    documents = family(seed)
    result = deduplicate(documents, POLICY)
    kept = {d.id: d for d in result.documents}
    by_id = {d.id: d for d in documents}
    near = [event for event in result.events if event.rule == "near_duplicate"]
    assert near

    for event in near:  # whoever went has a likeness among those kept, as the reason says
        likeness = max(true_jaccard(by_id[event.document_id].text, other.text) for other in kept.values())
        assert likeness >= POLICY.near_duplicate_jaccard
        assert float(re.findall(r"\d\.\d\d", event.reason)[0]) <= likeness + 0.005
    for first, second in combinations(kept.values(), 2):  # and no two kept are alike
        if min(len(words_of(first.text)), len(words_of(second.text))) >= POLICY.near_duplicate_min_words:
            assert true_jaccard(first.text, second.text) < POLICY.near_duplicate_jaccard

    joined = {d: {d} for d in kept}
    for first, second in combinations(kept.values(), 2):
        if (
            true_jaccard(first.text, second.text) >= POLICY.cluster_jaccard
            and joined[first.id] is not joined[second.id]
        ):
            joined[first.id] |= joined[second.id]
            for id_ in joined[second.id]:
                joined[id_] = joined[first.id]
    assert result.clusters == {id_: min(members) for id_, members in joined.items()}


def test_near_duplicates_match_datasketch() -> None:
    documents = family(7, roots=25)
    lsh, sketches = MinHashLSH(threshold=POLICY.cluster_jaccard, num_perm=256), {}
    for each in documents:
        sketch = MinHash(num_perm=256, seed=1)
        sketch.update_batch([" ".join(gram).encode() for gram in grams_of(each.text)])
        lsh.insert(each.id, sketch, check_duplication=False)
        sketches[each.id] = sketch
    theirs = {
        frozenset((id_, other))
        for id_, sketch in sketches.items()
        for other in lsh.query(sketch)
        if other != id_ and sketch.jaccard(sketches[other]) >= POLICY.cluster_jaccard + 0.1
    }
    everyone = CorpusPolicy(near_duplicate_jaccard=1.0)
    kept = deduplicate(documents, everyone)
    ours = kept.clusters
    ids = {d.id for d in kept.documents}
    pairs = [tuple(pair) for pair in theirs if pair <= ids]
    assert len(pairs) > 50
    assert all(ours[first] == ours[second] for first, second in pairs)


def test_minhash_estimates_true_jaccard() -> None:
    documents = family(3, roots=6)
    rows = {d.id: np.frombuffer(signature(d, POLICY)[20:], dtype="<u4") for d in documents}
    errors = [
        float((rows[a.id] == rows[b.id]).mean()) - true_jaccard(a.text, b.text) for a, b in combinations(documents, 2)
    ]
    assert abs(float(np.mean(errors))) < 0.01
    assert max(map(abs, errors)) < 0.15  # five standard errors at Jaccard .5


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_documents_decides_nothing(seed: int) -> None:
    documents = family(11)
    shuffled = list(documents)
    random.Random(seed).shuffle(shuffled)
    first, second = deduplicate(documents, POLICY), deduplicate(shuffled, POLICY)
    assert first.clusters == second.clusters
    assert sorted(first.events, key=repr) == sorted(second.events, key=repr)
    assert [d.id for d in second.documents] == [d.id for d in shuffled if d.id in first.clusters]


def test_signatures_handed_in_change_nothing() -> None:
    documents = family(5)
    made = {d.id: signature(d, POLICY) for d in documents}
    assert deduplicate(documents, POLICY, made) == deduplicate(documents, POLICY)
    half = dict(list(made.items())[::2])
    assert deduplicate(documents, POLICY, half) == deduplicate(documents, POLICY)


def test_exact_duplicates_differ_in_white_space_alone() -> None:
    long = "One text of some words.\n\n  It is indented here and there, and that is all."
    documents = [
        document("notes/old/a.txt", " ".join(long.split())),
        document("notes/a.txt", long),
        document("notes/b.txt", long + " Not quite."),
    ]
    result = deduplicate(documents, POLICY)
    assert [d.source for d in result.documents] == ["notes/a.txt", "notes/b.txt"]
    (event,) = result.events
    assert (event.action, event.stage, event.rule) == ("removed", "dedup", "exact_duplicate")
    assert event.reason == "exact_duplicate: of notes/a.txt"


def test_short_notes_that_look_alike_are_kept_and_clustered() -> None:
    notes = [document(f"n/{day}.md", f"Stand-up {day}: all fine, nothing to report, same as before.") for day in "abc"]
    result = deduplicate(notes, POLICY)
    assert len(result.documents) == 3


def test_a_crowd_of_copies_is_one_cluster() -> None:
    words = " ".join(f"w{i}" for i in range(300))
    crowd = [document(f"n/{i:04d}.txt", f"{words} ending number {i}") for i in range(4 * BUCKET_NEIGHBOURS)]
    assert len(deduplicate(crowd, POLICY).documents) == 1
    everyone = CorpusPolicy(near_duplicate_jaccard=1.0)
    result = deduplicate(crowd, everyone)
    assert len(result.documents) == len(crowd)
    assert len(set(result.clusters.values())) == 1


@pytest.mark.parametrize("texts", [[], ["one"], ["", "..."], ["...", "---"], ["日本", "日本語"], ["a", "b", "c"]])
def test_few_and_empty_documents(texts: list[str]) -> None:
    documents = [document(f"n/{i}.txt", text) for i, text in enumerate(texts)]
    result = deduplicate(documents, POLICY)
    assert [d.id for d in result.documents] == [d.id for d in documents]
    assert set(result.clusters) == {d.id for d in documents}


def test_the_same_document_twice_is_kept_once() -> None:
    twice = [document("n/a.txt", "a text of some words"), document("n/a.txt", "a text of some words")]
    result = deduplicate(twice, POLICY)
    assert len(result.documents) == 1
    assert len(result.events) == 1
