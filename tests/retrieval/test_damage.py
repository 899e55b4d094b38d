"""Damaged files of the index: named, rebuilt, never taken as good."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from groundup.errors import StoreError
from groundup.retrieval.index import IndexStore
from tests.retrieval.stand_in import NOTES, WordEncoder, note


def cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-3])


def rewrite(folder: Path, **values: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | values))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "counts.npy has": cut("counts.npy"),
    "texts.data.npy is missing": lambda folder: (folder / "texts.data.npy").unlink(),
    "keys.npy has": lambda folder: (folder / "keys.npy").write_bytes((folder / "keys.npy").read_bytes() + b"x"),
    "no readable manifest.json": cut("manifest.json"),
    "no readable manifest": lambda folder: (folder / "manifest.json").unlink(),
    "no readable": shutil.rmtree,
    "no readable manifest.js": lambda folder: (folder / "manifest.json").write_text('{"schema": 1}'),
    "lists no files": lambda folder: rewrite(folder, files={}),
    "another version of this program": lambda folder: rewrite(folder, settings="0" * 16),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("said", DAMAGE)
def test_a_damaged_version_is_named_and_rebuilt(tmp_path: Path, said: str) -> None:
    store = IndexStore(tmp_path)
    assert store.fault() == "it holds no index"
    store.refresh(NOTES).close()
    assert store.current is not None
    folder = tmp_path / "versions" / store.current
    whole = contents(folder)
    assert store.fault() == ""
    DAMAGE[said](folder)
    assert said in store.fault()
    with pytest.raises(StoreError, match="groundup run"):
        store.open()
    assert store.refresh(NOTES).search("prune roses")[0].chunk.source == "garden/roses.md"
    assert store.fault() == ""
    assert contents(folder) == whole
    assert [path.name for path in (tmp_path / "versions").iterdir()] == [folder.name]


@pytest.mark.parametrize("said", DAMAGE)
def test_nothing_is_taken_over_from_a_damaged_version(tmp_path: Path, said: str) -> None:
    more = [*NOTES, note("new.md", "a heron waits")]
    wanted = IndexStore(tmp_path / "whole").refresh(more)
    store = IndexStore(tmp_path / "damaged")
    DAMAGE[said](tmp_path / "damaged/versions" / store.refresh(NOTES).digest)
    made = store.refresh(more)
    assert contents(tmp_path / "whole/versions" / wanted.digest) == contents(
        tmp_path / "damaged/versions" / made.digest
    )


@pytest.mark.parametrize("text", ["", "{", '{"versions": 3}', "[]"])
def test_an_unreadable_list_of_versions_is_replaced(tmp_path: Path, text: str) -> None:
    store = IndexStore(tmp_path)
    digest = store.refresh(NOTES).digest
    (tmp_path / "current.json").write_text(text)
    assert "not readable" in store.fault()
    assert store.refresh(NOTES).digest == digest
    assert store.fault() == ""


def test_a_reader_of_a_version_that_gets_damaged_and_rebuilt_reads_on(tmp_path: Path) -> None:
    store = IndexStore(tmp_path)
    reader = store.refresh(NOTES)
    (tmp_path / "versions" / reader.digest / "counts.npy").unlink()
    store.refresh(NOTES)
    assert reader.search("prune roses")[0].chunk.source == "garden/roses.md"


def test_manifest_sizes_are_those_of_all_columns(tmp_path: Path) -> None:
    folder = tmp_path / "versions" / IndexStore(tmp_path).refresh(NOTES).digest
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.name != "manifest.json"}
    assert json.loads((folder / "manifest.json").read_text())["files"] == sizes


@pytest.mark.parametrize(("name", "left"), [("vectors", 2 * 128 + 7), ("vectors", 0), ("keys", 3 * 16 + 5)])
def test_cut_embeddings_count_as_far_as_both_files_hold_them_whole(tmp_path: Path, name: str, left: int) -> None:
    encoder, store = WordEncoder(), IndexStore(tmp_path)
    store.refresh(NOTES).embed_missing(encoder)
    file = tmp_path / "embeddings" / encoder.digest[:32] / name
    file.write_bytes(file.read_bytes()[:left])
    index = store.open()
    rows = left // (128 if name == "vectors" else 16)
    assert index.coverage(encoder).covered == rows
    index.search("prune roses", system="hybrid", encoder=encoder)
    assert index.embed_missing(encoder) == index.chunks - rows
    assert index.coverage(encoder).whole
    texts = [index.chunk(row).indexed_text for row in range(index.chunks)]
    query = encoder.encode(["prune roses"])[0]
    np.testing.assert_allclose(index.dense(encoder).scores(query), encoder.encode(texts) @ query, atol=1e-5)


@pytest.mark.parametrize("gone", ["", "vectors", "keys", "store.json"])
def test_deleted_embeddings_mean_no_coverage_and_reading_writes_nothing(tmp_path: Path, gone: str) -> None:
    encoder, store = WordEncoder(), IndexStore(tmp_path)
    index = store.refresh(NOTES)
    index.embed_missing(encoder)
    assert index.coverage(encoder).whole
    folder = tmp_path / "embeddings" / encoder.digest[:32]
    if gone:
        (folder / gone).unlink()
    else:
        shutil.rmtree(folder)
    assert index.coverage(encoder).covered == 0
    assert index.resolve("best", encoder) == "bm25"
    assert folder.exists() == bool(gone)
    assert index.embed_missing(encoder) == index.chunks
    assert index.coverage(encoder).whole
    assert index.search("knead the dough", system="dense", encoder=encoder)[0].chunk.title == "Bread"
