"""Documents as token ids in one memory-mapped file: separator, document, separator, document, …

A folder of shards is complete when its manifest is there; the manifest is written last and every file is replaced
whole, so a crash leaves the old shards or none, never half.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from groundup.corpus.grouping import HasText, by_text_size
from groundup.errors import StoreError
from groundup.tokens.tokenizer import Tokenizer

MANIFEST = "shards.json"
VERSION = 1
BATCH_CHARACTERS = 8_000_000  # texts encoded at once: some 100 MB of memory, enough for all cores


@dataclass(frozen=True)
class Shards:
    """tokens: (N,) uint16 or uint32. offsets: (D+1,) int64; document d is tokens[offsets[d]:offsets[d+1]], its
    separator first. text_bytes: (D,) int64, UTF-8 bytes of each text. digest: over all of these and the tokenizer."""

    tokens: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]
    text_bytes: npt.NDArray[np.int64]
    document_ids: list[str]
    tokenizer_digest: str
    separator_id: int
    vocab_size: int
    digest: str

    def __len__(self) -> int:
        return len(self.document_ids)

    def document(self, index: int) -> npt.NDArray[Any]:
        """Tokens of one document, its separator first."""
        return self.tokens[int(self.offsets[index]) : int(self.offsets[index + 1])]

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """Map the shards of a folder; nothing is read but the manifest and the tables. Raises StoreError."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            dtype, count, documents = np.dtype(manifest["dtype"]), int(manifest["tokens"]), int(manifest["documents"])
            whole = (
                (folder / "tokens.bin").stat().st_size == count * dtype.itemsize
                and (folder / "offsets.bin").stat().st_size == (documents + 1) * 8
                and (folder / "text_bytes.bin").stat().st_size == documents * 8
            )
            if manifest["version"] != VERSION or not whole:
                raise ValueError("sizes or version differ from the manifest")
            empty = np.zeros(0, dtype)  # an empty file can't be mapped
            return cls(
                tokens=np.memmap(folder / "tokens.bin", dtype=dtype, mode="r") if count else empty,
                offsets=np.fromfile(folder / "offsets.bin", dtype="<i8"),
                text_bytes=np.fromfile(folder / "text_bytes.bin", dtype="<i8"),
                document_ids=(folder / "documents.txt").read_text(encoding="utf-8").split(),
                tokenizer_digest=manifest["tokenizer"],
                separator_id=manifest["separator_id"],
                vocab_size=manifest["vocab_size"],
                digest=manifest["digest"],
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            wrong, mend = f"no whole token shards ({error})", "Run `groundup tokenize` again"
            raise StoreError(wrong, mend=mend, place=str(folder)) from error


def write_shards(folder: Path, tokenizer: Tokenizer, documents: Iterable[HasText]) -> Shards:
    """Encode the documents in their order and write them to a folder. Needs a tokenizer with a separator."""
    separator = tokenizer.separator_id
    if separator is None:
        raise ValueError("the tokenizer names no token to stand before a document")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)  # from here on the old shards are gone
    dtype = np.dtype("<u2" if tokenizer.vocab_size <= 2**16 else "<u4")
    hashed = hashlib.sha256()
    lengths: list[int] = []
    sizes: list[int] = []
    ids: list[str] = []
    with _Replacing(folder / "tokens.bin") as file:
        for batch in by_text_size(documents, BATCH_CHARACTERS):
            rows = tokenizer.encode_many([document.text for document in batch])
            for document, row in zip(batch, rows, strict=True):
                raw = np.empty(len(row) + 1, dtype)
                raw[0], raw[1:] = separator, row
                data = raw.tobytes()
                file.write(data)
                hashed.update(data)
                lengths.append(len(raw))
                sizes.append(len(document.text.encode("utf-8", "replace")))
                ids.append(document.id)
    offsets = np.concatenate([[0], np.cumsum(np.array(lengths, dtype="<i8"))]).astype("<i8")
    names = "".join(f"{name}\n" for name in ids).encode()
    for name, content in (
        ("offsets.bin", offsets.tobytes()),
        ("text_bytes.bin", np.array(sizes, dtype="<i8").tobytes()),
        ("documents.txt", names),
    ):
        hashed.update(hashlib.sha256(content).digest())
        with _Replacing(folder / name) as file:
            file.write(content)
    hashed.update(tokenizer.digest.encode())
    manifest = {
        "version": VERSION,
        "dtype": dtype.str,
        "tokens": int(offsets[-1]),
        "documents": len(ids),
        "tokenizer": tokenizer.digest,
        "separator_id": separator,
        "vocab_size": tokenizer.vocab_size,
        "digest": hashed.hexdigest(),
    }
    with _Replacing(folder / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=1).encode())
    return Shards.open(folder)


class _Replacing:
    """A file that takes the place of the old one only when it is whole and on the disk."""

    def __init__(self, path: Path) -> None:
        self._path, self._temporary = path, path.with_name(path.name + ".tmp")

    def __enter__(self) -> BinaryIO:
        self._file: BinaryIO = open(self._temporary, "wb")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if kind is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)
