"""From minutes to sizes: what the machine can do in the time given.

The only place where seconds enter. The rule is a table of shares (SHARES) of the wall clock and the speeds that turn
them into counts; a run's own timings, in its report, show how well it held.
"""

from __future__ import annotations

import ast
import sysconfig
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.pipeline.files import write_json
from groundup.pipeline.identity import digest_of
from groundup.pipeline.steps import Context, Step
from groundup.pipeline.summary import Choice
from groundup.recipe import Recipe
from groundup.stages.continuations import PROMPT_BYTES, TOKENS
from groundup.stages.plan import PLAN_FILE, ModelPlan, Plan

if TYPE_CHECKING:
    from groundup.machine import Machine
    from groundup.training.defaults import DecoderChoice

Choose = Callable[[str, str, str], None]  # (choice, value, reason)

# Shares of the wall clock. What a run doesn't need (no base, no brought encoder) goes to the decoder.
SHARES = {
    "corpus": 0.15,  # ingest, deduplication, split, tokens, the two baselines, the index: decides how much is taken
    "encoder": 0.10,
    "base": 0.15,  # scoring the brought decoder, the slowest model of all
    "writing": 0.07,  # continuing the beginnings of held-out documents with the decoders
    "search": 0.12,  # embedding the evaluation collection with every encoder
    "vectors": 0.13,  # embedding the index itself; `serve` goes on with the rest
}
SLACK = 0.04  # of the wall clock, for starting and the report

# Whole-corpus work (ingest, deduplication, split, tokens, 5-gram, index): seconds of wall clock a byte on two cores, as
# a multiple of what one core takes to parse a byte of Python. 91 MB took 68 s where a core parsed 1.7 MB/s: 1.3.
PARSES_PER_BYTE = 1.6
FIXED_CORPUS_SECONDS = 12.0  # tokenizer sample and zstd dictionary, whose sizes are fixed; in the same run 10
REFERENCE_PARSE = 1.7e6  # bytes a second, in that run
EFFICIENCY = 0.6  # of the fp32 product speed, reached by whole forward passes
MINIMUM_TAKE = 2_000_000  # bytes: below it nothing can be learned or measured
BYTES_PER_TOKEN = 3.0  # of SmolLM2 on Python; of our own tokenizers about the same
CHUNK_BYTES = 430  # mean over the standard library
CHUNK_TOKENS = 130
MAX_MEASURED_BYTES = 400_000  # of a column: intervals hardly narrow beyond
MIN_MEASURED_BYTES = 12_000
MAX_CONTINUED, MIN_CONTINUED = 256, 16  # documents; fewer tell little, more narrow the interval little
ANSWERS_FROM_MINUTES = 60  # 200 questions take 6 minutes on two cores
DRAW_SECONDS = 0.003  # a token: mixing, nucleus and draw; on the processor with which EFFICIENCY was measured
MAX_COLLECTION_CHUNKS = 20_000
TRAINED_DECODER_FLOPS = 2e7  # a token, of the decoders trained here in minutes
TRAINED_ENCODER_FLOPS = 1e7  # a token, of the encoders trained here in minutes


def plan_step(recipe: Recipe, listed_bytes: int, listed_files: int, base: str | None, encoder: str | None) -> Step:
    """listed_bytes, listed_files: of all sources, before any is chosen. base, encoder: digests of brought models."""
    identity = recipe.identity()
    # Paths, or no part of the choice.
    for elsewhere in ("retrain_share", "sources", "base", "encoder", "encoder_format", "memory", "search"):
        identity.pop(elsewhere)
    identity["evaluation"] = {**identity["evaluation"], "judgements": len(recipe.evaluation.judgements)}
    return Step(
        "plan",
        run,
        identity={
            "recipe": identity,
            "listed_bytes": listed_bytes,
            "listed_files": listed_files,
            "base": base,
            "encoder": encoder,
        },
        code=("groundup.stages.plan", "groundup.stages.budget"),
    )


def run(context: Context) -> None:
    recipe: Recipe = context.execution.recipe
    made = make_plan(
        recipe, context.config["listed_bytes"], context.config["listed_files"],
        context.execution.base, context.execution.encoder,
    )  # fmt: skip
    write_json(context.work / PLAN_FILE, asdict(made))
    # The reasons hold measured speeds. What follows depends on the sizes alone.
    context.stand_in(PLAN_FILE, digest_of({name: v for name, v in asdict(made).items() if name != "choices"}))


def make_plan(recipe: Recipe, listed_bytes: int, listed_files: int, base: Path | None, encoder: Path | None) -> Plan:
    """Chooses sizes for this machine, these sources and these minutes. Measures; takes a few seconds."""
    from groundup.interop.locate import check_base, check_encoder
    from groundup.machine import profile, use_threads

    for brought, check in ((base, check_base), (encoder, check_encoder)):
        if brought is not None:
            check(brought)  # here, where work starts, and not when its turn comes after training
    use_threads()
    machine = profile()
    seconds = 60 * recipe.minutes
    parse = parse_speed()
    cores = machine.cores
    shares = dict(SHARES)
    if base is None:
        shares["base"] = 0.0
    if not recipe.sentence_encoder.train:
        shares["encoder"] = 0.0
    if base is None and not recipe.decoder.train:
        shares["writing"] = 0.0
    if encoder is None:  # the encoder trained here is small
        shares["search"] /= 3
        shares["vectors"] /= 2
    decoder_share = max(0.1, 1 - SLACK - sum(shares.values()))
    choices = [
        Choice("time", f"{recipe.minutes:g} min", "as asked for" if recipe.minutes != 10 else "the default"),
        Choice(
            "machine",
            f"{machine.formats['fp32']:.0f} GFLOP/s",
            f"fp32, measured; {parse / 1e6:.1f} MB/s of Python parsed a core; {cores} cores; trains in "
            f"{machine.best_format}",
        ),
    ]

    def choose(name: str, value: str, reason: str) -> None:
        choices.append(Choice(name, value, reason))

    speed = parse / REFERENCE_PARSE
    usable = max(0.0, seconds * shares["corpus"] - FIXED_CORPUS_SECONDS / speed)
    per_byte = PARSES_PER_BYTE / parse * 2 / min(cores, 4)  # a third of the work stays on one core
    affordable = max(MINIMUM_TAKE, int(usable / per_byte))
    take_bytes = recipe.corpus.take_bytes or min(listed_bytes, affordable)
    if recipe.corpus.take_bytes:
        why = "as asked for"
    elif take_bytes == listed_bytes:
        why = f"all of it: up to {affordable / 1e6:.0f} MB fit {shares['corpus']:.0%} of the time"
    else:
        why = (
            f"of {listed_bytes / 1e6:.0f} MB; what {shares['corpus']:.0%} of the time reads, cleans, counts and indexes"
        )
    choose("source files", f"{take_bytes / 1e6:.1f} MB" if take_bytes >= 1e6 else f"{take_bytes / 1e3:.1f} kB", why)

    corpus_tokens = int(0.9 * take_bytes / BYTES_PER_TOKEN)
    decoder, vocab_size, factor = _decoder(recipe, machine, seconds * decoder_share, corpus_tokens, choose)
    measured = _measured_bytes(recipe, machine, seconds * shares["base"], base, choose)
    continued = _continued(recipe, machine, seconds * shares["writing"], base, choose)
    written_answers = _written_answers(recipe, choose)
    trained_encoder, pair_bytes = _encoder(
        recipe, machine, seconds * shares["encoder"] * min(1.0, factor), take_bytes, vocab_size, parse, choose
    )
    searched, distractors = _collection(recipe, machine, seconds * shares["search"], take_bytes, encoder, choose)
    return Plan(
        take_bytes=take_bytes,
        vocab_size=vocab_size,
        measured_bytes=measured,
        continued=continued,
        written_answers=written_answers,
        decoder=decoder,
        encoder=trained_encoder,
        pair_bytes=pair_bytes,
        searched_bytes=searched,
        distractors=distractors,
        choices=choices,
    )


def _decoder(
    recipe: Recipe, machine: Machine, seconds: float, corpus_tokens: int, choose: Choose
) -> tuple[ModelPlan | None, int, float]:
    """The decoder's shape and tokens for its share of the time; the vocabulary, which both trained models share; and
    how fast training is on this machine, as a factor on what its matrix products promise."""
    from groundup.training.defaults import MAX_EPOCHS, choose_decoder, speed
    from groundup.training.rate import measure_rate

    asked, gflops = recipe.decoder, machine.formats[machine.best_format]

    def chosen_at(factor: float) -> DecoderChoice:
        return choose_decoder(
            seconds,
            gflops * factor,
            corpus_tokens,
            vocab_size=recipe.tokenizer.vocab_size,
            width=asked.width,
            layers=asked.layers,
            length=asked.context_length,
            batch_tokens=asked.batch_tokens,
            tokens=asked.tokens,
            seed=recipe.seed,
            number_format=machine.best_format,
        )

    chosen, factor = chosen_at(1.0), 1.0
    if asked.tokens is None and asked.train:
        config, plan = chosen.config, chosen.plan
        rate = measure_rate(config, plan.batch, plan.length, number_format=plan.number_format)
        factor = rate * 3 * config.flops_per_token(plan.length) / speed(gflops, plan.number_format)
        chosen = chosen_at(factor)
    config, plan = chosen.config, chosen.plan
    choose("vocabulary", f"{config.vocab_size:,} tokens", chosen.reasons["vocabulary"])
    if not asked.train:
        return None, config.vocab_size, factor
    shape = f"{config.parameters() / 1e6:.1f} M parameters"
    choose("decoder", f"{shape}, {config.layers} × {config.width}", chosen.reasons["shape"])
    choose("decoder's tokens", f"{plan.tokens:,}", chosen.reasons["tokens"])
    passes = MAX_EPOCHS if asked.tokens is None else None
    return ModelPlan(config.to_dict(), plan.to_dict(), passes), config.vocab_size, factor


def _measured_bytes(recipe: Recipe, machine: Machine, seconds: float, base: Path | None, choose: Choose) -> int:
    if recipe.evaluation.held_out_bytes:
        choose("held-out text", f"{recipe.evaluation.held_out_bytes / 1e3:.0f} kB a column", "as asked for")
        return recipe.evaluation.held_out_bytes
    if base is None:
        choose("held-out text", f"{MAX_MEASURED_BYTES / 1e3:.0f} kB a column", "intervals hardly narrow beyond")
        return MAX_MEASURED_BYTES
    from groundup.interop.base import base_config

    flops = base_config(base).flops_per_token(1024)
    speed = EFFICIENCY * machine.formats["fp32"] * 1e9 / flops  # tokens a second
    fits = int(speed * seconds * BYTES_PER_TOKEN / 3)  # two columns, and as much to fit on
    measured = min(MAX_MEASURED_BYTES, max(MIN_MEASURED_BYTES, fits))
    choose("held-out text", f"{measured / 1e3:.0f} kB a column", f"the base reads about {speed:,.0f} tokens/s in fp32")
    return measured


def _continued(recipe: Recipe, machine: Machine, seconds: float, base: Path | None, choose: Choose) -> int:
    if recipe.evaluation.continued:
        choose("continued", f"{recipe.evaluation.continued:,} beginnings", "as asked for")
        return recipe.evaluation.continued
    flops = TRAINED_DECODER_FLOPS
    if base is not None:
        from groundup.interop.base import base_config

        flops += base_config(base).flops_per_token(PROMPT_BYTES // 2)
    drawn = 2 * TOKENS * (1 if base is None else 2)  # alone and with memory, by each decoder
    tokens = PROMPT_BYTES / BYTES_PER_TOKEN + 2 * TOKENS
    each = tokens * flops / (EFFICIENCY * machine.formats["fp32"] * 1e9) + drawn * DRAW_SECONDS
    documents = max(MIN_CONTINUED, min(MAX_CONTINUED, int(seconds / each)))
    choose("continued", f"{documents} beginnings", f"{TOKENS} tokens each with and without memory, {each:.2g} s")
    return documents


def _written_answers(recipe: Recipe, choose: Choose) -> int:
    asked = recipe.evaluation.written_answers
    if asked is not None:
        choose("written answers", f"{asked:,} questions", "as asked for")
        return asked
    enough = recipe.minutes >= ANSWERS_FROM_MINUTES
    questions = recipe.evaluation.queries if enough else 0
    choose("written answers", f"{questions:,} questions", f"measured from {ANSWERS_FROM_MINUTES} minutes on")
    return questions


def _encoder(
    recipe: Recipe, machine: Machine, seconds: float, take_bytes: int, vocab_size: int, parse: float, choose: Choose
) -> tuple[ModelPlan | None, int]:
    """The encoder's shape and examples for its share of the time; a fifth of it goes into finding pairs."""
    from groundup.training.defaults import choose_encoder

    if not recipe.sentence_encoder.train:
        return None, 0
    asked = recipe.sentence_encoder
    pair_bytes = int(min(take_bytes, max(MINIMUM_TAKE, seconds / 5 * parse / 3)))
    chosen = choose_encoder(
        seconds * 0.8,
        machine.formats[machine.best_format],
        vocab_size,
        width=asked.width,
        layers=asked.layers,
        masked_tokens=asked.masked_tokens,
        pair_examples=asked.pairs,
        seed=recipe.seed,
        number_format=machine.best_format,
    )
    config, plan = chosen.config, chosen.plan
    shape = f"{config.parameters() / 1e6:.1f} M parameters, {config.layers} × {config.width}"
    choose("encoder", shape, chosen.reasons["shape"])
    learns = f"{plan.masked_tokens:,} masked-stage tokens, {plan.pair_examples:,} pairs"
    choose("encoder's examples", learns, chosen.reasons["examples"])
    return ModelPlan(config.to_dict(), plan.to_dict()), pair_bytes


def _collection(
    recipe: Recipe, machine: Machine, seconds: float, take_bytes: int, encoder: Path | None, choose: Choose
) -> tuple[int, int]:
    """(bytes of held-out documents, training chunks beside them) that the slowest encoder embeds in its time."""
    from groundup.interop.locate import encoder_flops_per_token

    flops = CHUNK_TOKENS * (encoder_flops_per_token(encoder) if encoder is not None else TRAINED_ENCODER_FLOPS)
    speed = EFFICIENCY * machine.formats["fp32"] * 1e9 / flops  # chunks a second
    chunks = int(min(MAX_COLLECTION_CHUNKS, max(1_000, seconds * speed)))
    if recipe.evaluation.distractors is not None:
        distractors = recipe.evaluation.distractors
    else:
        held_out = take_bytes * (recipe.corpus.held_out_share + recipe.corpus.held_out_package_share) / CHUNK_BYTES
        distractors = max(200, int(chunks - held_out))
    choose(
        "search evaluation",
        f"about {chunks:,} chunks",
        f"embedded at about {speed:,.0f} chunks/s; up to {2 * recipe.evaluation.queries:,} questions",
    )
    return chunks * CHUNK_BYTES, distractors


def parse_speed() -> float:
    """Bytes of Python a second that one core parses, on a few files of the standard library; about .3 s."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    names = ("argparse.py", "datetime.py", "inspect.py", "tarfile.py", "typing.py", "subprocess.py")
    texts = [path.read_text(encoding="utf-8") for name in names if (path := folder / name).exists()]
    begun = time.perf_counter()
    for text in texts:
        ast.parse(text)
    return sum(len(text.encode()) for text in texts) / (time.perf_counter() - begun)
