"""A writer that changes a memory for ever and logs what it does, a reader that never stops, and what both have to hold.

In a module of their own, so that a fork server can load it once and start each process in milliseconds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from groundup.infinigram.memory import Int64, Memory
from groundup.infinigram.store import MemoryStore

VOCAB = 50
POOL = 300  # documents there are
KIND = {"tokenizer": "t", "vocab_size": VOCAB, "separator": 0}


def tokens_of(name: str) -> Int64:
    """A document follows from its name, its separator first."""
    number = int(name)
    draw = np.random.default_rng(number)
    tokens: Int64 = draw.integers(1, VOCAB, 20 + number % 300)
    tokens[0] = 0
    return tokens


def chosen(seed: int, before: frozenset[int]) -> frozenset[int]:
    """The documents wanted next: a few more, a few less, or so many others that all is sorted anew."""
    draw = np.random.default_rng(seed)
    kind = seed % 3
    some = frozenset(draw.choice(POOL, 3 + seed % 7, replace=False).tolist())
    if kind == 0 or len(before) < 50:
        return before | some
    if kind == 1:
        return before - frozenset(draw.choice(sorted(before), 5, replace=False).tolist())
    return frozenset(draw.choice(POOL, 120, replace=False).tolist())


def names(numbers: Iterable[int]) -> list[str]:
    return [str(number) for number in sorted(numbers)]


def damage(root: Path, seed: int) -> None:
    """Makes a segment of the current version one that is written anew under its own name, though it can be opened."""
    segments = json.loads((root / "current.json").read_text())
    manifest = root / "segments" / str(segments["base"]) / "segment.json"
    fields = json.loads(manifest.read_text())
    fields.pop("checksums", None)
    pending = manifest.with_name(f"damaged-{seed}")
    pending.write_text(json.dumps(fields))
    pending.replace(manifest)


def write(root: Path, log: Path, seed: int, before: frozenset[int]) -> None:
    """Logs a line before a change and one once it is acknowledged."""
    store = MemoryStore(root)
    with open(log, "ab", buffering=0) as lines:
        while True:
            wanted = chosen(seed, before)
            lines.write(f"want {' '.join(names(wanted))}\n".encode())
            if seed % 5 == 2:
                for _ in range(2):  # the second time it ends in the very segment that is there
                    damage(root, seed)
                    store.renew(names(wanted), lambda asked: map(tokens_of, asked), **KIND)
            elif seed % 5 == 4:
                store.rebuild(((name, tokens_of(name)) for name in names(wanted)), **KIND)
            else:
                store.update(names(wanted), lambda asked: map(tokens_of, asked), **KIND)
            lines.write(b"done\n")
            before, seed = wanted, seed + 1


def check(memory: Memory) -> None:
    """Counts of a memory are those of its own documents, by plain counting."""
    documents = [tokens_of(name) for name in memory.documents()]
    assert len(memory) == sum(map(len, documents))
    whole = np.concatenate([np.zeros(0, np.int64), *documents])
    assert memory.unigrams.tolist() == np.bincount(whole, minlength=VOCAB).tolist()
    if not documents:
        return
    query = documents[0][: 2 + len(documents) % 8]
    for length in (1, 2, len(query)):
        run = query[len(query) - length :]
        stands = np.flatnonzero((np.lib.stride_tricks.sliding_window_view(whole, length) == run).all(1))
        assert memory.count(query, len(query), length) == len(stands)
        assert len(memory.places(query, len(query), length, 5)) == min(5, len(stands))


def read(root: Path, failures: Path, opened: Path) -> None:
    """Opens and asks until it is killed; what goes wrong is written down."""
    store, held = MemoryStore(root), None
    while True:
        try:
            memory = store.open(tokenizer="t")
            check(memory)
            if held is not None:
                check(held)  # one that was opened before, while writers go on
            held = memory
        except Exception as error:
            failures.write_text(f"{type(error).__name__}: {error}")
        with open(opened, "ab", buffering=0) as count:
            os.write(count.fileno(), b".")
        time.sleep(0.002)
