"""One training step (forward, loss, backward) of our decoder, beside transformers' Qwen3 and GPT-2 of like size.

    python benchmarks/training_step_vs_transformers.py [--width 256 --layers 6 --length 512 --batch 4 --vocabulary 4096]

Steps alternate, and figures are seconds of processor time on one thread, so that other programs disturb them little.
`products` are the step's matrix products alone, the least any step of this shape can take (attention scores left out).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import transformers

from groundup.nn.config import TransformerConfig, decoder_config
from groundup.nn.losses import summed_cross_entropy
from groundup.nn.transformer import Transformer


def seconds(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def our_step(config: TransformerConfig, tokens: torch.Tensor) -> Callable[[], None]:
    model = Transformer(config)

    def step() -> None:
        nats, count = summed_cross_entropy(model, model(tokens[:, :-1]), tokens[:, 1:])
        (nats / count).backward()
        model.zero_grad(set_to_none=True)

    return step


def their_step(config: TransformerConfig, tokens: torch.Tensor, family: str) -> tuple[Callable[[], None], int]:
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
        logits = model(input_ids=tokens[:, :-1]).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        model.zero_grad(set_to_none=True)

    return step, sum(parameter.numel() for parameter in model.parameters())


def products(config: TransformerConfig, tokens: int) -> Callable[[], None]:
    queries, keys, width, ffn = (
        config.heads * config.head_dim,
        config.kv_heads * config.head_dim,
        config.width,
        config.ffn_width,
    )
    shapes = [
        (width, queries),
        (width, keys),
        (width, keys),
        (queries, width),
        (width, ffn),
        (width, ffn),
        (ffn, width),
    ]
    shapes = shapes * config.layers + [(width, config.vocab_size)]
    made = [(torch.randn(tokens, i), torch.randn(o, i), torch.randn(tokens, o)) for i, o in dict.fromkeys(shapes)]
    by_shape = dict(zip(dict.fromkeys(shapes), made, strict=True))

    def work() -> None:
        for shape in shapes:
            x, weight, gradient = by_shape[shape]
            x @ weight.T
            gradient @ weight
            gradient.T @ x

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("width", 256),
        ("layers", 6),
        ("length", 512),
        ("batch", 4),
        ("vocabulary", 4096),
        ("pairs", 5),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    torch.set_num_threads(1)
    config = decoder_config(a.vocabulary, a.width, a.layers, context_length=a.length)
    tokens = torch.randint(0, a.vocabulary, (a.batch, a.length + 1), generator=torch.Generator().manual_seed(0))
    ours, least = our_step(config, tokens), products(config, a.batch * a.length)
    rivals = {family: their_step(config, tokens, family) for family in ("qwen3", "gpt2")}
    works = {"ours": ours, "products": least, **{family: step for family, (step, _) in rivals.items()}}
    for work in works.values():
        work()  # not counted: it pays for pages and generated code
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(a.pairs):
        for name, work in works.items():
            times[name].append(seconds(work))
    sizes = {"ours": config.parameters(), **{family: size for family, (_, size) in rivals.items()}}
    print(f"{a.batch} x {a.length} tokens, torch {torch.__version__}, one thread, {a.pairs} rounds")
    for name, taken in times.items():
        ratios = sorted(theirs / mine for theirs, mine in zip(taken, times["ours"], strict=True))
        size = f"{sizes[name] / 1e6:5.2f} M" if name in sizes else "       "
        print(
            f"{name:9} {size}  {statistics.median(taken):6.3f} s  "
            f"{statistics.median(ratios):4.2f} x ours ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
