"""What memory does to texts that have nothing to do with the corpus: it must not make them dearer to predict.

    python benchmarks/memory_on_foreign_texts.py [FOLDER...] --store STORE [--base smollm2] [--minutes 5] [--bytes 1500]
        [--skip 0]

FOLDER: in BEIR's layout; by default Cranfield and SciFact, beside the checkout. The memory is that of the last run's
training documents, with its backoff and gate as the run fitted them. Of each folder's documents, in an order drawn
once, title and text are scored up to --bytes by the base alone and with memory, until the folder's part of the minutes
is over; the first --skip are left out. (The numbers of `infinigram.trust` were chosen on 128 of Cranfield's and 96 of
SciFact's.) Memory speaks in two ways: as far as it is trusted in each text, and everywhere. Per folder and way: bits
per byte with and without, the difference with its paired 95 % bootstrap interval over documents, by how many bits the
worst document got dearer, and how often memory found anything. No worse: the interval's end above zero is under
--margin of the base's bits per byte.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from groundup.evaluation.bits import record_documents
from groundup.evaluation.bootstrap import paired_ratio
from groundup.evaluation.memory_scores import Surveyed, mixed_nats
from groundup.evaluation.scores import cut
from groundup.evaluation.verdict import Estimate
from groundup.infinigram.mixture import Mixture
from groundup.interop.base import BroughtDecoder, load_base
from groundup.interop.locate import find_base
from groundup.machine import processor_name, use_threads
from groundup.pipeline.lineage import Lineage, latest_run
from groundup.pipeline.store import Store
from groundup.stages.memory import measured_mixture

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "retrieval"
SEED = 0
WAYS = {"trusted": True, "everywhere": False}  # memory speaks so: whether its gate is cautious
BATCH = 16  # documents between two looks at the clock


@dataclass(frozen=True)
class Text:
    id: str
    text: str


@dataclass(frozen=True)
class Scored:
    """By document: bits without memory, with it by way, UTF-8 bytes. matched: tokens before which it found anything."""

    alone: list[float]
    mixed: dict[str, list[float]]
    text_bytes: list[int]
    matched: int
    tokens: int

    def difference(self, way: str) -> Estimate:
        """Bits per byte, with memory − alone."""
        return paired_ratio(self.mixed[way], self.alone, self.text_bytes, SEED)


def texts_of(folder: Path, most_bytes: int) -> list[Text]:
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        documents = [json.loads(line) for line in lines]
    texts = [Text(d["_id"], cut(f"{d.get('title', '')}\n{d['text']}".strip(), most_bytes)) for d in documents]
    kept = [text for text in texts if text.text]
    return [kept[i] for i in np.random.default_rng(SEED).permutation(len(kept))]


def score(base: BroughtDecoder, mixture: Mixture, texts: list[Text], seconds: float) -> Scored:
    assert mixture.gate is not None
    alone: list[float] = []
    mixed: dict[str, list[float]] = {way: [] for way in WAYS}
    text_bytes: list[int] = []
    matched = tokens = 0
    deadline = time.monotonic() + seconds
    for start in range(0, len(texts), BATCH):
        if alone and time.monotonic() > deadline:
            break
        context = min(2048, base.context_length)
        scores, record = record_documents(base.model, base.tokenizer, texts[start : start + BATCH], context=context)
        surveyed = Surveyed.of(mixture.memory, record)
        for way, cautious in WAYS.items():
            gate = replace(mixture.gate, cautious=cautious)
            nats = mixed_nats(mixture.memory, mixture.backoff, gate, surveyed)
            for index, one in enumerate(scores):
                at = record.document(index)
                mixed[way].append(one.bits + float(nats[at].sum() + record.logp[at].sum()) / math.log(2))
        alone += [one.bits for one in scores]
        text_bytes += [one.text_bytes for one in scores]
        matched += int((surveyed.joined().counts[:, 0] > 0).sum())
        tokens += len(record.tokens)
    return Scored(alone, mixed, text_bytes, matched, tokens)


def told(found: Scored, way: str, margin: float) -> str:
    size, gap, after = sum(found.text_bytes), found.difference(way), found.mixed[way]
    alone, mixed = sum(found.alone) / size, sum(after) / size
    changes = [(b - a) / size for a, b, size in zip(found.alone, after, found.text_bytes, strict=True)]
    worst, dearer = max(changes), sum(change > 0 for change in changes)
    verdict = "no worse" if gap.high <= margin * alone else "WORSE" if gap.low > 0 else "not told apart"
    return (
        f"{gap.n:,} documents, {size / 1e3:.0f} kB: alone {alone:.4f}, with memory {mixed:.4f} bits per byte, "
        f"difference {gap.value:+.4f} ({gap.low:+.4f} to {gap.high:+.4f}, {gap.value / alone:+.2%}): {verdict}; "
        f"{dearer} documents dearer, the worst by {worst:+.4f}; "
        f"a match before {found.matched / found.tokens:.0%} of the tokens"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="in BEIR's layout")
    parser.add_argument("--store", type=Path, default=Path("groundup-store"))
    parser.add_argument("--base", default="smollm2", help="the base of the run")
    parser.add_argument("--minutes", type=float, default=5, help="over all folders")
    parser.add_argument("--bytes", type=int, default=1_500, help="of a document, at most")
    parser.add_argument("--skip", type=int, default=0, help="documents of each folder, in the order drawn")
    parser.add_argument("--margin", type=float, default=0.001, help="share of the base's bits that counts as nothing")
    asked = parser.parse_args()

    threads = use_threads()
    store = Store(asked.store)
    run = latest_run(store)
    assert run is not None, "the store holds no run"
    artifacts = Lineage(store, run).artifacts()
    base, mixture = load_base(find_base(asked.base)), measured_mixture(artifacts["memory-base"], artifacts["mix-base"])
    print(f"{datetime.date.today()}, {processor_name()}, {threads} threads, {asked.base}", flush=True)
    folders = asked.folders or [SHARED / "cranfield", SHARED / "scifact"]
    for folder in folders:
        texts = texts_of(folder, asked.bytes)[asked.skip :]
        found = score(base, mixture, texts, 60 * asked.minutes / len(folders))
        for way in WAYS:
            print(f"{folder.name:10}  {way:10}  {told(found, way, asked.margin)}", flush=True)


if __name__ == "__main__":
    main()
