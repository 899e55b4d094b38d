"""Dense vectors: an append-only store that outlives index versions, and exact search over it.

Store: `keys` (16 bytes a row, `chunk.content_key`) and `vectors` (one row each). Vectors are written and synced before
their keys, and a row counts once both files hold it whole; so a process killed at any point loses at most the batch it
was at, a file cut short loses what was cut, and half rows are cut off by the next writer. Reading writes nothing.
Search is exact, by matrix products over blocks of rows: 100,000 × 384 numbers are read in about 20 ms, and no
approximate index has to be built, tuned or trusted.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from groundup.errors import StoreError
from groundup.retrieval.sparse import Floats, Ranking, top_k

KEY_BYTES = 16
_BLOCK_ROWS = 16_384  # 25 MB of float32 at 384 dimensions: fits beside a query in the last-level cache or nearly

Keys = npt.NDArray[np.bytes_]


class Encoder(Protocol):
    """What makes vectors: `groundup.interop.encoders.SentenceEncoder`, or anything with this face."""

    name: str
    dim: int
    digest: str

    def encode(
        self, texts: Sequence[str], *, kind: Literal["query", "document"] = "document", batch_size: int = 32
    ) -> npt.NDArray[np.float32]: ...


class EmbeddingStore:
    """One encoder's vectors in `folder`. `dtype` "float16" halves the disk; products are made in float32 either way."""

    def __init__(self, folder: Path, dim: int, dtype: Literal["float32", "float16"] = "float32") -> None:
        self.folder, self.dim = folder, dim
        described = folder / "store.json"
        if described.exists():
            try:
                found = json.loads(described.read_text())
                dtype, stored = found["dtype"], int(found["dim"])
            except (ValueError, KeyError, TypeError):
                raise StoreError(
                    "its description is not readable", place=str(described), mend="Remove the folder; it is refilled."
                ) from None
            if stored != dim or dtype not in ("float32", "float16"):
                raise StoreError(
                    f"it holds vectors of {stored} dimensions, the encoder makes {dim}",
                    place=str(folder),
                    mend="Remove the folder; it is refilled.",
                )
        self.dtype = np.dtype(dtype)
        self._row_bytes = dim * self.dtype.itemsize

    @property
    def rows(self) -> int:
        """Rows that both files hold whole by now; none without a description, since it says how wide they are."""
        try:
            (self.folder / "store.json").stat()
            keys, vectors = (self.folder / name for name in ("keys", "vectors"))
            return min(keys.stat().st_size // KEY_BYTES, vectors.stat().st_size // self._row_bytes)
        except OSError:
            return 0

    def keys(self) -> Keys:
        """(rows,) S16: what is embedded, in the order it was."""
        rows = self.rows
        return np.fromfile(self.folder / "keys", f"S{KEY_BYTES}", rows) if rows else np.empty(0, f"S{KEY_BYTES}")

    def vectors(self, rows: int) -> npt.NDArray[np.floating]:
        """(rows, dim) memory-mapped."""
        if not rows:
            return np.empty((0, self.dim), self.dtype)
        return np.memmap(self.folder / "vectors", self.dtype, "r", shape=(rows, self.dim))

    def append(self, keys: Sequence[bytes], vectors: npt.NDArray[np.float32]) -> None:
        """Adds rows; several processes may. `keys` that are there already are added again and harm nothing."""
        if len(keys) != len(vectors) or vectors.shape[1:] != (self.dim,):
            raise ValueError(f"{len(keys)} keys, vectors of shape {vectors.shape}, {self.dim} dimensions expected")
        with self._locked(), open(self.folder / "vectors", "ab") as data, open(self.folder / "keys", "ab") as names:
            whole = self.rows
            self._describe()
            names.truncate(whole * KEY_BYTES)
            data.truncate(whole * self._row_bytes)
            data.write(np.ascontiguousarray(vectors, self.dtype).tobytes())
            data.flush()
            os.fsync(data.fileno())
            names.write(b"".join(keys))
            names.flush()
            os.fsync(names.fileno())

    def _describe(self) -> None:
        described = self.folder / "store.json"
        if not described.exists():
            pending = self.folder / f"store.json.{os.getpid()}"
            pending.write_text(json.dumps({"dim": self.dim, "dtype": self.dtype.name}))
            pending.replace(described)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class DenseIndex:
    """Which of an index' chunks are embedded, and search over those. A view: chunks embedded later need a new one."""

    def __init__(self, store: EmbeddingStore, chunk_keys: Keys) -> None:
        """`chunk_keys`: (N,) S16, the content key of each chunk."""
        keys = store.keys()
        self._vectors = store.vectors(len(keys))
        order = np.argsort(keys, kind="stable")
        places = np.searchsorted(keys[order], chunk_keys) if len(keys) else np.zeros(len(chunk_keys), np.int64)
        places = np.minimum(places, max(len(keys) - 1, 0))
        self.vector_row = np.full(len(chunk_keys), -1, np.int64)
        if len(keys):
            rows = order[places]
            self.vector_row = np.where(keys[rows] == chunk_keys, rows, -1)

    @property
    def covered(self) -> int:
        return int(np.count_nonzero(self.vector_row >= 0))

    @property
    def total(self) -> int:
        return len(self.vector_row)

    def scores(self, query: npt.NDArray[np.float32]) -> Floats:
        """(N,) inner products with `query` (dim,), −inf where a chunk has no vector."""
        products = np.empty(len(self._vectors), np.float32)
        for start in range(0, len(products), _BLOCK_ROWS):
            block = np.asarray(self._vectors[start : start + _BLOCK_ROWS], np.float32)
            products[start : start + _BLOCK_ROWS] = block @ query
        scores = np.full(self.total, -np.inf, np.float32)
        covered = self.vector_row >= 0
        scores[covered] = products[self.vector_row[covered]]
        return scores

    def search(self, query: npt.NDArray[np.float32], k: int) -> Ranking:
        """The k nearest. Cosines may be negative; ranks are what counts, and the scores come back as they are."""
        return Ranking(*top_k(self.scores(query), k, -np.inf))

    def similarity(self, row: int, query: npt.NDArray[np.float32]) -> float | None:
        """Cosine of one chunk, or None where it has no vector."""
        at = int(self.vector_row[row])
        return None if at < 0 else float(np.asarray(self._vectors[at], np.float32) @ query)


def embedding_order(document_rows: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Chunks in the order they get embedded: the first chunk of every document, then every second one, and so on.

    So a budget that covers a tenth of the chunks covers every document rather than a tenth of them. `document_rows`:
    (N,) ascending, the document of each chunk.
    """
    if not len(document_rows):
        return np.empty(0, np.int64)
    starts = np.searchsorted(document_rows, document_rows)  # first chunk of the same document
    within = np.arange(len(document_rows)) - starts
    return np.lexsort((document_rows, within)).astype(np.int64)
