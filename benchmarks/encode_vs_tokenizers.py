"""Encoding many files: ours (`Tokenizer.encode_many`) beside the `tokenizers` library, alternating, in one run.

    python benchmarks/encode_vs_tokenizers.py [FOLDER] [--megabytes 20] [--pairs 5]

FOLDER: read for .py files; the standard library if left out. Both encode the same files with one tokenizer, trained
on them; all ids are compared first. Both may use all cores. Prints one line: speeds, ratio of the medians, range of the
ratios of the pairs.
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
import tokenizers

from groundup.machine import cores
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe


def read(folder: Path, megabytes: float) -> list[str]:
    texts: list[str] = []
    left = megabytes * 1e6
    for path in sorted(folder.rglob("*.py")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
        texts.append(text)
        left -= len(text.encode())
        if left < 0:
            break
    return texts


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_paths()["stdlib"]))
    parser.add_argument("--megabytes", type=float, default=20.0)
    parser.add_argument("--vocab-size", type=int, default=4096)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()

    texts = read(asked.folder, asked.megabytes)
    size = sum(len(text.encode()) for text in texts)
    trained = train_bpe(texts, asked.vocab_size)
    theirs = tokenizers.Tokenizer.from_str(trained.definition)
    theirs.encode_special_tokens = True

    def encode_theirs() -> list[list[int]]:
        return [row.ids for row in theirs.encode_batch_fast(texts, add_special_tokens=False)]

    def fresh() -> Tokenizer:  # a new one each time: building it and checking its sample is part of the work
        return Tokenizer(theirs, separator_id=trained.separator_id, eos_ids=trained.eos_ids)

    def encode_ours() -> list[np.ndarray]:
        return fresh().encode_many(texts)

    ours, reference = encode_ours(), encode_theirs()
    equal = sum(a.tolist() == b for a, b in zip(ours, reference, strict=True))
    if equal != len(texts):
        raise SystemExit(f"ids differ on {len(texts) - equal} of {len(texts)} files: no speed to speak of")
    pairs = [(seconds(encode_ours), seconds(encode_theirs)) for _ in range(asked.pairs)]
    ratios = sorted(b / a for a, b in pairs)
    mine, other = (size / 1e6 / statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"encode {size / 1e6:.0f} MB  ours {mine:.1f}  tokenizers {other:.1f} MB/s  ratio {mine / other:.1f} "
        f"({ratios[0]:.1f}–{ratios[-1]:.1f}, {len(pairs)} pairs)  ids equal {equal:,}/{len(texts):,}  "
        f"{platform.processor() or platform.machine()}, {cores()} cores, {datetime.date.today()}"
    )


if __name__ == "__main__":
    main()
