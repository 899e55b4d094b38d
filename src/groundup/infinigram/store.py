"""A memory as a store of versions: it follows its documents while readers each keep a whole version.

root/current.json         names the segments of the version that is served; replaced atomically
root/segments/<digest>/   written once, never changed, shared by all versions that hold it
root/lock                 held while a version is written

A version is a base, what was added to it and what was removed from it. Given a base, the other two follow from the
documents wanted alone, not from the changes that led there.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from groundup.infinigram.checks import flaw, is_named_truly
from groundup.infinigram.errors import MemoryBusyError, MemoryFaultError
from groundup.infinigram.gather import Meaning, Row, Tokens
from groundup.infinigram.memory import Memory
from groundup.infinigram.segment import MANIFEST, Segment, read_manifest, sync

SCHEMA = 1
DIGEST = re.compile("[0-9a-f]{64}")

# Tokens added and removed, as a share of the base's, from which on all is sorted anew. What was added is sorted whole
# at every change: a change of d tokens to a base of N costs sN / 2 on the average way to the share s, and (1 + s) d / s
# for its part of the next rebuild. The sum is least at s = √(2d / N): .14 where a change is one per cent, .04 at one in
# a thousand. Queries decide little: 3.5 µs in one segment, 5.0 where one per cent was added, 6.4 where 15 were
# (benchmarks/memory_changes.py, 44 M tokens, on a busy machine).
REBUILD_SHARE = 0.15


class Version(NamedTuple):
    """What current.json names: digests of three segments; serial counts the versions written so far."""

    base: str
    added: str | None
    removed: str | None
    serial: int

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{SCHEMA} {self.base} {self.added} {self.removed}".encode()).hexdigest()[:32]

    @property
    def segments(self) -> list[str]:
        return [digest for digest in self[:3] if digest is not None]


class Part(NamedTuple):
    """What one segment of a version holds and takes. role: "base", "added" or "removed". bytes: on the disk."""

    role: str
    documents: int
    tokens: int
    bytes: int


class MemoryStore:
    """Versions of one memory under `root`. One writer at a time, any number of readers, none of them waits.

    A document's name stands for its content: one that changed has another name. Every document's tokens begin with the
    separator and hold no other.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def current(self) -> str | None:
        """Digest of the version that is served, None before the first. Raises MemoryFaultError if it can't be told."""
        version = self._version()
        return version.digest if version else None

    @property
    def serial(self) -> int:
        """How many versions were written so far, the current one included. Raises MemoryFaultError as `current`."""
        version = self._version()
        return version.serial if version else 0

    def parts(self) -> list[Part]:
        """The current version's segments, by their manifests. Raises MemoryFaultError if it is damaged."""
        version = self._version()
        if version is None:
            raise MemoryFaultError(f"{self.root} holds no memory")
        found = []
        for role, digest in zip(Version._fields, version[:3], strict=False):
            if digest is not None:
                manifest = read_manifest(self._folder(digest))
                size = sum(file.stat().st_size for file in self._folder(digest).iterdir())
                found.append(Part(role, manifest["documents"], manifest["tokens"], size))
        return found

    def fault(self, tokenizer: str | None = None, *, thorough: bool = False) -> str:
        """Why the current version can't be served, or "" if it is whole. Some twenty `stat`s, no data is read.

        thorough: all data is read and compared with what was written.
        """
        try:
            version = self._version()
            if version is None:
                return f"{self.root} holds no memory"
            for digest in version.segments:
                made_with = read_manifest(self._folder(digest))["tokenizer"]
                if tokenizer is not None and made_with != tokenizer:
                    return f"{self.root} was made with another tokenizer"
                if thorough and (found := flaw(self._folder(digest))):
                    return found
        except MemoryFaultError as error:
            return str(error)
        return ""

    def open(self, tokenizer: str | None = None) -> Memory:
        """The current version; it stays whole while writers go on. tokenizer: digest it has to be of; None takes any.

        Raises MemoryFaultError if there is none, it is damaged or of another tokenizer.
        """
        while True:
            version = self._version()
            if version is None:
                raise MemoryFaultError(f"{self.root} holds no memory")
            try:
                return self._open(version, tokenizer)
            except MemoryFaultError:
                # A writer may have replaced the version, and removed its segments, since its name was read.
                if version == self._version():
                    raise

    def rebuild(self, documents: Iterable[Row], *, tokenizer: str, vocab_size: int, separator: int) -> Memory:
        """Makes the version that holds exactly `documents`, all in its base, the current one and opens it.

        documents: (name, (n,) tokens), in any order; the same ones give the same segment. Views of a mapped file serve:
        at the peak there is one copy of all tokens, beside what sorting takes.
        Raises ValueError for tokens or names that a segment can't hold, MemoryBusyError beside another writer; the
        current version stays then.
        """
        meaning = Meaning(tokenizer, vocab_size, separator)
        with self._writing():
            self._sort_anew(meaning, meaning.rows(documents))
            return self.open(tokenizer)

    def update(
        self,
        names: Iterable[str],
        tokens_of: Callable[[list[str]], Iterable[Tokens]],
        *,
        tokenizer: str,
        vocab_size: int,
        separator: int,
    ) -> Memory:
        """Makes a version that holds exactly the documents `names` the current one and opens it.

        tokens_of: gives the tokens of the names it is called with, in their order; it is asked once, for those that no
        segment of the current version holds, and not at all where there are none. It is asked again only where all is
        to be sorted and the base turns out not to hold what was written. Where nothing changed, nothing is
        written. A version that is damaged or made otherwise counts as absent.
        Raises as `rebuild` does.
        """
        meaning = Meaning(tokenizer, vocab_size, separator)
        with self._writing():
            self._change(meaning, set(names), tokens_of)
            return self.open(tokenizer)

    def renew(
        self,
        names: Iterable[str],
        tokens_of: Callable[[list[str]], Iterable[Tokens]],
        *,
        tokenizer: str,
        vocab_size: int,
        separator: int,
    ) -> Memory:
        """As `update`, but all is sorted into one base, whatever changed and whatever is damaged.

        Tokens that are there are taken over where they are, all of a segment, what was written; tokens_of is asked for
        the rest.
        """
        meaning = Meaning(tokenizer, vocab_size, separator)
        with self._writing():
            wanted = set(names)
            rows = self._sound_rows(meaning, wanted)
            rows += meaning.rows(_asked(sorted(wanted - {name for name, _ in rows}), tokens_of))
            self._sort_anew(meaning, rows)
            return self.open(tokenizer)

    def _sound_rows(self, meaning: Meaning, wanted: set[str]) -> list[Row]:
        """Documents that are wanted and whose segment still holds what was written."""
        try:
            version = self._version()
        except MemoryFaultError:
            version = None
        rows: dict[str, Tokens] = {}
        for digest in (version.base, version.added) if version else ():
            try:
                segment = Segment.open(self._folder(digest), tokenizer=meaning.tokenizer) if digest else None
            except MemoryFaultError:
                continue
            if segment is not None and self._is_sound(segment) and meaning == _meaning(segment):
                rows.update(_picked(segment, wanted))
        return list(rows.items())

    def _is_sound(self, segment: Segment) -> bool:
        """Whether its documents may go into another segment: what changed unseen would else count as written."""
        return is_named_truly(segment, self._folder(segment.digest))

    def _change(self, meaning: Meaning, wanted: set[str], tokens_of: Callable[[list[str]], Iterable[Tokens]]) -> None:
        now = self._previous(meaning)
        if now is None:
            self._sort_anew(meaning, meaning.rows(_asked(sorted(wanted), tokens_of)))
            return
        held = set(now.base.names)
        known = set(now.added.names) if self._is_sound(now.added) else set()
        added, removed = sorted(wanted - held), sorted(held - wanted)
        if (added, removed) == (now.added.names, now.removed.names):
            return
        new = meaning.rows(_asked([name for name in added if name not in known], tokens_of))
        new += _picked(now.added, known & wanted)
        gone = _picked(now.base, set(removed))
        if _size(new) + _size(gone) > REBUILD_SHARE * len(now.base):
            if self._is_sound(now.base):
                self._sort_anew(meaning, _picked(now.base, held & wanted) + new)
            else:
                self._sort_anew(meaning, new + meaning.rows(_asked(sorted(held & wanted), tokens_of)))
            return
        # The part that stays as it was is not sorted again: mostly documents are added.
        plus = now.added.digest if added == now.added.names else self._write(meaning.build(new))
        minus = now.removed.digest if removed == now.removed.names else self._write(meaning.build(gone))
        self._promote(now.base.digest, plus if added else None, minus if removed else None)

    def _sort_anew(self, meaning: Meaning, rows: list[Row]) -> None:
        self._promote(self._write(meaning.build(rows)), None, None)

    def _write(self, segment: Segment) -> str:
        """The digest of a segment, whose folder is written unless it is there in full and as it was written."""
        folder = self._folder(segment.digest)
        if flaw(folder):
            pending = folder.with_name(f".pending-{segment.digest}")
            shutil.rmtree(pending, ignore_errors=True)
            try:
                segment.save(pending)
            except BaseException:
                shutil.rmtree(pending, ignore_errors=True)  # on a full disk the room is needed
                raise
            _put(pending, folder)
            sync(folder.parent)
        return segment.digest

    def _promote(self, base: str, added: str | None, removed: str | None) -> None:
        """From here on readers get this version; whoever reads the one before keeps it."""
        try:
            before = self._version()
        except MemoryFaultError:
            before = None  # an unreadable list is replaced
        version = Version(base, added, removed, before.serial + 1 if before else 1)
        pending = self.root / "current.json.pending"
        pending.write_text(json.dumps({"schema": SCHEMA, **version._asdict()}) + "\n", encoding="utf-8")
        sync(pending)
        pending.replace(self.root / "current.json")
        sync(self.root)

    def _tidy(self) -> None:
        """Removes segments that neither the current version nor a reader holds, and what a killed writer left."""
        version = self._version()
        kept = set(version.segments) if version else set()
        for folder in sorted((self.root / "segments").iterdir()):
            if folder.name not in kept and not _is_read(folder):
                self._discard(folder)

    def _discard(self, folder: Path) -> None:
        """Removes a folder; a segment's goes away in one step, so that a reader finds all of it or nothing."""
        doomed = folder
        if folder.exists() and not folder.name.startswith("."):
            doomed = folder.with_name(f".removed-{folder.name}")
            shutil.rmtree(doomed, ignore_errors=True)
            folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)

    def _open(self, version: Version, tokenizer: str | None) -> Memory:
        with ExitStack() as held:  # manifests, locked as long as the memory is used: writers leave their segments
            for digest in version.segments:
                held.callback(os.close, _hold(self._folder(digest)))
            base, added, removed = (
                Segment.open(self._folder(digest), tokenizer=tokenizer) if digest else None for digest in version[:3]
            )
            assert base is not None
            memory = Memory(base, added, removed)
            weakref.finalize(memory, held.pop_all().close)
        return memory

    def _previous(self, meaning: Meaning) -> Memory | None:
        """The current version if it can be built upon; a damaged one is no error here."""
        try:
            memory = self.open(meaning.tokenizer)
        except MemoryFaultError:
            return None
        return memory if meaning == _meaning(memory) else None

    def _version(self) -> Version | None:
        path = self.root / "current.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            schema, version = found["schema"], Version(*(found[field] for field in Version._fields))
            whole = version.base and all(map(DIGEST.fullmatch, version.segments)) and version.serial > 0
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise MemoryFaultError(f"{path} is not readable") from None
        if schema != SCHEMA:
            raise MemoryFaultError(f"{path} is of version {schema}, this program reads version {SCHEMA}")
        if not whole:
            raise MemoryFaultError(f"{path} is not readable")
        return version

    def _folder(self, digest: str) -> Path:
        return self.root / "segments" / digest

    @contextmanager
    def _writing(self) -> Iterator[None]:
        (self.root / "segments").mkdir(parents=True, exist_ok=True)
        with open(self.root / "lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MemoryBusyError(f"another process is writing the memory in {self.root}") from None
            yield
            self._tidy()


def _asked(names: list[str], tokens_of: Callable[[list[str]], Iterable[Tokens]]) -> Iterator[Row]:
    if names:
        yield from zip(names, tokens_of(names), strict=True)


def _picked(segment: Segment, wanted: set[str]) -> list[Row]:
    return [(name, segment.document(number)) for number, name in enumerate(segment.names) if name in wanted]


def _meaning(of: Memory | Segment) -> Meaning:
    return Meaning(of.tokenizer, of.vocab_size, of.separator)


def _put(pending: Path, folder: Path) -> None:
    """Makes `pending` the folder of a segment: at no moment does a reader, or a writer after a crash, find none.

    Folders of one name were written with the same bytes, so where one is there its files are replaced one by one:
    each state on the way is as good as the one before, and those who have the old files open keep them.
    """
    if not folder.exists():
        pending.rename(folder)
        return
    for path in sorted(pending.iterdir(), key=lambda path: path.name == MANIFEST):  # the manifest last
        path.replace(folder / path.name)
    sync(folder)
    pending.rmdir()


def _size(rows: list[Row]) -> int:
    return sum(len(tokens) for _, tokens in rows)


def _hold(folder: Path) -> int:
    """A descriptor under a shared lock, which keeps writers from removing the segment. Raises MemoryFaultError."""
    try:
        descriptor = os.open(folder / MANIFEST, os.O_RDONLY)
    except OSError:
        raise MemoryFaultError(f"{folder} holds no whole segment: {MANIFEST} is missing") from None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _is_read(folder: Path) -> bool:
    try:
        with open(folder / MANIFEST) as manifest:
            fcntl.flock(manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # half-written, so nobody's
    return False
