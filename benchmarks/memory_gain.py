"""What the corpus' memory adds to a decoder on held-out documents, by how much of them stands in the corpus already.

    groundup run --recipe recipe.yaml --store STORE      # many held-out documents: see docs/benchmarks.md
    python benchmarks/memory_gain.py STORE

Reads the last run's scores: bits of the decoder alone and with memory, both of the same bytes, with paired bootstrap
intervals over documents. Nothing is computed anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.store import Artifact, Store
from groundup.stages.memory import ALONE, BANDS, has_mixture
from groundup.stages.scores import read_scores
from groundup.stages.split import COLUMNS

BELOW = (1.01, 0.5, 0.15)  # share of a document's tokens inside matches of twelve tokens or more
RESAMPLES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    store = Store(parser.parse_args().store)
    run = latest_run(store)
    assert run is not None, "the store holds no run"
    artifacts = Lineage(store, run).artifacts()
    for decoder in ("base", "decoder"):
        if f"mix-{decoder}" in artifacts and has_mixture(artifacts[f"mix-{decoder}"]):
            report(decoder, artifacts[f"score-{decoder}"], artifacts[f"mix-{decoder}"])


def report(decoder: str, alone: Artifact, mixed: Artifact) -> None:
    plain, both, memory = read_scores(alone), read_scores(mixed), read_scores(mixed, ALONE)
    bands = mixed.read_json(BANDS)
    fitted = mixed.metrics
    print(f"\n{decoder}: fitted on {fitted['fitting_documents']} documents, {fitted['fitting_tokens']:,} tokens")
    for column, title in COLUMNS.items():
        before, after = (np.array([s.bits for s in scores[column]]) for scores in (plain, both))
        own = np.array([s.bits for s in memory[column]])
        size = np.array([s.text_bytes for s in plain[column]])
        share = np.array(bands[column]["long_match_share"])
        print(f"{title}: bits per byte, decoder → with memory (memory alone)")
        for below in BELOW:
            here = np.flatnonzero(share < below)
            if len(here) < 2:
                continue
            low, high = interval(before[here], after[here])
            gain = 1 - after[here].sum() / before[here].sum()
            which = "all" if below > 1 else f"< {below:.0%} in 12-token matches"
            bits = [each[here].sum() / size[here].sum() for each in (before, after, own)]
            print(
                f"  {which:30} {len(here):4} documents  {bits[0]:.3f} → {bits[1]:.3f} ({bits[2]:.3f})  "
                f"−{gain:.1%} ({low:.1%} to {high:.1%})"
            )
        print("  longest match      tokens  decoder → mixed bits/token   memory decides   made worse")
        for band in bands[column]["bands"]:
            if band["tokens"]:
                n = band["tokens"]
                name = f"{band['low']}–{band['high']}" if band["high"] else f"{band['low']} and more"
                print(
                    f"  {name:14} {n:10,}  {band['decoder_bits'] / n:10.2f} → {band['mixed_bits'] / n:.2f}"
                    f"{band['decided'] / n:20.1%}{band['worse'] / n:13.1%}"
                )


def interval(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """95 % of the relative gain over resampled documents."""
    random = np.random.default_rng(0)
    gains = []
    for _ in range(RESAMPLES):
        drawn = random.integers(0, len(before), len(before))
        gains.append(1 - after[drawn].sum() / before[drawn].sum())
    low, high = np.percentile(gains, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
