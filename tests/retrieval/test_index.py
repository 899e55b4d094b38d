from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from groundup.corpus.document import Document
from groundup.errors import ReleaseError, StoreBusyError, StoreError
from groundup.retrieval.chunk import chunk_document
from groundup.retrieval.index import IndexSettings, IndexStore
from tests.retrieval.stand_in import NOTES, WordEncoder, note


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def many(count: int, seed: int) -> list[Document]:
    words = ["alpha", "beta", "gamma", "delta", "café", "漢字", "parseFile", "read_all", "one", "two", "three"]
    draw = random.Random(seed)
    texts = ["\n\n".join(" ".join(draw.choices(words, k=40)) for _ in range(draw.randint(0, 40))) for _ in range(count)]
    return [note(f"d/{i:03d}.txt", text or "x", title=f"t{i}") for i, text in enumerate(texts)]


def test_search_finds_and_cites_exactly(tmp_path: Path) -> None:
    index = IndexStore(tmp_path).refresh(NOTES)
    hit = index.search("when do I prune a rose?")[0]
    assert (hit.rank, hit.chunk.source, hit.chunk.title) == (1, "garden/roses.md", "Roses")
    assert hit.found_by == {"bm25": 1}
    by_id = {document.id: document for document in NOTES}
    for row in range(index.chunks):
        chunk = index.chunk(row)
        assert by_id[chunk.document_id].text[chunk.start : chunk.end] == chunk.text
        assert chunk in chunk_document(by_id[chunk.document_id])
        assert index.row_of(chunk) == row
    assert index.search("wordsCount", system="tfidf")[0].chunk.title == "tools.count.count_words"
    assert index.search("zebra") == []


@pytest.mark.parametrize("history", ["same", "changed", "from nothing", "reordered", "two processes"])
def test_files_depend_on_the_documents_alone(tmp_path: Path, history: str) -> None:
    documents = many(12, 0) + NOTES
    wanted = IndexStore(tmp_path / "a").refresh(documents)
    store = IndexStore(tmp_path / "b")
    if history == "changed":
        store.refresh([*many(12, 1)[:5], *documents[3:9], note("gone.md", "zebra stripes are unheard of elsewhere")])
    elif history == "same":
        store.refresh(documents)
    elif history == "from nothing":
        store.refresh([])
    elif history == "reordered":
        documents = documents[::-1] + documents[:3]
    made = store.refresh(documents, workers=2 if history == "two processes" else 1)
    assert made.digest == wanted.digest
    assert files(tmp_path / "a/versions" / wanted.digest) == files(tmp_path / "b/versions" / made.digest)


def test_unchanged_documents_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = IndexStore(tmp_path)
    store.refresh(NOTES)
    read: list[str] = []
    from groundup.retrieval import build

    original = build.read_batch

    def watched(documents: list[Document], settings: IndexSettings) -> build.Batch:
        read.extend(document.source for document in documents)
        return original(documents, settings)

    monkeypatch.setattr(build, "read_batch", watched)
    store.refresh([*NOTES[:3], note("tools/count.py", "def other(): return 1\n", "code")])
    assert read == ["tools/count.py"]
    store.refresh(NOTES, IndexSettings(chunk_limit=50))
    assert len(read) == 5


def test_a_reader_keeps_its_version_while_others_come_and_go(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    first = store.refresh(NOTES)
    for i in range(4):
        store.refresh([*NOTES, note("new.md", f"number {i}")]).close()
        assert first.search("prune roses")[0].chunk.source == "garden/roses.md"
    kept = {path.name for path in (tmp_path / "versions").iterdir()}
    assert first.digest in kept
    assert len(kept) == 3
    digest = first.digest
    first.close()
    store.refresh(NOTES[:2]).close()
    kept = {path.name for path in (tmp_path / "versions").iterdir()}
    assert digest not in kept
    assert len(kept) == 2


def test_a_second_writer_is_told_to_wait(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    store.refresh(NOTES)
    with open(tmp_path / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(StoreBusyError, match="another process"):
            store.refresh(NOTES[:1])
    assert store.open().documents == 4


def test_no_index_and_damaged_ones_are_named(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    with pytest.raises(StoreError, match="holds no index"):
        store.open()
    folder = tmp_path / "versions" / store.refresh(NOTES).digest
    (folder / "terms.npy").write_bytes((folder / "terms.npy").read_bytes()[:-8])
    with pytest.raises(StoreError, match=r"terms\.npy has \d+ bytes instead of \d+\. Run `groundup run`"):
        store.open()
    assert IndexStore(tmp_path).refresh(NOTES[:2]).documents == 2  # a damaged version stops no new one
    (tmp_path / "current.json").write_text("{")
    with pytest.raises(StoreError, match="not readable"):
        store.open()


def test_systems_and_encoders_that_do_not_exist_are_named(tmp_path: Path) -> None:
    index = IndexStore(tmp_path).refresh(NOTES)
    with pytest.raises(ReleaseError, match="no search system 'bm26'"):
        index.search("x", system="bm26")
    with pytest.raises(ReleaseError, match="needs encoder minilm"):
        index.search("x", system="dense:minilm", encoder=WordEncoder())
    with pytest.raises(ReleaseError, match="needs an encoder"):
        index.search("x", system="hybrid")


def test_dense_equals_a_plain_matrix_product(tmp_path: Path) -> None:
    encoder = WordEncoder()
    index = IndexStore(tmp_path).refresh(many(30, 2))
    assert index.embed_missing(encoder) > 30
    assert str(index.coverage(encoder)) == f"dense covers {index.chunks} of {index.chunks}"
    texts = [index.chunk(row).indexed_text for row in range(index.chunks)]
    scores = encoder.encode(texts) @ encoder.encode(["alpha café parseFile"])[0]
    hits = index.search("alpha café parseFile", 7, "dense", encoder)
    expected = np.lexsort((np.arange(len(scores)), -scores))[:7]
    assert [index.row_of(hit.chunk) for hit in hits] == expected.tolist()
    assert [hit.score for hit in hits] == pytest.approx(scores[expected].tolist(), abs=1e-5)


def test_embedding_goes_over_all_documents_before_second_chunks(tmp_path: Path) -> None:
    encoder = WordEncoder()
    documents = many(20, 3)
    index = IndexStore(tmp_path).refresh(documents)
    assert index.embed_missing(encoder, limit=20) == 20
    view = index.dense(encoder)
    covered = {index.chunk(int(row)).document_id for row in np.flatnonzero(view.vector_row >= 0)}
    assert covered == {document.id for document in documents}
    assert index.embed_missing(encoder, deadline=time.monotonic() - 1) == 0
    index.embed_missing(encoder)
    assert index.coverage(encoder).whole


def test_embeddings_outlive_versions_and_equal_passages_are_embedded_once(tmp_path: Path) -> None:
    encoder = WordEncoder()
    store = IndexStore(tmp_path)
    store.refresh(NOTES).embed_missing(encoder)
    before = encoder.texts
    index = store.refresh([*NOTES, note("new.md", "# Roses\n\nPrune roses in early spring. Feed them in June.")])
    assert index.chunks == 7
    assert index.embed_missing(encoder) == 0
    assert encoder.texts == before
    assert index.coverage(encoder).whole


def test_hybrid_says_which_system_found_what_and_best_waits_for_coverage(tmp_path: Path) -> None:
    encoder = WordEncoder()
    store = IndexStore(tmp_path)
    store.refresh(NOTES)
    index = store.open(best="dense:words")
    assert index.resolve("best") == "bm25"
    assert index.resolve("best", encoder) == "bm25"
    index.embed_missing(encoder, limit=3)
    assert index.resolve("best", encoder) == "hybrid:words"
    index.embed_missing(encoder)
    assert index.resolve("best", encoder) == "dense:words"
    for system in ("hybrid", "rrf"):
        hit = index.search("knead the dough", 3, system, encoder)[0]
        assert hit.chunk.title == "Bread"
        assert hit.found_by == {"bm25": 1, "dense:words": 1}


def test_excluded_documents_are_not_found(tmp_path: Path) -> None:
    index = IndexStore(tmp_path).refresh(NOTES)
    assert "garden/roses.md" not in {h.chunk.source for h in index.search("prune roses water", exclude={NOTES[0].id})}


def test_explanation_adds_up(tmp_path: Path) -> None:
    encoder = WordEncoder()
    index = IndexStore(tmp_path).refresh(NOTES)
    index.embed_missing(encoder)
    told = index.explain("prune roses zebra", 1, "bm25", encoder)[0]
    assert told.scores["bm25"] == pytest.approx(told.hit.score, abs=1e-5)
    assert [match.term for match in told.matched] == ["prune", "rose"]
    assert told.unknown == ["zebra"]
    assert -1 <= told.scores["dense:words"] <= 1


def test_an_empty_corpus_has_an_index(tmp_path: Path) -> None:
    encoder = WordEncoder()
    index = IndexStore(tmp_path).refresh([note("blank.md", "  \n ")])
    assert (index.documents, index.chunks) == (1, 0)
    assert index.embed_missing(encoder) == 0
    assert index.search("anything") == []
    assert index.search("anything", system="hybrid", encoder=encoder) == []


def embed_slowly(root: str) -> None:
    encoder = WordEncoder()
    IndexStore(Path(root)).open().embed_missing(encoder)


def refresh_often(root: str) -> None:
    for seed in range(1000):
        IndexStore(Path(root)).refresh(many(20, seed % 7))


@pytest.mark.parametrize("work", [embed_slowly, refresh_often])
def test_sigkill_at_any_time_leaves_a_whole_store(tmp_path: Path, work: object) -> None:
    store, encoder = IndexStore(tmp_path), WordEncoder()
    documents = many(60, 9)
    store.refresh(documents).close()
    draw = random.Random(1)
    for _ in range(3):
        process = multiprocessing.get_context("fork").Process(target=work, args=(str(tmp_path),))  # type: ignore[arg-type]
        process.start()
        time.sleep(draw.uniform(0.05, 0.4))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert store.open().documents in (60, 20)
        folder = tmp_path / "embeddings" / encoder.digest[:32]
        if folder.exists():  # as if killed between and within writes
            with open(folder / "vectors", "ab") as file:
                file.write(b"x" * draw.randint(1, 200))
            with open(folder / "keys", "ab") as file:
                file.write(b"y" * draw.randint(0, 15))
    index = store.refresh(documents)
    index.embed_missing(encoder)
    assert index.coverage(encoder).whole
    view = index.dense(encoder)
    texts = [index.chunk(row).indexed_text for row in range(index.chunks)]
    query = encoder.encode(["alpha beta"])[0]
    np.testing.assert_allclose(view.scores(query), encoder.encode(texts) @ query, atol=1e-5)
    assert files(tmp_path / "versions" / index.digest) == files(
        tmp_path / "versions" / IndexStore(tmp_path).refresh(documents).digest
    )
    assert not [path for path in (tmp_path / "versions").iterdir() if path.name.startswith(".")]


def test_vectors_of_another_width_are_refused_by_name(tmp_path: Path) -> None:
    encoder = WordEncoder()
    index = IndexStore(tmp_path).refresh(NOTES)
    index.embed_missing(encoder)
    encoder.dim = 16
    with pytest.raises(StoreError, match="vectors of 32 dimensions, the encoder makes 16"):
        index.coverage(encoder)
    described = tmp_path / "embeddings" / encoder.digest[:32] / "store.json"
    described.write_text(json.dumps({"dim": "?"}))
    with pytest.raises(StoreError, match="not readable"):
        index.coverage(encoder)
    shutil.rmtree(described.parent)
    assert index.embed_missing(encoder) == index.chunks
