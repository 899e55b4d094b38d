"""An encoder without a model: each word has a fixed random direction, a text is their sum."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from groundup.corpus.document import Document, make_document


@lru_cache(4096)
def direction(word: str, dim: int) -> npt.NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()[:8])
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


class WordEncoder:
    def __init__(self, name: str = "words", dim: int = 32) -> None:
        self.name, self.dim = name, dim
        self.digest = hashlib.sha256(name.encode()).hexdigest()
        self.texts = 0

    def encode(self, texts: Sequence[str], *, kind: str = "document", batch_size: int = 32) -> npt.NDArray[np.float32]:
        self.texts += len(texts)
        rows = np.zeros((len(texts), self.dim), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row += direction(word, self.dim)
            row /= max(float(np.linalg.norm(row)), 1e-9)
        return rows


def note(source: str, text: str, kind: str = "prose", title: str = "") -> Document:
    return make_document(source, text, group="g", title=title, kind=kind, language="python" if kind == "code" else "en")


NOTES = [
    note(
        "garden/roses.md", "# Roses\n\nPrune roses in early spring. Feed them in June.\n\n# Pests\n\nAphids hate soap."
    ),
    note("garden/soil.md", "# Soil\n\nClay holds water. Sand drains fast and needs compost."),
    note(
        "kitchen/bread.md", "# Bread\n\nKnead the dough ten minutes. Let it rise one hour.\n\n# Crust\n\nSteam helps."
    ),
    note("tools/count.py", 'def count_words(text):\n    """Counts."""\n    return len(text.split())\n', "code"),
]
