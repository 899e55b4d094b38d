"""An index version as columns: plain arrays, one file each, mapped on opening."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.errors import StoreError
from groundup.retrieval.analyzer import Ids
from groundup.retrieval.dense import Keys
from groundup.retrieval.sparse import Postings
from groundup.retrieval.strings import Strings

KINDS = ("function", "class", "module", "section", "table", "lines")


@dataclass(frozen=True)
class Columns:
    """D documents in order of (source, id), N chunks in document order, V terms in order of code points.

    `places`: (N, 4) int64: start and end in characters, start and end in bytes of the document's text.
    `terms_indptr`, `terms`, `counts`: terms of each chunk, the forward side of the postings, from which the next
    version takes what has not changed.
    """

    document_ids: Strings
    fingerprints: Strings
    sources: Strings
    texts: Strings
    chunk_indptr: npt.NDArray[np.int64]  # (D+1,) chunks of each document
    places: npt.NDArray[np.int64]
    lines: Ids
    kinds: npt.NDArray[np.uint8]  # into KINDS
    titles: Strings
    contexts: Strings
    keys: Keys  # (N,) S16
    vocabulary: Strings
    terms_indptr: npt.NDArray[np.int64]
    terms: Ids
    counts: npt.NDArray[np.uint16]
    lengths: Ids
    postings_indptr: npt.NDArray[np.int64]
    postings_rows: Ids
    postings_counts: npt.NDArray[np.uint16]

    @property
    def postings(self) -> Postings:
        return Postings(self.postings_indptr, self.postings_rows, self.postings_counts, self.lengths)

    @property
    def documents(self) -> int:
        return len(self.document_ids)

    @property
    def chunks(self) -> int:
        return len(self.lines)

    def save(self, folder: Path) -> None:
        for name, array in self._arrays():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path) -> Columns:
        """Maps the arrays. Raises StoreError where a file is missing or cut short."""
        values: dict[str, Strings | npt.NDArray[np.generic]] = {}
        for field in dataclasses.fields(cls):
            if field.type == "Strings":
                values[field.name] = Strings(_map(folder, f"{field.name}.data"), _map(folder, f"{field.name}.offsets"))
            else:
                values[field.name] = _map(folder, field.name)
        return cls(**values)  # type: ignore[arg-type]

    def _arrays(self) -> list[tuple[str, npt.NDArray[np.generic]]]:
        arrays: list[tuple[str, npt.NDArray[np.generic]]] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Strings):
                arrays += [(f"{field.name}.data", value.data), (f"{field.name}.offsets", value.offsets)]
            else:
                arrays.append((field.name, value))
        return arrays


def _map(folder: Path, name: str) -> npt.NDArray[Any]:
    path = folder / f"{name}.npy"
    array: npt.NDArray[Any]
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise _broken(path) from None
    except ValueError:  # an array of no elements can't be mapped; anything else fails again
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise _broken(path) from None
    return array.view(np.ndarray)


def _broken(path: Path) -> StoreError:
    return StoreError("it is missing or cut short", place=str(path), mend="Run `groundup run`, which builds it anew.")
