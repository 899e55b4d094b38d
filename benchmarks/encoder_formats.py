"""What int8 and bf16 cost an encoder in ranking: dense search alone on sets judged by people, every format in one run.

    python benchmarks/encoder_formats.py SET... [--encoder minilm] [--threads 2]

SET: folders in BEIR's layout. nDCG@10 over all test queries, each document one vector of title and text; differences
from fp32 are paired over queries, with 95 % bootstrap intervals. bf16 only where the processor multiplies it fast.
"""

from __future__ import annotations

import argparse
import datetime
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from groundup import machine
from groundup.evaluation.beir import read_beir
from groundup.evaluation.bootstrap import paired
from groundup.evaluation.collection import Collection
from groundup.evaluation.ranking import ndcg_at_10
from groundup.interop.encoders import load_encoder
from groundup.interop.locate import find_encoder
from groundup.interop.sentence_encoder import NumberFormat, SentenceEncoder

SEED, DEPTH = 0, 100


def ranked(collection: Collection, encoder: SentenceEncoder) -> tuple[dict[str, float], float]:
    """(nDCG@10 of each query, documents a second)."""
    texts = [f"{document.title}\n{document.text}" for document in collection.documents]
    begun = time.perf_counter()
    vectors = encoder.encode(texts, kind="document")
    rate = len(texts) / (time.perf_counter() - begun)
    queries = sorted(collection.queries)
    asked: npt.NDArray[np.float32] = encoder.encode([collection.queries[query] for query in queries], kind="query")
    results = {}
    for query, scores in zip(queries, asked @ vectors.T, strict=True):
        best = np.argsort(-scores, kind="stable")[:DEPTH]
        results[query] = {collection.documents[row].id: float(scores[row]) for row in best}
    return ndcg_at_10(results, collection.judgements), rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    formats: list[NumberFormat] = ["fp32", "int8"]
    if machine.profile().best_format == "bf16":
        formats.append("bf16")
    folder = find_encoder(options.encoder)
    print(f"{datetime.date.today()}, {machine.profile().processor}, {options.encoder}, {options.threads} threads")
    for place in options.sets:
        collection = read_beir(place)
        print(f"{collection.name}: {len(collection.documents):,} documents, {len(collection.queries)} queries")
        exact: dict[str, float] = {}
        for number_format in formats:
            values, rate = ranked(collection, load_encoder(folder).use_format(number_format))
            exact = exact or values
            order = sorted(values)
            difference = paired([values[query] for query in order], [exact[query] for query in order], SEED)
            print(f"  {number_format}  nDCG@10 {np.mean(list(values.values())):.4f}  {rate:6.1f} documents/s  "
                  f"{difference.value:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
