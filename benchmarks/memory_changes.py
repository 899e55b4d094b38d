"""A corpus memory that changes: 1,000 documents added to 100,000 and removed again, equal to a rebuild, and how fast.

    python benchmarks/memory_changes.py [FOLDER...] [--documents 100000] [--change 1000] [--shares .01 .05 .15 .3]

The text is that of memory_build.py; a document is a piece of a file of at most --lines lines, as few hosts have 100,000
source files. Encoding is timed too: it is part of what a person waits for. Equal means: on 2,000 contexts of the
added, the removed and other documents the longest match, all followers with their counts, and the levels are those of
a memory rebuilt from the same documents. Then, for each of --shares, a base to which documents with so many of its
tokens were added: what a query and a further change of --change documents cost there, beside sorting all anew. That
decides REBUILD_SHARE in store.py.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from groundup.infinigram import store as store_module
from groundup.infinigram.memory import Int64, Memory
from groundup.infinigram.store import MemoryStore
from groundup.machine import processor_name
from groundup.tokens.tokenizer import Tokenizer
from memory_build import ask, texts, trained

CONTEXTS = 2_000


class Library:
    """Documents by name, encoded when they are asked for."""

    def __init__(self, documents: dict[str, str], tokenizer: Tokenizer) -> None:
        self.documents = documents
        self.tokenizer = tokenizer
        self.kind = {
            "tokenizer": tokenizer.digest,
            "vocab_size": tokenizer.vocab_size,
            "separator": int(tokenizer.separator_id or 0),
        }

    def __call__(self, names: Sequence[str]) -> Iterator[Int64]:
        for ids in self.tokenizer.encode_many([self.documents[name] for name in names]):
            yield np.concatenate([[self.kind["separator"]], ids]).astype(np.uint16)

    def update(self, store: MemoryStore, names: Iterable[str]) -> tuple[Memory, float]:
        begun = time.perf_counter()
        memory = store.update(names, self, **self.kind)
        return memory, time.perf_counter() - begun


def pieces(folders: Sequence[Path], lines: int, wanted: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for _, text in texts(folders, [".py", ".pyi"]):
        all_lines = text.splitlines(keepends=True)
        for start in range(0, len(all_lines), lines):
            piece = "".join(all_lines[start : start + lines])
            if len(piece) > 100:
                found.setdefault(hashlib.sha256(piece.encode()).hexdigest()[:32], piece)
        if len(found) >= wanted:
            break
    return dict(list(found.items())[:wanted])


def answers(memory: Memory, contexts: Sequence[Int64]) -> list[object]:
    found: list[object] = []
    for context in contexts:
        at = len(context)
        match = memory.longest(context, at)
        tokens, counts = memory.followers(context, at, match.length)
        found.append((match, tokens.tolist(), counts.tolist(), memory.levels(context, at)))
    return found


def contexts_of(library: Library, names: Sequence[str], draw: np.random.Generator) -> list[Int64]:
    chosen = draw.choice(sorted(names), min(len(names), CONTEXTS // 3), replace=False).tolist()
    rows = [ids.astype(np.int64) for ids in library(chosen)]
    return [row[: draw.integers(1, len(row) + 1)][-256:] for row in rows]


def query_time(memory: Memory, contexts: Sequence[Int64]) -> float:
    text = np.concatenate(contexts)
    places = np.cumsum([len(context) for context in contexts])
    ask(memory, text, places)
    return float(np.median(ask(memory, text, places)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--change", type=int, default=1_000)
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--shares", nargs="*", type=float, default=[0.01, 0.05, 0.15, 0.3])
    parser.add_argument("--vocab-size", type=int, default=16_384)
    asked = parser.parse_args()

    draw = np.random.default_rng(0)
    extra = 1 + max(asked.shares, default=0) * 1.1
    documents = pieces(asked.folders, asked.lines, round(asked.documents * extra) + 2 * asked.change)
    if len(documents) < asked.documents + asked.change:
        raise SystemExit(f"the text has {len(documents):,} pieces only: name more folders")
    library = Library(documents, trained(asked.vocab_size))
    order = draw.permutation(sorted(documents)).tolist()
    base, new, spare = np.split(np.array(order), [asked.documents, asked.documents + asked.change])
    old = base[: asked.change]

    with tempfile.TemporaryDirectory() as work:
        store = MemoryStore(Path(work) / "changed")
        memory, first = library.update(store, base)
        tokens = len(memory)
        print(
            f"{len(base):,} documents, {tokens / 1e6:.1f} M tokens: encoded, sorted and saved in {first:.1f} s  "
            f"{processor_name()}, {datetime.date.today()}"
        )
        memory, added = library.update(store, [*base, *new])
        _, same = library.update(store, [*base, *new])
        memory, removed = library.update(store, [*base[asked.change :], *new])
        print(
            f"{asked.change:,} added in {added:.2f} s ({len(memory.added) / 1e6:.2f} M tokens), as many removed in "
            f"{removed:.2f} s, nothing changed in {same:.2f} s"
        )
        contexts = [one for part in (new, old, base[asked.change :]) for one in contexts_of(library, part, draw)]
        begun = time.perf_counter()
        rebuilt = MemoryStore(Path(work) / "rebuilt").rebuild(
            zip(memory.documents(), library(memory.documents()), strict=True), **library.kind
        )
        took = time.perf_counter() - begun
        equal = sum(a == b for a, b in zip(answers(memory, contexts), answers(rebuilt, contexts), strict=True))
        print(f"equal to a rebuild ({took:.1f} s) on {equal:,} of {len(contexts):,} contexts")
        plain = query_time(rebuilt, contexts)
        del rebuilt

        sizes = dict(zip(spare.tolist(), map(len, library(spare.tolist())), strict=True))
        for share in sorted(asked.shares):
            store_module.REBUILD_SHARE = 9.0
            taken, size = [], 0
            for name, length in sizes.items():
                if size >= share * tokens:
                    break
                taken.append(name)
                size += length
            memory, _ = library.update(store, [*base[asked.change :], *taken])
            query = query_time(memory, contexts)
            _, more = library.update(store, [*base[asked.change :], *taken, *new])
            print(
                f"added {len(memory.added) / tokens:.0%}  query {query:.2f} µs (sorted anew {plain:.2f})  "
                f"{asked.change:,} documents more in {more:.2f} s"
            )
        store_module.REBUILD_SHARE = 0.0
        _, anew = library.update(store, [*base[1:], *new])
        print(f"sorted anew, of tokens that are there, in {anew:.1f} s")


if __name__ == "__main__":
    main()
