"""Zip, tar and gzip: each member is a file of its own, read in memory and never written to the disk.

Bounds on members, depth, ratio and total keep a bomb from filling the memory; what a member's header claims is not
believed, only what comes out is counted. Names are labels here: "../../etc/passwd" can't leave anywhere.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from groundup.corpus.extract.base import Context, Found, RawFile, unread
from groundup.corpus.extract.dispatch import extract
from groundup.corpus.funnel import Event

PIECE = 1 << 16  # bytes unpacked between two looks at the bounds


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class TooMuchError(Exception):
    """A bound was passed while unpacking; its text says which."""


def extract_zip(file: RawFile, context: Context) -> Found:
    try:
        archive = zipfile.ZipFile(io.BytesIO(file.data))
        members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        yield unread(file, "broken_archive", str(error)[:200])
        return
    names: Counter[str] = Counter()
    for number, member in enumerate(members):
        inner = _member(file, member.filename, names)
        if number >= context.limits.max_members:
            yield _too_many(file, len(members), context)
            return
        if _hidden(member.filename):
            yield unread(inner, "hidden_file", "its name, or its folder's, starts with a dot", size=member.file_size)
            continue
        if member.flag_bits & 1:
            yield unread(inner, "encrypted", "it asks for a password", size=member.file_size)
            continue
        try:
            with archive.open(member) as stream:
                data = _unpack(stream, member.compress_size, context)
        except TooMuchError as error:
            yield unread(inner, "archive_bomb", str(error), size=member.file_size)
            if context.unpacked_bytes >= context.limits.max_unpacked_bytes:
                return
            continue
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            yield unread(inner, "broken_archive", str(error)[:200], size=member.file_size)
            continue
        yield from extract(RawFile(data, inner.source, file.group, file.depth + 1), context)


def extract_tar(file: RawFile, context: Context) -> Found:
    names: Counter[str] = Counter()
    count = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(file.data), mode="r:") as archive:
            for member in archive:
                if not member.isreg():  # links and devices hold no bytes of their own
                    continue
                inner = _member(file, member.name, names)
                count += 1
                if count > context.limits.max_members:
                    yield _too_many(file, count, context)
                    return
                if _hidden(member.name):
                    yield unread(inner, "hidden_file", "its name, or its folder's, starts with a dot", size=member.size)
                    continue
                stream = archive.extractfile(member)
                assert stream is not None, "a regular member has a stream"
                data = _unpack(stream, member.size, context)
                yield from extract(RawFile(data, inner.source, file.group, file.depth + 1), context)
    except TooMuchError as error:
        yield unread(file, "archive_bomb", str(error))
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        yield unread(file, "broken_archive", str(error)[:200])


def extract_gzip(file: RawFile, context: Context) -> Found:
    """A single packed file: what is inside, under the same source ("page.html.gz"), since there is no other in it."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(file.data)) as stream:
            data = _unpack(stream, len(file.data), context)
    except TooMuchError as error:
        yield unread(file, "archive_bomb", str(error))
        return
    except (zlib.error, EOFError, OSError) as error:
        yield unread(file, "broken_archive", str(error)[:200])
        return
    name = file.name.lower()
    inner = "tar" if name.endswith(".tgz") else RawFile(b"", name.removesuffix(".gz"), "").suffix
    yield from extract(RawFile(data, file.source, file.group, file.depth + 1, inner), context)


def _unpack(stream: _Readable, packed_bytes: int, context: Context) -> bytes:
    """All bytes of a stream, or TooMuchError as soon as a bound is passed."""
    limits = context.limits
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(stream):
        pieces.append(piece)
        size += len(piece)
        context.unpacked_bytes += len(piece)
        if context.unpacked_bytes > limits.max_unpacked_bytes:
            raise TooMuchError(f"{context.unpacked_bytes:,} bytes unpacked > {limits.max_unpacked_bytes:,}")
        if size > limits.ratio_floor_bytes and size > limits.max_ratio * max(packed_bytes, 1):
            raise TooMuchError(f"unpacks to over {limits.max_ratio} times its {packed_bytes:,} bytes")
    return b"".join(pieces)


def _pieces(stream: _Readable) -> Iterator[bytes]:
    while piece := stream.read(PIECE):
        yield piece


def _member(file: RawFile, name: str, names: Counter[str]) -> RawFile:
    """A member without its data yet. A second member of the same name is "name#2"."""
    name = name.replace("\\", "/").lstrip("/")
    names[name] += 1
    label = name if names[name] == 1 else f"{name}#{names[name]}"
    return RawFile(b"", f"{file.source}!{label}", file.group, file.depth + 1)


def _hidden(name: str) -> bool:
    return any((part[:1] == "." and part not in (".", "..")) or part == "__MACOSX" for part in name.split("/"))


def _too_many(file: RawFile, count: int, context: Context) -> Event:
    left = count - context.limits.max_members
    reason = f"too_many_members: {count:,} > {context.limits.max_members:,}; the rest is left out"
    return Event("unread", "read", "too_many_members", reason, file.source, count=left)
