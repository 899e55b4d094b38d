"""The corpus memory and the infini-gram package: the same tokens, counts and ∞-gram probabilities, in one run.

    python benchmarks/memory_vs_infini_gram.py [FOLDER] [--tokens 40_000_000] [--queries 10_000] [--pairs 5]

FOLDER: its .py, .md, .rst and .txt files are the corpus; the Python source of the standard library and of what this
project needs if left out. One document in twenty is held out; the others' tokens go to both. infini-gram is installed
on first use into a folder of its own below --work (`pip install --target`; nothing of it comes into this environment)
and sorts its suffix array with its own program. Both map their files. All answers are compared first; the queries are
then asked one by one through the Python interface of each, alternating, in wall-clock time.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from groundup.corpus.installed import default_sources
from groundup.infinigram.memory import Memory
from groundup.infinigram.segment import Segment
from groundup.infinigram.spans import counts as counts_of_runs
from groundup.machine import cores, processor_name
from groundup.tokens.train import train_bpe

VERSION = "2.6.0"
HELD_OUT = 20  # one document in so many
LONGEST = 12  # tokens of an n-gram
CONTEXT = 64  # tokens of a prompt
SUPPORT = 1_000  # infini-gram counts followers exactly up to so many occurrences; its default
THEIR_SEPARATOR = 2**16 - 1

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Corpus:
    """tokens: (N,) uint16, each document with the separator before it. offsets: (D + 1,) int64."""

    tokens: npt.NDArray[np.uint16]
    offsets: npt.NDArray[np.int64]
    held_out: list[Ids]
    names: list[str]
    vocab_size: int
    separator: int
    tokenizer: str


def texts_of(folder: Path | None) -> list[str]:
    """In the order of their hashes, each once: a fair draw at any limit."""
    if folder is None:
        paths = [file.path for file in default_sources().files]
    else:
        paths = sorted(path for kind in ("py", "md", "rst", "txt") for path in folder.rglob(f"*.{kind}"))
    found: dict[bytes, str] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        found[hashlib.sha256(text.encode()).digest()] = text
    return [found[key] for key in sorted(found)]


def make_corpus(texts: Sequence[str], tokens: int, vocab_size: int) -> Corpus:
    trained = train_bpe(texts, vocab_size)
    assert trained.separator_id is not None
    encoder = trained.index_encoder(texts)
    flat, counts = encoder.encode(texts)
    kept = int(np.searchsorted(np.cumsum(counts + 1), tokens, side="right"))
    rows = np.split(flat, np.cumsum(counts)[:-1])[:kept]
    rows = [np.concatenate([[trained.separator_id], row]) for row in rows]
    shown = [row for number, row in enumerate(rows) if number % HELD_OUT]
    if not shown:
        raise SystemExit("the corpus is too small: name a folder with more text, or raise --tokens")
    return Corpus(
        tokens=np.concatenate(shown).astype(np.uint16),
        offsets=np.cumsum([0, *(len(row) for row in shown)]),
        held_out=[row.astype(np.int64) for row in rows[::HELD_OUT]],
        names=[str(number) for number in range(len(shown))],
        vocab_size=trained.vocab_size,
        separator=trained.separator_id,
        tokenizer=trained.digest,
    )


# -- both sides --------------------------------------------------------------------------------------------------------


def our_memory(corpus: Corpus, folder: Path) -> tuple[Memory, float]:
    """(memory over mapped files, seconds to build and write it)."""
    kind = {"tokenizer": corpus.tokenizer, "vocab_size": corpus.vocab_size, "separator": corpus.separator}
    tiny = np.full(2, corpus.separator, np.uint16)
    Segment.build(tiny, np.arange(3), ["a", "b"], **kind)  # compiles what is compiled
    begun = time.perf_counter()
    Segment.build(corpus.tokens, corpus.offsets, corpus.names, **kind).save(folder)
    return Memory(Segment.open(folder)), time.perf_counter() - begun


def install(folder: Path) -> Any:
    """infini-gram's engine class, from a folder of its own."""
    if not (folder / "infini_gram").exists():
        command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), f"infini-gram=={VERSION}"]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"infini-gram {VERSION} can't be installed here: {' '.join(command)}")
    sys.path.append(str(folder))
    from infini_gram.engine import InfiniGramEngine

    return InfiniGramEngine


def their_engine(corpus: Corpus, engine: Any, package: Path, folder: Path) -> tuple[Any, float]:
    """(engine over mapped files, seconds to build them). Tokens and offsets are written in its documented format;
    the table of pointers is its own program's work."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    begun = time.perf_counter()
    np.where(corpus.tokens == corpus.separator, THEIR_SEPARATOR, corpus.tokens).astype("<u2").tofile(
        folder / "tokenized.0"
    )
    (corpus.offsets[:-1] * 2).astype("<u8").tofile(folder / "offset.0")
    # Step 1 of its script is skipped where these two files are; it raises the limit of open files, which it may not.
    limit = str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    arguments = ["--data_dir", str(folder), "--save_dir", str(folder), "--cpus", str(int(cores())), "--mem", "4"]
    subprocess.run(
        [sys.executable, "-m", "infini_gram.indexing", *arguments, "--ulimit", limit],
        env=os.environ | {"PYTHONPATH": str(package)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - begun
    return engine(index_dir=str(folder), eos_token_id=corpus.separator, vocab_size=corpus.vocab_size), seconds


# -- queries -----------------------------------------------------------------------------------------------------------


def ngrams(corpus: Corpus, count: int, draw: np.random.Generator) -> list[Ids]:
    """A third each from the corpus, from held-out documents, and from the corpus with one token changed; lengths
    1 to 12, within one document, its separator sometimes first."""
    found: list[Ids] = []
    while len(found) < count:
        kind, length = len(found) % 3, int(draw.integers(1, LONGEST + 1))
        if kind == 1:
            document = corpus.held_out[draw.integers(len(corpus.held_out))]
        else:
            number = draw.integers(len(corpus.names))
            document = corpus.tokens[corpus.offsets[number] : corpus.offsets[number + 1]].astype(np.int64)
        begin = int(draw.integers(max(1, len(document) - length + 1)))
        ngram = document[begin : begin + length].copy()
        if kind == 2:
            ngram[-1] = draw.integers(corpus.vocab_size)
            if ngram[-1] == corpus.separator:
                continue  # within an n-gram it would join two documents
        found.append(ngram)
    return found


def prompts(corpus: Corpus, count: int, draw: np.random.Generator) -> list[Ids]:
    """Up to 64 tokens of held-out documents, and the token that came then."""
    found = []
    for document in (corpus.held_out[i] for i in draw.integers(len(corpus.held_out), size=count)):
        at = int(draw.integers(1, max(2, len(document))))
        found.append(document[max(0, at - CONTEXT) : at + 1])
    return [row for row in found if len(row) > 1]


def our_probability(memory: Memory, row: Ids) -> tuple[int, int, int]:
    """(length of the longest suffix of row[:-1] that occurs, its count, how often row[-1] follows it)."""
    match = memory.longest(row, len(row) - 1)
    return match.length, match.count, memory.count(row, len(row), match.length + 1)


def our_followers(memory: Memory, row: Ids) -> tuple[Ids, Ids]:
    at = len(row) - 1
    return memory.followers(row, at, memory.longest(row, at).length)


# -- the run -----------------------------------------------------------------------------------------------------------


def seconds(work: Callable[[Any], object], queries: Sequence[Any]) -> float:
    begun = time.perf_counter()
    for query in queries:
        work(query)
    return time.perf_counter() - begun


def report(what: str, ours: tuple[Any, Any], theirs: tuple[Any, Any], pairs: int) -> None:
    rounds = [(seconds(*ours), seconds(*theirs)) for _ in range(pairs)]
    ratios = sorted(their / our for our, their in rounds)
    mine, other = (len(ours[1]) / statistics.median(side) for side in zip(*rounds, strict=True))
    print(
        f"{what:32}  ours {mine:9,.0f}  infini-gram {other:9,.0f} queries/s  ratio {mine / other:5.1f} "
        f"({ratios[0]:.1f}–{ratios[-1]:.1f}, {pairs} pairs)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--tokens", type=int, default=40_000_000)
    parser.add_argument("--vocab-size", type=int, default=16_384)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("build/infini-gram"))
    asked = parser.parse_args()
    if not 300 <= asked.vocab_size < THEIR_SEPARATOR:
        raise SystemExit("--vocab-size has to lie between 300 and 65,534: infini-gram's tokens have two bytes here")
    work = asked.work.resolve()

    engine_class = install(work / "package")
    corpus = make_corpus(texts_of(asked.folder), asked.tokens, asked.vocab_size)
    print(
        f"{len(corpus.tokens):,} tokens, {len(corpus.names):,} documents, {len(corpus.held_out):,} held out; "
        f"{processor_name()}, {cores():g} cores, {datetime.date.today()}"
    )
    memory, our_build = our_memory(corpus, work / "ours")
    engine, their_build = their_engine(corpus, engine_class, work / "package", work / "theirs")
    rate = len(corpus.tokens) / 1e6
    print(
        f"build  ours {rate / our_build:.2f} (1 core)  infini-gram {rate / their_build:.2f} M tokens/s "
        f"({cores():g} cores)  ratio {their_build / our_build:.1f}"
    )

    draw = np.random.default_rng(0)
    counted, asked_of = ngrams(corpus, asked.queries, draw), prompts(corpus, asked.queries, draw)

    def theirs(ids: Ids) -> list[int]:
        return np.where(ids == corpus.separator, THEIR_SEPARATOR, ids).tolist()

    their_counted = [theirs(row) for row in counted]
    their_asked = [(theirs(row[:-1]), int(row[-1])) for row in asked_of]

    def count(row: Ids) -> int:
        return memory.count(row, len(row), len(row))

    def their_count(row: list[int]) -> int:
        return int(engine.count(input_ids=row)["count"])

    def their_probability(query: tuple[list[int], int]) -> dict[str, Any]:
        found: dict[str, Any] = engine.infgram_prob(prompt_ids=query[0], cont_id=query[1])
        return found

    def their_followers(query: tuple[list[int], int]) -> dict[str, Any]:
        found: dict[str, Any] = engine.infgram_ntd(prompt_ids=query[0], max_support=SUPPORT)
        return found

    ours = [count(row) for row in counted]
    equal = sum(a == their_count(row) for a, row in zip(ours, their_counted, strict=True))
    print(f"counts equal {equal:,}/{len(ours):,}; {ours.count(0) / len(ours):.0%} of the n-grams don't occur")
    same = 0
    for row, query in zip(asked_of, their_asked, strict=True):
        length, total, hits = our_probability(memory, row)
        found = their_probability(query)
        exact = (length, total, hits) == (found["suffix_len"], found["prompt_cnt"], found["cont_cnt"])
        same += exact and found["prob"] == hits / total
    print(f"∞-gram probabilities equal {same:,}/{len(asked_of):,}")
    alike = exact_ones = 0
    for row, query in zip(asked_of, their_asked, strict=True):
        found = their_followers(query)
        if found["approx"]:
            continue
        exact_ones += 1
        tokens, followed = our_followers(memory, row)
        listed = {token: entry["cont_cnt"] for token, entry in found["result_by_token_id"].items()}
        alike += listed == dict(zip(tokens.tolist(), followed.tolist(), strict=True))
    print(f"∞-gram distributions equal {alike:,}/{exact_ones:,}; infini-gram's others are approximate by its design")
    if (equal, same, alike) != (len(ours), len(asked_of), exact_ones):
        raise SystemExit("the answers differ: no speed to speak of")

    report("count of an n-gram", (count, counted), (their_count, their_counted), asked.pairs)
    probability = (lambda row: our_probability(memory, row), asked_of)
    report("∞-gram probability", probability, (their_probability, their_asked), asked.pairs)
    some = slice(len(asked_of) // 10)  # infini-gram starts threads for each: minutes for all of them
    distribution = (lambda row: our_followers(memory, row), asked_of[some])
    report("∞-gram distribution", distribution, (their_followers, their_asked[some]), asked.pairs)

    # infini-gram has no call for many queries at once.
    ends = np.cumsum([len(row) for row in counted])
    runs = np.stack([ends - [len(row) for row in counted], ends], axis=1)
    joined = np.concatenate(counted)
    if counts_of_runs(memory, joined, runs).tolist() != ours:
        raise SystemExit("counts of many n-grams at once differ from those one by one")
    once = seconds(lambda _: counts_of_runs(memory, joined, runs), [None] * asked.pairs) / asked.pairs
    print(f"counts of all at once             ours {len(counted) / once:9,.0f} queries/s")


if __name__ == "__main__":
    main()
