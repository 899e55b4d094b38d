"""One training step (forward, loss, backward) of our decoder, beside transformers' Qwen3 and GPT-2 of like size.

    python benchmarks/training_step_vs_transformers.py [--size 5|50|110] [--format best|fp32|bf16] [--threads 2]

Sizes are millions of parameters: 5 (256 × 6, vocabulary 4,096), 50 (512 × 10, 32,768), 110 (768 × 12, 32,768). All
have the same weights' shapes and batch and multiply in the same format (bf16 under autocast, weights and gradients in
fp32). Steps alternate. `linear layers` are ours alone, the head among them, forward and backward on inputs that are
there already: the least a step of this shape takes. Peak memory is each one's own process'.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from groundup import machine
from groundup.nn.config import TransformerConfig, decoder_config
from groundup.nn.linear import Linear
from groundup.nn.losses import summed_cross_entropy
from groundup.nn.transformer import Transformer

SIZES = {"5": (256, 6, 4096), "50": (512, 10, 32_768), "110": (768, 12, 32_768)}  # width, layers, vocabulary
Step = Callable[[], None]


def products_in(number_format: str) -> contextlib.AbstractContextManager[object]:
    return torch.autocast("cpu", dtype=torch.bfloat16) if number_format == "bf16" else contextlib.nullcontext()


def our_step(config: TransformerConfig, tokens: torch.Tensor, number_format: str) -> Step:
    model = Transformer(config)

    def step() -> None:
        with products_in(number_format):
            nats, count = summed_cross_entropy(model, model(tokens[:, :-1]), tokens[:, 1:])
        (nats / count).backward()
        model.zero_grad(set_to_none=True)

    return step


def linear_layers(config: TransformerConfig, tokens: int, number_format: str) -> Step:
    layers = [module for module in Transformer(config).modules() if isinstance(module, Linear)]
    head = Linear(config.width, config.vocab_size, bias=False)
    torch.nn.init.normal_(head.weight, std=0.02)
    dtype = torch.bfloat16 if number_format == "bf16" else torch.float32
    sizes = {size for layer in [*layers, head] for size in (layer.in_features, layer.out_features)}
    rows = {size: torch.randn(tokens, size).to(dtype).requires_grad_() for size in sizes}
    upstreams = {size: torch.randn(tokens, size).to(dtype) for size in sizes}

    def step() -> None:
        for layer in [*layers, head]:
            with products_in(number_format):
                y = layer(rows[layer.in_features])
            torch.autograd.grad(y, (rows[layer.in_features], layer.weight), upstreams[layer.out_features])

    return step


def their_step(config: TransformerConfig, tokens: torch.Tensor, number_format: str, family: str) -> Step:
    ends = {"bos_token_id": None, "eos_token_id": None}
    if family == "qwen3":
        model = transformers.Qwen3ForCausalLM(
            transformers.Qwen3Config(
                vocab_size=config.vocab_size, hidden_size=config.width, num_hidden_layers=config.layers,
                num_attention_heads=config.heads, num_key_value_heads=config.kv_heads, head_dim=config.head_dim,
                intermediate_size=config.ffn_width, max_position_embeddings=config.context_length,
                tie_word_embeddings=True, use_cache=False, **ends,
            )
        )  # fmt: skip
    else:
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=config.vocab_size, n_embd=config.width, n_layer=config.layers, n_head=config.heads,
                n_positions=config.context_length, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, use_cache=False, **ends,
            )
        )  # fmt: skip
    model.train()

    def step() -> None:
        with products_in(number_format):
            logits = model(input_ids=tokens[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        model.zero_grad(set_to_none=True)

    return step


def make(name: str, config: TransformerConfig, tokens: torch.Tensor, number_format: str) -> Step:
    if name == "ours":
        return our_step(config, tokens, number_format)
    if name == "linear layers":
        return linear_layers(config, tokens[:, 1:].numel(), number_format)
    return their_step(config, tokens, number_format, name)


def peak_memory(name: str) -> float:
    """MiB of a process that takes three steps."""
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="50")
    parser.add_argument("--format", choices=("best", "fp32", "bf16"), default="best")
    for name, default in (("length", 512), ("batch", 4), ("rounds", 7), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    width, layers, vocabulary = SIZES[a.size]
    config = decoder_config(vocabulary, width, layers, context_length=a.length)
    tokens = torch.randint(0, vocabulary, (a.batch, a.length + 1), generator=torch.Generator().manual_seed(0))
    number_format = machine.profile().best_format if a.format == "best" else a.format
    if a.memory_of:
        step = make(a.memory_of, config, tokens, number_format)
        for _ in range(3):
            step()
        status = Path("/proc/self/status").read_text()
        print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024)  # a new process' ru_maxrss begins with its parent's
        return
    steps = {name: make(name, config, tokens, number_format) for name in ("ours", "linear layers", "qwen3", "gpt2")}
    for step in steps.values():
        step()  # not counted: it pays for pages and generated code
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(a.rounds):
        for name, step in steps.items():
            begun = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begun)
    print(f"{config.parameters() / 1e6:.1f} M parameters, {a.batch} x {a.length} tokens, {number_format}, "
          f"{a.threads} threads, torch {torch.__version__}, {a.rounds} rounds")  # fmt: skip
    for name, taken in times.items():
        ratios = sorted(theirs / mine for theirs, mine in zip(taken, times["ours"], strict=True))
        memory = "" if name == "linear layers" else f"   peak {peak_memory(name):6.0f} MiB"
        print(f"{name:13} {statistics.median(taken):6.3f} s   {statistics.median(ratios):4.2f} x ours "
              f"({ratios[0]:.2f} to {ratios[-1]:.2f}){memory}")  # fmt: skip


if __name__ == "__main__":
    main()
