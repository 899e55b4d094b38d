"""Sentence vectors: this project's core and sentence-transformers, the same folder, the same texts, in one run.

    python -m venv .venv-bench && .venv-bench/bin/pip install torch==2.13.0 sentence-transformers -e .
    .venv-bench/bin/python benchmarks/encode_vs_sentence_transformers.py [--encoder minilm] [--texts 256] [--pairs 5]

The texts are functions and sections of the standard library's source, of mixed length, as an index holds them. All
encode them with the same threads, alternating: theirs in fp32, ours in fp32, int8 and, where the processor multiplies
it fast, bf16. Vectors are compared first. What int8 and bf16 cost in ranking: `encoder_formats.py`.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from groundup import machine
from groundup.corpus.document import make_document
from groundup.interop.encoders import load_encoder
from groundup.interop.locate import find_encoder
from groundup.interop.sentence_encoder import NumberFormat
from groundup.retrieval.chunk import chunk_document


def passages(count: int) -> list[str]:
    """Every so many-th chunk of the standard library, `count` in all."""
    found: list[str] = []
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        document = make_document(path.name, text, group="", title=path.name, kind="code", language="python")
        found += [chunk.indexed_text for chunk in chunk_document(document)]
    return found[:: max(1, len(found) // count)][:count]


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    folder = find_encoder(options.encoder)
    texts = passages(options.texts)
    formats: list[NumberFormat] = ["fp32", "int8"]
    if machine.profile().best_format == "bf16":
        formats.append("bf16")
    ours = {number_format: load_encoder(folder).use_format(number_format) for number_format in formats}
    peer = SentenceTransformer(str(folder), device="cpu")

    def their_vectors() -> np.ndarray:
        return np.asarray(peer.encode(texts, normalize_embeddings=True, show_progress_bar=False))

    print(f"{datetime.date.today()}, {machine.profile().processor}, {options.threads} threads, {len(texts)} texts")
    expected = their_vectors()
    for number_format, encoder in ours.items():
        vectors = encoder.encode(texts, kind="document")
        print(f"{number_format}: vectors differ by {np.abs(vectors - expected).max():.1e} at most, "
              f"cosine {(vectors * expected).sum(1).min():.4f} at least")  # fmt: skip
    works: dict[str, Callable[[], object]] = {"sentence-transformers": their_vectors}
    works |= {name: lambda encoder=encoder: encoder.encode(texts, kind="document") for name, encoder in ours.items()}
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.pairs):
        for name, work in works.items():
            times[name].append(seconds(work))
    for name, taken in times.items():
        ratios = [their / our for our, their in zip(taken, times["sentence-transformers"], strict=True)]
        print(f"{name:22} {len(texts) / statistics.median(taken):6.1f} texts/s  {statistics.median(ratios):4.2f} times "
              f"as fast ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} rounds)")  # fmt: skip


if __name__ == "__main__":
    main()
