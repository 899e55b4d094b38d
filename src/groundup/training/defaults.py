"""From seconds and speed to a shape and a token count: the rule, in one place, to be replaced by a fit later.

Measured on 58 MB of Python (standard library and small packages, 17.9 M tokens of a 4,096-token vocabulary), 401,408
training tokens a run unless told otherwise, fp32 on one AVX2 core, seed 0, bits per byte of held-out files in windows
of 256 (2026-11-24). Differences below .01 are noise; nothing above 2 M parameters was tried.
"""

from __future__ import annotations

from dataclasses import dataclass

from groundup.nn.config import TransformerConfig, decoder_config, encoder_config
from groundup.training.optimizers import Rates
from groundup.training.plan import EncoderPlan, NumberFormat, TrainingPlan

# Share of the speed of a 256-square product that a whole training step reaches: .46 to .51 on one core for shapes of 1
# to 1.6 M parameters. The rest goes into attention, softmax and elementwise work; two cores share those less well.
UTILISATION = 0.42
# Of bf16's own speed, a little less than of fp32's: .47 to .55 beside .50 to .57, for shapes of 1 to 6 M parameters on
# two cores. A step in bf16 is then 1.7 to 1.8 times as fast.
UTILISATION_BF16 = 0.4

# Four passes over a corpus are almost worth four times as much text (Muennighoff et al. 2023).
MAX_EPOCHS = 4
# Smallest shape first. Bits per byte at equal tokens, and tokens that four minutes of 130 GFLOP/s would give:
#   vocabulary 2,048, rate of embeddings .01:  128 × 2  2.290 (batch 2,048)  3.2 M     128 × 4  2.310 (2,048)  1.8 M
#                                              192 × 3  2.214 (2,048)        1.3 M
#   vocabulary 4,096, rate of embeddings .03:  128 × 2  2.133 (2,048)        2.2 M     192 × 2  2.099 (2,048)  1.4 M
#   vocabulary 8,192, rate of embeddings .03:  128 × 2  2.063 (2,048)        1.5 M
# One run of 128 × 2 with 4,096 tokens went on to 1.2 M training tokens: 2.062 → 1.714, or -.22 a doubling. So what
# 192 × 2 and a vocabulary of 8,192 gain at equal tokens (.03, .07) is less than what they lose in tokens at equal time
# (.14, .11), and two layers are as good as four. One layer, and the larger shapes, were not tried.
SHAPES = ((128, 2), (192, 3), (256, 4), (384, 6), (512, 8), (768, 12), (1024, 16))  # (width, layers)
# Where the next shape begins: a guess between these runs and the 20 of Hoffmann et al. 2022, whose parameters leave out
# small embeddings: with 3, four minutes at 130 GFLOP/s take 128 × 2, half an hour 192 × 3.
TOKENS_PER_PARAMETER = 3.0
ENCODER_SHAPES = ((128, 1), (128, 2), (192, 3), (256, 4), (384, 6))
# Of an encoder's time. recall@10 of 273 held-out functions by their docstrings, 128 × 1, 13 s of one core: .476 with
# 4,000 pairs alone, .363 with 3,200 pairs after 20,000 masked tokens. Masked tokens want more time than minutes.
MASKED_TIME_SHARE = 0.05
MIN_PAIRS = 20_000  # seen, for the next shape: fewer teach it nothing that the smaller one doesn't learn
LENGTH = 256  # at 512, 2.398 against 2.310 bits per byte (128 × 4, vocabulary 2,048): half as many different places
MASKED_LENGTH, QUERY_LENGTH, PASSAGE_LENGTH = 128, 32, 96  # tokens; of an encoder's two parts


@dataclass(frozen=True)
class DecoderChoice:
    """reasons: "vocabulary", "shape", "tokens" in words, for the plan that a person reads."""

    config: TransformerConfig
    plan: TrainingPlan
    reasons: dict[str, str]


@dataclass(frozen=True)
class EncoderChoice:
    """reasons: "shape", "examples" in words."""

    config: TransformerConfig
    plan: EncoderPlan
    reasons: dict[str, str]


def choose_decoder(
    seconds: float,
    gflops: float,
    corpus_tokens: int,
    *,
    vocab_size: int | None = None,
    width: int | None = None,
    layers: int | None = None,
    length: int | None = None,
    batch_tokens: int | None = None,
    tokens: int | None = None,
    seed: int = 0,
    number_format: NumberFormat | str = "fp32",
) -> DecoderChoice:
    """The shape and token count that spend `seconds` best at `gflops`, the speed of all cores in `number_format`.

    corpus_tokens: of the training split, about 3 bytes each. What is given is kept, and the rest chosen around it.
    """
    reasons = {"vocabulary": "as asked for", "shape": "as asked for", "tokens": "as asked for"}
    flops_per_second = speed(gflops, number_format)
    if vocab_size is None:
        vocab_size, reasons["vocabulary"] = _vocabulary(corpus_tokens, seconds * flops_per_second)
    length = length or LENGTH

    def shape(width: int, layers: int) -> TransformerConfig:
        head_dim = 32 if width < 256 else 64
        return decoder_config(vocab_size, width, layers, context_length=length, head_dim=min(head_dim, width))

    def affordable(config: TransformerConfig) -> int:
        return max(1, int(seconds * flops_per_second / (3 * config.flops_per_token(length))))

    def bounded(config: TransformerConfig) -> int:
        return min(affordable(config), MAX_EPOCHS * max(1, corpus_tokens))

    if width and layers:
        config = shape(width, layers)
    else:
        ladder = [shape(width or w, layers or n) for w, n in SHAPES]
        fitting = [c for c in ladder if (tokens or bounded(c)) >= TOKENS_PER_PARAMETER * c.parameters()]
        config = fitting[-1] if fitting else ladder[0]
        reasons["shape"] = (
            f"the largest that sees {TOKENS_PER_PARAMETER:g} tokens a parameter"
            if fitting
            else f"the smallest; a larger one would see under {TOKENS_PER_PARAMETER:g} tokens a parameter"
        )
    if tokens is None:
        tokens = bounded(config)
        rate = affordable(config) / max(seconds, 1e-9)
        reasons["tokens"] = f"about {rate:,.0f} tokens/s for {seconds:.0f} s"
        if tokens < affordable(config):
            reasons["tokens"] = f"{MAX_EPOCHS} passes over the corpus; more would only be learned by heart"
    plan = TrainingPlan(
        tokens=tokens,
        batch_tokens=max(length, batch_tokens or _batch_tokens(tokens)),
        length=length,
        seed=seed,
        rates=decoder_rates(config.width),
        number_format=_format(number_format),
        # At least ten checkpoints and points of the held-out curve, at most one of each in 100,000 tokens.
        save_every_tokens=max(100_000, tokens // 10),
        evaluate_every_tokens=max(100_000, tokens // 10),
    )
    return DecoderChoice(config, plan, reasons)


def choose_encoder(
    seconds: float,
    gflops: float,
    vocab_size: int,
    *,
    width: int | None = None,
    layers: int | None = None,
    masked_tokens: int | None = None,
    pair_examples: int | None = None,
    seed: int = 0,
    number_format: NumberFormat | str = "fp32",
) -> EncoderChoice:
    """As `choose_decoder`, for the two parts of an encoder's training."""
    flops_per_second = speed(gflops, number_format)

    def shape(width: int, layers: int) -> TransformerConfig:
        return encoder_config(vocab_size, width, layers, context_length=256, head_dim=min(32, width))

    def masked(config: TransformerConfig) -> int:
        head = 2 * config.width * config.vocab_size  # on the masked positions alone
        flops = 3 * (config.flops_per_token(MASKED_LENGTH) - head * (1 - EncoderPlan.masked_share))
        return int(seconds * MASKED_TIME_SHARE * flops_per_second / flops)

    def pairs(config: TransformerConfig) -> int:
        layers_only = config.flops_per_token(PASSAGE_LENGTH) - 2 * config.width * config.vocab_size
        flops = 3 * layers_only * (QUERY_LENGTH + PASSAGE_LENGTH)
        return int(seconds * (1 - MASKED_TIME_SHARE) * flops_per_second / flops)

    if width and layers:
        config, reason = shape(width, layers), "as asked for"
    else:
        ladder = [shape(width or w, layers or n) for w, n in ENCODER_SHAPES]
        fitting = [c for c in ladder if pairs(c) >= MIN_PAIRS]
        config = fitting[-1] if fitting else ladder[0]
        reason = f"the largest that sees {MIN_PAIRS:,} pairs" if fitting else "the smallest"
    plan = EncoderPlan(
        masked_tokens=masked_tokens or max(1, masked(config)),
        pair_examples=pair_examples or max(1, pairs(config)),
        batch_tokens=2048,
        # recall@10 as above: .275 with pair rates at .3 of the masked part's, .363 at 1; embeddings .02 .363, .06 .388
        rates=Rates(matrices=0.02, embeddings=0.04),
        pair_rate_share=1.0,
        pair_batch=64,
        seed=seed,
        number_format=_format(number_format),
        length=MASKED_LENGTH,
        query_length=QUERY_LENGTH,
        passage_length=PASSAGE_LENGTH,
    )
    examples = f"{MASKED_TIME_SHARE:.0%} of {seconds:.0f} s for masked tokens"
    if masked_tokens and pair_examples:
        examples = "as asked for"
    return EncoderChoice(config, plan, {"shape": reason, "examples": examples})


def speed(gflops: float, number_format: str) -> float:
    """FLOP/s that a training step reaches where a 256-square product runs at `gflops`."""
    return gflops * 1e9 * (UTILISATION_BF16 if _format(number_format) == "bf16" else UTILISATION)


def decoder_rates(width: int) -> Rates:
    """Peak rates. Embeddings, 4,096 tokens, 128 × 2: .03 2.133, .06 2.062 (batch 2,048); .03 2.111, .1 2.046 (1,024).
    Muon: .02 2.386, .04 2.388 (128 × 4, 2,048 tokens, batch 4,096); with 4,096 tokens and 128 × 2: .02 2.133, .04 2.174
    (embeddings .03); .01 2.057, .02 2.062 (embeddings .06).

    Wider ones by width^-½ (as nanochat has it), and none of them tried.
    """
    return Rates(matrices=0.02, embeddings=0.06 * (128 / width) ** 0.5)


def _vocabulary(corpus_tokens: int, flops: float) -> tuple[int, str]:
    """A larger vocabulary reads more text a token but costs a larger head, and every token wants to be seen often."""
    if corpus_tokens < 300_000:
        return 1024, "little text: few words come often enough to be tokens"
    if corpus_tokens < 1_500_000:
        return 2048, "little text: longer tokens would be too rare"
    if flops < 1e15:
        return 4096, "the least bits per byte in minutes"
    return 8192, "hours or a GPU: longer tokens pay"


def _batch_tokens(tokens: int) -> int:
    """Twice the batch for four times the tokens: small runs need steps, long ones smooth gradients."""
    batch = 1024
    while batch < 65_536 and tokens > 3_000_000 * (batch // 1024) ** 2:
        batch *= 2
    return batch


def _format(number_format: str) -> NumberFormat:
    """bf16 if named; anything else, such as an fp16 that overflows in training, is computed in fp32."""
    return "bf16" if number_format == "bf16" else "fp32"
