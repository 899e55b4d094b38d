"""Sentence vectors: this project's core and sentence-transformers, the same folder, the same texts, in one run.

    python -m venv .venv-bench && .venv-bench/bin/pip install torch==2.13.0 sentence-transformers -e .
    .venv-bench/bin/python benchmarks/encode_vs_sentence_transformers.py [--encoder minilm] [--texts 256] [--pairs 5]

The texts are functions and sections of the standard library's source, of mixed length, as an index holds them. Both
encode all of them with the same threads in fp32, alternating; vectors are compared first.
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

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from groundup.corpus.document import make_document
from groundup.interop.encoders import load_encoder
from groundup.interop.locate import find_encoder
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
    ours = load_encoder(folder)
    peer = SentenceTransformer(str(folder), device="cpu")

    def our_vectors() -> np.ndarray:
        return np.asarray(ours.encode(texts, kind="document"))

    def their_vectors() -> np.ndarray:
        return np.asarray(peer.encode(texts, normalize_embeddings=True, show_progress_bar=False))

    print(f"{datetime.date.today()}, {platform.processor() or platform.machine()}, {options.threads} threads")
    print(f"{len(texts)} texts; vectors differ by {np.abs(our_vectors() - their_vectors()).max():.1e} at most")
    pairs = [(seconds(our_vectors), seconds(their_vectors)) for _ in range(options.pairs)]
    ratios = [their / our for our, their in pairs]
    our, their = (len(texts) / statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"ours {our:.1f} texts/s, sentence-transformers {their:.1f} texts/s: {statistics.median(ratios):.2f} times as "
        f"fast ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs)"
    )


if __name__ == "__main__":
    main()
