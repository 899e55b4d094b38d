"""Hybrid search against the best of its parts, on sets judged by people.

    python benchmarks/hybrid_on_judged_sets.py SET... [--encoder minilm] [--format fp32|int8|bf16]

SET: folders in BEIR's layout. Every system ranks the test queries; the hybrid once with the share of the dense score
that stands in the code, and, where the set has training queries, once with the share fitted on those alone. nDCG@10
with 95 % bootstrap intervals over queries; differences are paired. On two cores MiniLM embeds some 60 abstracts a
second, so a set of 5,000 takes a minute or two; each set is embedded once into --work and reused.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from pathlib import Path

from groundup.evaluation.beir import read_beir
from groundup.evaluation.bootstrap import interval, paired
from groundup.evaluation.collection import Collection
from groundup.evaluation.ranking import ndcg_at_10
from groundup.evaluation.search_verdict import fit_dense_weight, index_collection, search_results
from groundup.interop.encoders import load_encoder
from groundup.interop.locate import find_encoder
from groundup.interop.sentence_encoder import SentenceEncoder
from groundup.machine import processor_name, use_threads
from groundup.progress import open_sink
from groundup.retrieval.fusion import DENSE_WEIGHT
from groundup.retrieval.index import Index

SEED = 0


def scores(collection: Collection, index: Index, system: str, encoder: SentenceEncoder) -> dict[str, float]:
    return ndcg_at_10(search_results(collection, index, system, encoder), collection.judgements)


def told(name: str, values: Mapping[str, float]) -> None:
    mean = interval(list(values.values()), SEED)
    print(f"  {name:28} {mean.value:.4f}  ({mean.low:.3f} to {mean.high:.3f})")


def measure(folder: Path, encoder: SentenceEncoder, work: Path) -> None:
    test = read_beir(folder)
    with open_sink("auto") as sink:
        index = index_collection(test, work / test.name, [encoder], sink)
    print(f"\n{test.note}")
    parts = {name: scores(test, index, name, encoder) for name in ("tfidf", "bm25", "dense", "rrf")}
    hybrids = {f"hybrid, dense share {DENSE_WEIGHT:g}": DENSE_WEIGHT}
    if (folder / "qrels" / "train.tsv").exists():
        fitted = fit_dense_weight(read_beir(folder, "train"), index, encoder)
        hybrids[f"hybrid, fitted share {fitted:g}"] = fitted
    best = max(("bm25", "dense"), key=lambda name: sum(parts[name].values()))
    for name, values in parts.items():
        told(name, values)
    for name, share in hybrids.items():
        index.dense_weight = share
        values = scores(test, index, "hybrid", encoder)
        told(name, values)
        difference = paired([values[q] for q in sorted(values)], [parts[best][q] for q in sorted(values)], SEED)
        print(f"    against {best}: {difference.value:+.4f} ({difference.low:+.3f} to {difference.high:+.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--format", choices=("fp32", "int8", "bf16"), default="fp32")
    parser.add_argument("--work", type=Path, default=Path("build/judged"))
    options = parser.parse_args()

    use_threads()
    encoder = load_encoder(find_encoder(options.encoder)).use_format(options.format)
    print(f"{datetime.date.today()}, {processor_name()}; encoder {options.encoder}, {options.format}")
    for folder in options.sets:
        measure(folder, encoder, options.work)


if __name__ == "__main__":
    main()
