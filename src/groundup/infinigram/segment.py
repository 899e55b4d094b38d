"""A segment: documents' tokens with all their contexts sorted, in memory or mapped from a folder.

A folder is a segment only once its manifest is there, which is written last; sizes that differ from it, another version
and another tokenizer are refused on opening. What keeps its size and changes all the same, checks.py finds.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.infinigram.errors import MemoryFaultError
from groundup.infinigram.search import View
from groundup.infinigram.suffix_array import MAX_TOKENS, bucket_starts, followers_of, sorted_contexts

MANIFEST = "segment.json"
DOCUMENTS = "documents.txt"  # names, a line each
VERSION = 1
READ_AHEAD_BELOW = 512 << 20  # bytes of a file: a smaller one is soon in memory as a whole, and should be


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """uint16 up to 65,536 tokens, else uint32."""
    return np.dtype("<u2" if vocab_size <= 2**16 else "<u4")


@dataclass(frozen=True, eq=False)
class Segment:
    """Documents one after the other, each with the separator before it.

    tokens: (N,) of `token_dtype`. ends: (N,) uint32, followers: (N,) as tokens, starts: (V + 1,) uint32: see
    suffix_array. offsets: (D + 1,) int64; document d is tokens[offsets[d]:offsets[d + 1]]. names: D document ids.
    digest: sha256 over tokens, offsets, names and what the tokens mean. Bytes a token, in memory and on disk: 8 up to
    65,536 tokens of vocabulary, 12 above; a document costs 8 more and its name, a token of the vocabulary 4.
    """

    tokens: npt.NDArray[Any]
    ends: npt.NDArray[np.uint32]
    followers: npt.NDArray[Any]
    starts: npt.NDArray[np.uint32]
    offsets: npt.NDArray[np.int64]
    names: list[str]
    tokenizer: str
    separator: int
    digest: str

    @classmethod
    def build(
        cls,
        tokens: npt.NDArray[Any],
        offsets: npt.NDArray[np.int64],
        names: Sequence[str],
        *,
        tokenizer: str,
        vocab_size: int,
        separator: int,
    ) -> Segment:
        """Sorts the contexts of `tokens`. tokenizer: digest of what made them.

        tokens of the segment's own type are not copied and must not be changed afterwards.
        Raises ValueError for tokens outside the vocabulary and documents that don't begin with the separator.
        """
        stream = np.ascontiguousarray(tokens, token_dtype(vocab_size)).view()
        bounds = np.array(offsets, np.int64)
        _check(tokens, stream, bounds, names, vocab_size, separator)
        stream.setflags(write=False)  # on the view: the caller's array stays as it was
        ends = sorted_contexts(stream, vocab_size)
        followers = followers_of(stream, ends, separator)
        starts = bucket_starts(stream, vocab_size)
        for made in (ends, followers, starts):
            made.setflags(write=False)
        digest = _digest(stream, bounds, names, f"{tokenizer}\0{vocab_size}\0{separator}")
        return cls(stream, ends, followers, starts, bounds, list(names), tokenizer, separator, digest)

    @classmethod
    def empty(cls, *, tokenizer: str, vocab_size: int, separator: int) -> Segment:
        nothing = np.zeros(0, token_dtype(vocab_size))
        zero = np.zeros(1, np.int64)
        return cls.build(nothing, zero, [], tokenizer=tokenizer, vocab_size=vocab_size, separator=separator)

    def __len__(self) -> int:
        """How many tokens it holds, separators included."""
        return len(self.tokens)

    @property
    def vocab_size(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def view(self) -> View:
        return View(self.tokens, self.ends, self.followers, self.starts)

    def document(self, number: int) -> npt.NDArray[Any]:
        """Tokens of one document, its separator first."""
        return self.tokens[int(self.offsets[number]) : int(self.offsets[number + 1])]

    def save(self, folder: Path) -> None:
        """Writes the files and, last, the manifest; each is on the disk before the manifest is."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        names = "".join(f"{name}\n" for name in self.names).encode()
        files = {
            "tokens.bin": self.tokens,
            "ends.bin": self.ends,
            "followers.bin": self.followers,
            "starts.bin": self.starts,
            "offsets.bin": self.offsets,
            DOCUMENTS: np.frombuffer(names, np.uint8),
        }
        for name, array in files.items():
            with open(folder / name, "wb") as file:
                file.write(array.data)  # `tofile` doesn't say that a disk is full
                file.flush()
                os.fsync(file.fileno())
        manifest = {
            "version": VERSION,
            "tokens": len(self.tokens),
            "documents": len(self.names),
            "vocab_size": self.vocab_size,
            "separator": self.separator,
            "tokenizer": self.tokenizer,
            "digest": self.digest,
            "files": {name: array.nbytes for name, array in files.items()},
            "checksums": {name: hashlib.sha256(array.data).hexdigest() for name, array in files.items()},
        }
        pending = folder / f"{MANIFEST}.pending"
        with open(pending, "w", encoding="utf-8") as file:
            file.write(json.dumps(manifest, indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(pending, folder / MANIFEST)
        sync(folder)

    @classmethod
    def open(cls, folder: Path, *, tokenizer: str | None = None) -> Segment:
        """Maps a saved segment. tokenizer: digest it has to be of; None takes any.

        Raises MemoryFaultError for a folder that holds no whole segment, of another version or another tokenizer.
        """
        manifest = read_manifest(folder)
        if tokenizer is not None and manifest["tokenizer"] != tokenizer:
            raise MemoryFaultError(f"{folder} was made with another tokenizer")
        dtype = token_dtype(manifest["vocab_size"])
        try:
            names = (folder / DOCUMENTS).read_bytes().decode().split("\n")[:-1]
            offsets = np.fromfile(folder / "offsets.bin", "<i8")
            tokens, followers = (_mapped(folder / name, dtype) for name in ("tokens.bin", "followers.bin"))
            ends, starts = (_mapped(folder / name, np.dtype("<u4")) for name in ("ends.bin", "starts.bin"))
        except (OSError, UnicodeDecodeError) as error:
            raise MemoryFaultError(f"{folder} can't be read: {error}") from None
        # Kernels trust these tables and check no bounds, so a table that leads outside is refused here.
        if len(names) != manifest["documents"] or not _ascending(offsets, manifest["tokens"]):
            raise MemoryFaultError(f"the documents of {folder} don't fit its tokens")
        if not _ascending(starts, manifest["tokens"]):
            raise MemoryFaultError(f"starts.bin of {folder} doesn't fit its tokens")
        separator, digest = manifest["separator"], manifest["digest"]
        return cls(tokens, ends, followers, starts, offsets, names, manifest["tokenizer"], separator, digest)


def _check(
    tokens: npt.NDArray[Any],
    stream: npt.NDArray[Any],
    offsets: npt.NDArray[np.int64],
    names: Sequence[str],
    vocab_size: int,
    separator: int,
) -> None:
    if not 0 <= separator < vocab_size:
        raise ValueError(f"the separator, {separator}, is outside the vocabulary of {vocab_size:,}")
    if len(stream) > MAX_TOKENS:
        raise ValueError(f"{len(stream):,} tokens are more than one segment holds ({MAX_TOKENS:,})")
    if len(tokens) and (int(tokens.min()) < 0 or int(tokens.max()) >= vocab_size):
        raise ValueError(f"a token lies outside the vocabulary of {vocab_size:,}")
    if len(offsets) != len(names) + 1 or offsets[0] != 0 or offsets[-1] != len(stream) or (np.diff(offsets) < 1).any():
        raise ValueError("the documents' offsets don't cover the tokens")
    if (stream[offsets[:-1]] != separator).any() or int((stream == separator).sum()) != len(names):
        raise ValueError("each document has to begin with the separator and to hold no other")
    if any("\n" in name or not name for name in names):
        raise ValueError("a document's name is empty or has a line break")
    if len(set(names)) != len(names):
        raise ValueError("two documents have one name")


def digest_of(segment: Segment) -> str:
    """The digest of what a segment holds, computed from all of it."""
    meaning = f"{segment.tokenizer}\0{segment.vocab_size}\0{segment.separator}"
    return _digest(segment.tokens, segment.offsets, segment.names, meaning)


def _digest(tokens: npt.NDArray[Any], offsets: npt.NDArray[np.int64], names: Sequence[str], meaning: str) -> str:
    hashed = hashlib.sha256(f"{VERSION}\0{meaning}\0".encode())
    for array in (tokens, offsets):
        hashed.update(array.data)
    hashed.update("\n".join(names).encode())
    return hashed.hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """What a segment's folder says of itself. Raises MemoryFaultError unless all its files are there in full."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version = manifest["version"]
    except FileNotFoundError:
        raise MemoryFaultError(f"{folder} holds no whole segment: {MANIFEST} is missing") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise MemoryFaultError(f"{MANIFEST} of {folder} is not readable") from None
    if version != VERSION:
        raise MemoryFaultError(f"{folder} is of version {version}, this program reads version {VERSION}")
    try:
        sizes = dict(manifest["files"])
        sizes.update(_sizes(int(manifest["tokens"]), int(manifest["documents"]), int(manifest["vocab_size"])))
        sizes[DOCUMENTS], str(manifest["tokenizer"]), int(manifest["separator"]), str(manifest["digest"])
    except (ValueError, KeyError, TypeError):
        raise MemoryFaultError(f"{MANIFEST} of {folder} is not readable") from None
    for name, size in sizes.items():
        try:
            found = (folder / name).stat().st_size
        except OSError:
            raise MemoryFaultError(f"{name} of {folder} is missing") from None
        if found != size:
            raise MemoryFaultError(f"{name} of {folder} has {found:,} bytes instead of {size:,}")
    return manifest


def _sizes(tokens: int, documents: int, vocab_size: int) -> dict[str, int]:
    """Bytes of the files whose size follows from what a segment holds."""
    wide = token_dtype(vocab_size).itemsize
    return {
        "tokens.bin": tokens * wide,
        "ends.bin": tokens * 4,
        "followers.bin": tokens * wide,
        "starts.bin": (vocab_size + 1) * 4,
        "offsets.bin": (documents + 1) * 8,
    }


def sync(path: Path) -> None:
    """Waits until a file's bytes, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _ascending(bounds: npt.NDArray[Any], last: int) -> bool:
    return bool(bounds[0] == 0 and bounds[-1] == last and (bounds[1:] >= bounds[:-1]).all())


def _mapped(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if not path.stat().st_size:  # an empty file can't be mapped
        nothing = np.zeros(0, dtype)
        nothing.setflags(write=False)
        return nothing
    mapped = np.memmap(path, dtype, mode="r")
    if mapped.nbytes > READ_AHEAD_BELOW:
        # A search touches some sixty pages far apart. For each of them the system would read its neighbours too.
        mapped._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
    # A plain array over the map: kernels are compiled for that type, and numpy's memmap class makes slices dear.
    return np.asarray(mapped).view(np.ndarray)
