"""Building a corpus memory, and its queries: tokens/s on one core, memory and disk a token, microseconds a query.

    python benchmarks/memory_build.py [FOLDER...] [--millions 1 10 40 100] [--vocab-size 16384] [--cold]

The text is the default corpus (Python source of the standard library and of what groundup needs), then the files of
each FOLDER (.py and .pyi; --suffixes for others), each content once, till there are enough tokens; where there are too
few, the run ends with what there is and says so: no text is repeated. A BPE of --vocab-size is trained on a sample of
the default corpus. Every 50th document is held out: queries are contexts of up to 256 tokens from those.

Each size is built by a process of its own, bound to one core. Memory is its peak beyond what it held before it read the
tokens, the tokens themselves included. A query is the longest match and the counts of all its followers; it is timed
inside the kernel, all pages in memory (--cold: 50 queries more, the files out of the page cache before each one).
500 M tokens from a gigabyte of text: --millions 500 --vocab-size 1024 --cold.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np

from groundup.corpus.installed import default_sources
from groundup.infinigram.levels import climb, tally
from groundup.infinigram.memory import Memory, context_begin
from groundup.infinigram.segment import MANIFEST, Segment
from groundup.machine import processor_name
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe

HELD_OUT = 50  # every so many documents
CONTEXT = 256
QUERIES = 20_000
COLD_QUERIES = 50
BATCH = 2_000


# -- the corpus ------------------------------------------------------------------------------------------------------


def texts(folders: Sequence[Path], suffixes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, text) of the default corpus' files, then of the folders'; the name is a hash of the content, met once."""
    seen: set[str] = set()
    for path in files(folders, suffixes):
        try:
            content = path.read_bytes()
            text = content.decode()
        except (OSError, UnicodeDecodeError):
            continue
        name = hashlib.sha256(content).hexdigest()[:32]
        if text.strip() and name not in seen:
            seen.add(name)
            yield name, text


def files(folders: Sequence[Path], suffixes: Sequence[str]) -> Iterator[Path]:
    yield from (file.path for file in default_sources().files)
    for folder in folders:
        for place, below, names in os.walk(folder):
            below.sort()
            yield from (Path(place, name) for name in sorted(names) if name.endswith(tuple(suffixes)))


def trained(vocab_size: int) -> Tokenizer:
    return train_bpe((text for _, text in texts([], [])), vocab_size)


@dataclass
class Corpus:
    """tokens: (N,) uint16, document after document, each with its separator before it; offsets: (D + 1,)."""

    tokens: np.ndarray
    offsets: np.ndarray
    names: list[str]
    vocab_size: int
    separator: int


def encoded(tokenizer: Tokenizer, documents: Iterator[tuple[str, str]], most: int) -> Corpus:
    """Documents until there are `most` tokens, the last one whole."""
    rows: list[np.ndarray] = []
    names: list[str] = []
    size = 0
    batch: list[tuple[str, str]] = []

    def flush() -> int:
        found = 0
        for (name, _), ids in zip(batch, tokenizer.encode_many([text for _, text in batch]), strict=True):
            if size + found < most:
                rows.append(np.concatenate([[tokenizer.separator_id], ids]).astype(np.uint16))
                names.append(name)
                found += len(rows[-1])
        batch.clear()
        return found

    for document in documents:
        batch.append(document)
        if len(batch) == BATCH:
            size += flush()
            if size >= most:
                break
    size += flush()
    offsets = np.cumsum([0, *map(len, rows)])
    assert tokenizer.vocab_size <= 2**16
    return Corpus(np.concatenate(rows), offsets, names, tokenizer.vocab_size, int(tokenizer.separator_id or 0))


# -- one build, in a process of its own --------------------------------------------------------------------------------


def status(field: str) -> int:
    """Bytes, from /proc/self/status: VmHWM, the peak since the process began, or VmRSS."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"no {field} in /proc/self/status")


def build(folder: Path, count: int) -> dict[str, float]:
    """Builds and saves the segment of the first documents with `count` tokens; what it took."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    about = json.loads((folder / "about.json").read_text())
    kind = {"tokenizer": "benchmark", "vocab_size": about["vocab_size"], "separator": about["separator"]}
    little = np.fromfile(folder / "tokens.bin", np.uint16, 1)
    Segment.build(little, np.array([0, 1]), ["a"], **kind)  # kernels are compiled or loaded before the clock starts
    offsets = np.fromfile(folder / "offsets.bin", np.int64)
    documents = int(np.searchsorted(offsets, count))
    offsets = offsets[: documents + 1]
    names = (folder / "names.txt").read_text().split("\n")[:documents]
    before = status("VmRSS")
    tokens = np.fromfile(folder / "tokens.bin", np.uint16, int(offsets[-1]))
    begun = time.perf_counter()
    segment = Segment.build(tokens, offsets, names, **kind)
    built = time.perf_counter() - begun
    peak = status("VmHWM") - before
    target = folder / "segment"
    begun = time.perf_counter()
    segment.save(target)
    saved = time.perf_counter() - begun
    disk = sum(path.stat().st_size for path in target.iterdir() if path.name != MANIFEST)
    return {"tokens": len(tokens), "documents": documents, "built": built, "saved": saved, "peak": peak, "disk": disk}


def in_a_process(folder: Path, count: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", str(folder), "--millions", str(count / 1e6)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found: dict[str, float] = json.loads(done.stdout)
    return found


# -- queries -----------------------------------------------------------------------------------------------------------

_clock = ctypes.CDLL(None).clock_gettime
_clock.argtypes = [ctypes.c_int, ctypes.c_void_p]
_clock.restype = ctypes.c_int


@numba.njit
def timed(
    base: Any, added: Any, removed: Any, heads: Any, text: Any, places: Any, separator: int, vocab_size: int, out: Any
) -> int:
    """out: (Q,) nanoseconds of each query text[:places[q]]. Returns the sum of all counts, lest they be left out."""
    lengths, sizes, bounds = np.empty(1, np.int64), np.empty(1, np.int64), np.empty((1, 6), np.int64)
    counts, touched = np.zeros(vocab_size, np.int64), np.empty(vocab_size, np.int64)
    before, after = np.zeros(2, np.int64), np.zeros(2, np.int64)
    total = 0
    for query in range(len(places)):
        at = places[query]
        begin = max(context_begin(text, at, separator), at - CONTEXT)
        _clock(1, before.ctypes)
        if climb(base, added, removed, text, at, begin, lengths, sizes, bounds):
            met = tally(base, added, removed, heads, bounds[0], counts, touched)
            for i in range(met):
                total += counts[touched[i]]
                counts[touched[i]] = 0
        _clock(1, after.ctypes)
        out[query] = (after[0] - before[0]) * 1_000_000_000 + after[1] - before[1]
    return total


def ask(memory: Memory, text: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(Q,) microseconds."""
    out = np.empty(len(places), np.int64)
    timed(*memory.views, memory.heads, text, places, memory.separator, memory.vocab_size, out)
    return out / 1e3


def warm(folder: Path, held: Corpus) -> str:
    text = held.tokens.astype(np.int64)
    draw = np.random.default_rng(0)
    first, second = (draw.integers(1, len(text), QUERIES) for _ in range(2))
    memory = Memory(Segment.open(folder))
    for array in memory.views[0]:
        int(array.astype(np.int64).sum())  # every page
    ask(memory, text, first)
    took = ask(memory, text, second)
    calls = []
    for at in second[:2000].tolist():
        context = text[max(0, at - CONTEXT) : at]
        begun = time.perf_counter()
        memory.followers(context, len(context), memory.longest(context, len(context)).length)
        calls.append((time.perf_counter() - begun) * 1e6)
    return (
        f"longest match with followers {np.median(took):.1f} µs median, {np.percentile(took, 99):.1f} at p99, "
        f"{took.max():.0f} at most; called from Python {np.median(calls):.0f} and {np.percentile(calls, 99):.0f}"
    )


def cold(folder: Path, held: Corpus) -> str:
    text = held.tokens.astype(np.int64)
    heads = Memory(Segment.open(folder)).heads
    took = []
    for at in np.random.default_rng(1).integers(1, len(text), COLD_QUERIES):
        for path in folder.iterdir():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        memory = Memory(Segment.open(folder))
        memory.__dict__["heads"] = heads  # a server has them from its start
        took.append(float(ask(memory, text, np.array([at]))[0]) / 1e3)
        del memory
    return f"cold {np.median(took):.1f} ms median, {np.percentile(took, 90):.1f} at p90, {max(took):.1f} at most"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--millions", nargs="+", type=float, default=[1, 10, 40, 100])
    parser.add_argument("--vocab-size", type=int, default=16_384)
    parser.add_argument("--suffixes", nargs="+", default=[".py", ".pyi"])
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--work", type=Path, help="folder for the files, on the disk to be measured")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(build(asked.child, round(asked.millions[0] * 1e6))))
        return

    most = round(max(asked.millions) * 1e6)
    corpus = encoded(trained(asked.vocab_size), texts(asked.folders, asked.suffixes), round(most * (1 + 2 / HELD_OUT)))
    kept = [number for number in range(len(corpus.names)) if number % HELD_OUT]
    held = part(corpus, range(0, len(corpus.names), HELD_OUT))
    indexed = part(corpus, kept)
    print(
        f"{len(indexed.tokens) / 1e6:.1f} M tokens of {len(indexed.names):,} files, vocabulary {corpus.vocab_size:,}; "
        f"queries from {len(held.names):,} others  {processor_name()}, one core, {datetime.date.today()}"
    )
    with tempfile.TemporaryDirectory(dir=asked.work) as work:
        folder = Path(work)
        indexed.tokens.tofile(folder / "tokens.bin")
        indexed.offsets.tofile(folder / "offsets.bin")
        (folder / "names.txt").write_text("\n".join(indexed.names))
        about = {"vocab_size": corpus.vocab_size, "separator": corpus.separator}
        (folder / "about.json").write_text(json.dumps(about))
        available = len(indexed.tokens)
        del corpus, indexed
        for millions in sorted(asked.millions):
            wanted = round(millions * 1e6)
            if wanted > available:
                print(
                    f"{millions:g} M tokens: the text has {available / 1e6:.1f} M, which are taken; name more folders"
                )
            made = in_a_process(folder, min(wanted, available))
            tokens, documents = made["tokens"], made["documents"]
            print(
                f"{tokens / 1e6:.1f} M tokens  built {tokens / made['built'] / 1e6:.2f} M tokens/s "
                f"({made['built']:.1f} s, saved in {made['saved']:.1f})  "
                f"peak {made['peak'] / tokens:.1f} bytes a token  "
                f"disk {made['disk'] / tokens:.3f} bytes a token ({documents:,.0f} documents)"
            )
            print(f"    {warm(folder / 'segment', held)}", flush=True)
            if asked.cold:
                print(f"    {cold(folder / 'segment', held)}", flush=True)


def part(corpus: Corpus, numbers: Sequence[int]) -> Corpus:
    rows = [corpus.tokens[corpus.offsets[number] : corpus.offsets[number + 1]] for number in numbers]
    names = [corpus.names[number] for number in numbers]
    offsets = np.cumsum([0, *map(len, rows)])
    return Corpus(np.concatenate(rows), offsets, names, corpus.vocab_size, corpus.separator)


if __name__ == "__main__":
    main()
