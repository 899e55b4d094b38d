"""From texts of 500 tokens to their spans with the documents named, and every span looked for by plain search.

    python benchmarks/trace.py [FOLDER …] [--tokens 40e6] [--texts 200] [--tokenizer FOLDER]

FOLDER: read for .py files; the standard library and installed packages if left out. One file in fifty is held out and
traced from a place in its middle. The tokenizer is trained on the files unless one is named. Prints one line: the time
of a trace without a look into a document (encoding included), the time with sources located, and how many spans that
were located differ from the document's text (must be 0).
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sysconfig
import time
from pathlib import Path

import numpy as np

from groundup.infinigram.memory import Memory
from groundup.infinigram.segment import Segment
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe
from groundup.tracing.tracer import Tracer

LENGTH = 500  # tokens of a text


def read(folders: list[Path]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path in sorted({path for folder in folders for path in folder.rglob("*.py")}):
        try:
            texts[str(path)] = path.read_text(encoding="utf-8")
        except (OSError, ValueError):
            continue
    return texts


def segment(texts: dict[str, str], tokenizer: Tokenizer, most: int) -> Segment:
    separator = tokenizer.separator_id
    assert separator is not None
    names, streams, size = list(texts), [], 0
    for begin in range(0, len(names), 500):
        for ids in tokenizer.encode_many([texts[name] for name in names[begin : begin + 500]]):
            streams.append(np.append(np.int32(separator), ids))
            size += len(ids) + 1
        if size > most:
            break
    offsets = np.cumsum([0, *(len(stream) for stream in streams)])
    return Segment.build(
        np.concatenate(streams),
        offsets,
        names[: len(streams)],
        tokenizer=tokenizer.digest,
        vocab_size=tokenizer.vocab_size,
        separator=separator,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--tokens", type=float, default=40e6)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--tokenizer", type=Path)
    asked = parser.parse_args()
    paths = sysconfig.get_paths()
    every = read(asked.folders or [Path(paths["stdlib"]), Path(paths["purelib"])])
    order = np.random.default_rng(0).permutation(len(every))
    names = [list(every)[i] for i in order]
    held_out = names[:: max(2, min(50, len(names) // 2))]
    apart = set(held_out)
    texts = {name: every[name] for name in names if name not in apart}
    sample = list(texts.values())[:2000]
    tokenizer = Tokenizer.load(asked.tokenizer) if asked.tokenizer else train_bpe(sample, 16_384)
    memory = Memory(segment(texts, tokenizer, int(asked.tokens)))
    tracer = Tracer(memory, tokenizer, lambda name: (name, name, texts[name]) if name in texts else None)

    queries = []
    for name in held_out:
        ids = tokenizer.encode(every[name])
        if len(ids) > 2 * LENGTH and len(queries) < asked.texts:
            queries.append(tokenizer.decode(ids[len(ids) // 2 :][:LENGTH]))
    tracer.trace(queries[0])  # compiles, and makes its tables

    named, located, spans, sources, wrong, lost = [], [], 0, 0, 0, 0
    for query in queries:
        begun = time.perf_counter()
        tracer.find(query)
        middle = time.perf_counter()
        traced = tracer.trace(query)
        located.append(time.perf_counter() - middle)
        named.append(middle - begun)
        spans += len(traced.spans)
        for span in traced.spans:
            shown = query[span.start : span.end]
            lost += len(span.places) - len(span.sources)
            for source in span.sources:
                sources += 1
                wrong += not texts[source.document].startswith(shown, source.start)
    first, last = np.percentile(named, [50, 95]) * 1e3
    slow, slowest = np.percentile(located, [50, 95]) * 1e3
    print(
        f"trace {LENGTH} tokens in {len(memory) / 1e6:.1f} M  documents named {first:.2f} ms (p95 {last:.2f})  "
        f"located {slow:.2f} ms (p95 {slowest:.2f})  {spans / len(queries):.1f} spans a text  "
        f"{sources:,} sources, {wrong} differ, {lost} not found  {len(queries)} texts  "
        f"{platform.processor() or platform.machine()}, {datetime.date.today()}"
    )


if __name__ == "__main__":
    main()
