"""Our decoder beside a GPT-2 of `transformers` trained with AdamW: same minutes, same text, same tokenizer, like size.

    python -m venv .venv-bench && .venv-bench/bin/pip install -e . transformers
    OMP_NUM_THREADS=2 .venv-bench/bin/python benchmarks/decoder_vs_transformers_gpt2.py --minutes 4

What is read: .py files of the standard library and of the smallest site-packages of this Python, up to --megabytes;
every fiftieth file by hash is held out. Ours trains for --minutes by tokens (a few steps are timed first), then GPT-2
by the clock for as long as ours took, evaluations included, on a machine that should have nothing else to do. GPT-2
gets the rate that was best for it (GPT2_RATE). Both are then scored by `groundup.evaluation.bits` on the same held-out
documents, every byte counted.

With --only ours|gpt2 one of them runs alone; --gpt2-rate tries another rate. The last line is the verdict.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import platform
import sysconfig
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from groundup.evaluation.bits import bits_per_byte, score_documents
from groundup.machine import cores, measure, use_threads
from groundup.nn.config import TransformerConfig
from groundup.nn.transformer import Transformer
from groundup.tokens.loader import Batches
from groundup.tokens.shards import Shards, write_shards
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe
from groundup.training.decoder import train_decoder
from groundup.training.defaults import choose_decoder
from groundup.training.rate import measure_rate

# AdamW's peak rate and batch, the best of three runs of 400,000 tokens (2 × 128, windows of 256, bits per byte): 3e-3
# and 2,048 tokens a batch 2.623, 1e-2 and 2,048 2.709, 6e-3 and 1,024 2.589. GPT-2's own 6e-4 is for a model a hundred
# times as large.
GPT2_RATE, GPT2_BATCH_TOKENS = 6e-3, 1024


@dataclasses.dataclass(frozen=True)
class Text:
    id: str
    text: str


def read(megabytes: float) -> tuple[list[Text], list[Text]]:
    """(training, held out) documents: the standard library first, then packages from the smallest up while they fit."""
    site, library = (Path(sysconfig.get_paths()[name]) for name in ("purelib", "stdlib"))
    own = [path for path in sorted(library.rglob("*.py")) if "site-packages" not in path.parts]
    packages: dict[str, list[Path]] = {}
    for path in sorted(site.rglob("*.py")):
        packages.setdefault(path.relative_to(site).parts[0], []).append(path)
    sizes = {name: sum(path.stat().st_size for path in paths) for name, paths in packages.items()}
    left, seen, train, held_out = megabytes * 1e6, set(), [], []
    for paths in (own, *(packages[name] for name in sorted(packages, key=lambda name: (sizes[name], name)))):
        size = sum(path.stat().st_size for path in paths)
        if size > left and paths is not own:
            continue
        for path in paths:
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, ValueError):
                continue
            digest = hashlib.sha256(text.encode()).hexdigest()
            if text.strip() and digest not in seen:
                seen.add(digest)
                (train if int(digest[:8], 16) % 50 else held_out).append(Text(digest[:32], text))
                left -= len(text.encode())
    return train, held_out


def train_ours(
    shards: Shards, held_out: Shards, minutes: float, gflops: float, seed: int
) -> tuple[Transformer, str, float]:
    """The shape that the rule picks; its token count from steps timed now, then trained to the end of its schedule."""
    chosen = choose_decoder(60 * minutes, gflops, len(shards.tokens), vocab_size=shards.vocab_size, seed=seed)
    rate = measure_rate(chosen.config, chosen.plan.batch, chosen.plan.length, seconds=5)
    plan = dataclasses.replace(chosen.plan, tokens=int(60 * minutes * rate), save_every_tokens=10**12)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as work:
        result = train_decoder(shards, chosen.config, plan, Path(work), held_out)
    spent = time.perf_counter() - begun
    print("  curve", *(f"{p['tokens'] / 1e6:.2f}M {p['held_out_bits_per_byte']:.3f}" for p in result.curve
                       if "held_out_bits_per_byte" in p), sep="\n    ")  # fmt: skip
    config = chosen.config
    return (
        result.model,
        f"ours {config.parameters() / 1e6:.2f} M parameters ({config.layers} × {config.width}, length {plan.length}), "
        f"{result.tokens / 1e6:.2f} M tokens in {spent:.0f} s, {result.tokens_per_second:,.0f} tokens/s",
        spent,
    )


class GPT2(nn.Module):
    """transformers' GPT-2 with the face that `evaluation.bits` asks for."""

    def __init__(self, vocab_size: int, width: int, layers: int, length: int) -> None:
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        self.net = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocab_size, n_positions=length, n_embd=width, n_layer=layers, n_head=max(1, width // 32),
                resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, use_cache=False,
            )
        )  # fmt: skip

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.net.transformer(tokens).last_hidden_state
        return hidden

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net.lm_head(hidden)
        return out


def train_gpt2(
    shards: Shards, shape: TransformerConfig, batch_tokens: int, seconds: float, rate: float, seed: int
) -> tuple[GPT2, str]:
    """AdamW (betas .9, .95, decay .1 on matrices), 5 % warm-up, then linear to 0; by the clock, so that it spends its
    minutes exactly."""
    torch.manual_seed(seed)
    model = GPT2(shards.vocab_size, shape.width, shape.layers, shape.context_length)
    model.train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True)
    batches = Batches(shards, batch_tokens // shape.context_length, shape.context_length, seed)
    begun, step = time.perf_counter(), 0
    while (share := (time.perf_counter() - begun) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, share / 0.05 + 0.01, (1 - share) / 0.95)
        tokens, targets = (torch.from_numpy(array) for array in batches.at(step))
        logits = model.logits(model(tokens))
        nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
    seen, spent = step * batches.batch * batches.length, time.perf_counter() - begun
    count = sum(p.numel() for p in model.parameters())
    return model, (
        f"gpt2 {count / 1e6:.2f} M parameters ({shape.layers} × {shape.width}), "
        f"{seen / 1e6:.2f} M tokens in {spent:.0f} s, {seen / spent:,.0f} tokens/s, rate {rate:g}"
    )


def score(model: nn.Module, tokenizer: Tokenizer, held_out: list[Text], length: int) -> float:
    model.eval()
    documents = held_out  # every byte of every held-out document
    return float(bits_per_byte(score_documents(model, tokenizer, documents, context=length)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--megabytes", type=float, default=60.0)
    parser.add_argument("--vocab-size", type=int, default=None)
    parser.add_argument("--only", choices=["ours", "gpt2"])
    parser.add_argument("--gpt2-rate", type=float, default=GPT2_RATE)
    parser.add_argument("--gpt2-batch-tokens", type=int, default=GPT2_BATCH_TOKENS)
    parser.add_argument("--gflops", type=float, help="choose the shape for this speed, not for the one measured now")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()

    threads = use_threads()
    gflops = asked.gflops or measure().formats["fp32"]
    train, held_out = read(asked.megabytes)
    text_bytes = sum(len(text.text.encode()) for text in train)
    vocab_size = asked.vocab_size or choose_decoder(60 * asked.minutes, gflops, text_bytes // 3).config.vocab_size
    tokenizer = train_bpe((text.text for text in train), vocab_size)
    bits: dict[str, float] = {}
    seconds = 60 * asked.minutes
    with tempfile.TemporaryDirectory() as folder:
        shards = write_shards(Path(folder) / "train", tokenizer, train)
        unseen = write_shards(Path(folder) / "held_out", tokenizer, held_out)
        print(f"{text_bytes / 1e6:.1f} MB of training text, {len(shards.tokens) / 1e6:.1f} M tokens of {vocab_size:,}; "
              f"{len(held_out)} files held out; fp32 {gflops:.0f} GFLOP/s, {threads} threads")  # fmt: skip
        chosen = choose_decoder(60 * asked.minutes, gflops, len(shards.tokens), vocab_size=shards.vocab_size)
        for name in ("ours", "gpt2"):
            if asked.only not in (None, name):
                continue
            if name == "ours":
                model, line, seconds = train_ours(shards, unseen, asked.minutes, gflops, asked.seed)
            else:
                model, line = train_gpt2(
                    shards, chosen.config, asked.gpt2_batch_tokens, seconds, asked.gpt2_rate, asked.seed
                )
            bits[name] = score(model, tokenizer, held_out, chosen.plan.length)
            print(f"{line}: {bits[name]:.3f} bits per byte", flush=True)
    place = f"{platform.processor() or platform.machine()}, {cores()} cores, {datetime.date.today()}"
    if len(bits) == 2:
        print(
            f"decoder, {asked.minutes:g} min each  ours {bits['ours']:.3f}  gpt2 {bits['gpt2']:.3f} bits per byte  "
            f"difference {bits['gpt2'] - bits['ours']:+.3f}  {place}"
        )


if __name__ == "__main__":
    main()
