"""BM25: this project's postings and bm25s, same tokens, same top 10, in one run.

    python benchmarks/bm25_vs_bm25s.py [--megabytes 20] [--queries 500] [--pairs 5]

The corpus is the source of the standard library and whatever is installed beside it, cut into chunks; the queries are
titles of chunks. Tokenizing is the same for both and is not timed; building and searching are, alternating, in
processor seconds of one thread. Scores are compared first: without that a ratio says nothing.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import bm25s
import numpy as np

from groundup.corpus.document import make_document
from groundup.retrieval.analyzer import Analyzer, count_ids, count_terms
from groundup.retrieval.chunk import chunk_document
from groundup.retrieval.sparse import Postings

K = 10


def chunks(megabytes: float) -> list[tuple[str, str]]:
    """(title, indexed text) until that many characters are read."""
    found: list[tuple[str, str]] = []
    size = 0
    roots = (Path(sysconfig.get_paths()["stdlib"]), Path(sysconfig.get_paths()["purelib"]))
    for path in (path for root in roots for path in sorted(root.rglob("*.py"))):
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        document = make_document(path.name, text, group="", title=path.name, kind="code", language="python")
        found += [(chunk.title, chunk.indexed_text) for chunk in chunk_document(document)]
        size += len(text)
        if size > megabytes * 1e6:
            break
    return found


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def report(what: str, ours: list[float], theirs: list[float], unit: str, scale: float) -> None:
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    our, their = statistics.median(ours) * scale, statistics.median(theirs) * scale
    print(
        f"{what:24}  ours {our:9.3f}  bm25s {their:9.3f} {unit}  "
        f"ratio {statistics.median(ratios):5.2f} ({min(ratios):.2f}–{max(ratios):.2f}, {len(ratios)} pairs)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()

    passages = chunks(options.megabytes)
    analyzer = Analyzer()
    texts = [text for _, text in passages]
    size = sum(len(text) for text in texts)
    before = time.process_time()
    counted = count_terms(texts, analyzer)
    rate = size / 1e6 / (time.process_time() - before)
    print(f"{len(texts):,} chunks, {size / 1e6:.1f} MB; analysed and counted at {rate:.1f} MB a second of one core")
    place = {term: number for number, term in enumerate(counted.vocabulary)}
    tokens = [analyzer.terms(text) for text in texts]
    ids = [[place[term] for term in row] for row in tokens]
    draw = np.random.default_rng(0)
    titles = [passages[i][0] for i in draw.choice(len(passages), min(options.queries, len(passages)), replace=False)]
    queries = [sorted({place[t] for t in analyzer.terms(title) if t in place}) for title in titles]
    queries = [query for query in queries if query]

    def theirs_built() -> bm25s.BM25:
        peer = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numba")
        peer.index((ids, place), show_progress=False)
        return peer

    peer, mine = theirs_built(), Postings.build(counted)
    rows = [np.array(row, np.int32) for row in ids]

    def search_theirs() -> object:
        return peer.retrieve(queries, k=K, sorted=True, show_progress=False, n_threads=1)

    def search_ours() -> list[np.ndarray]:
        return [mine.bm25(query, K).scores for query in queries]

    (_, their_scores), our_scores = search_theirs(), search_ours()  # also compiles both
    same = sum(np.allclose(a, b[: len(a)], atol=1e-4) for a, b in zip(our_scores, their_scores, strict=True))
    print(f"top {K} scores equal to 1e-4 for {same:,} of {len(queries):,} queries")

    pairs = range(options.pairs)
    build = [(timed(lambda: Postings.build(count_ids(rows, counted.vocabulary))), timed(theirs_built)) for _ in pairs]
    report("build from term numbers", [a for a, _ in build], [b for _, b in build], "s", 1)
    search = [(timed(search_ours), timed(search_theirs)) for _ in pairs]
    report(f"search, top {K}", [a for a, _ in search], [b for _, b in search], "ms/query", 1000 / len(queries))
    print(f"{platform.processor() or platform.machine()}, bm25s {bm25s.__version__}, {datetime.date.today()}")


if __name__ == "__main__":
    main()
