"""While only a few chunks have vectors, the hybrid must not prefer them for that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundup.corpus.document import make_document
from groundup.retrieval.index import IndexStore


class Constant:
    """Finds everything it has a vector for equally close to everything."""

    name, dim, digest = "constant", 4, "c" * 64

    def encode(
        self, texts: Sequence[str], *, kind: Literal["query", "document"] = "document", batch_size: int = 32
    ) -> npt.NDArray[np.float32]:
        return np.full((len(texts), self.dim), 0.5, np.float32)


def test_a_few_vectors_do_not_push_out_what_bm25_found(tmp_path: Path) -> None:
    documents = [
        make_document(
            f"n/{i:03}.md", f"Note {i} says something about topic{i} and no more.\n", group="n", title="n", kind="prose"
        )
        for i in range(200)
    ]
    index = IndexStore(tmp_path).refresh(documents)
    encoder = Constant()
    index.embed_missing(encoder, 4)
    covered = index.coverage(encoder)
    assert 0 < covered.covered < covered.total
    found = index.search("topic150", 3, "hybrid", encoder)
    assert found[0].chunk.source == "n/150.md"
