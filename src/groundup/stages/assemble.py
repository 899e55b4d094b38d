"""The steps of a run, from its recipe, its plan and its snapshot. Who stands on whom is read here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from groundup import machine
from groundup.corpus.policy import CorpusPolicy
from groundup.errors import RecipeError, SourceError
from groundup.pipeline.steps import Step
from groundup.pipeline.store import Store
from groundup.recipe import Recipe
from groundup.stages import (
    continuations,
    corpus,
    decoder,
    encoder,
    language,
    memory,
    release,
    scores,
    search,
    split,
    tokens,
    ways,
    written_answers,
)
from groundup.stages.plan import Plan
from groundup.stages.snapshot import Snapshot
from groundup.stages.stores import index_folder


@dataclass(frozen=True)
class Brought:
    """Models a person brings: name in tables, place, digest of the files that decide what they compute."""

    base: str | None = None
    base_path: Path | None = None
    base_digest: str | None = None
    encoder: str | None = None
    encoder_path: Path | None = None
    encoder_digest: str | None = None

    @property
    def files_bytes(self) -> int:
        """Of all files of the brought models."""
        places = [place for place in (self.base_path, self.encoder_path) if place is not None]
        files = [file for place in places for file in ([place] if place.is_file() else place.rglob("*"))]
        return sum(file.stat().st_size for file in files if file.is_file())


def assemble(
    recipe: Recipe, plan: Plan, snapshot: Snapshot, brought: Brought, store: Store, run_name: str
) -> list[Step]:
    policy = CorpusPolicy()
    steps = [
        corpus.step(snapshot.digest, snapshot.passed_over_digest, policy, snapshot.total_bytes),
        split.step(
            seed=recipe.seed,
            held_out_share=recipe.corpus.held_out_share,
            package_share=recipe.corpus.held_out_package_share,
            measured_bytes=plan.measured_bytes,
        ),
        tokens.tokenizer_step(plan.vocab_size, recipe.tokenizer.sample_bytes),
        tokens.shards_step(snapshot.total_bytes),
        scores.zstd_step(),
        scores.ngram_step(),
    ]
    if plan.decoder is not None:
        steps += [
            decoder.step(plan.decoder.config, plan.decoder.training, plan.decoder.passes),
            scores.decoder_step(),
            memory.trained_step(recipe.memory.leave_out),
            memory.mix_step("decoder", seed=recipe.seed),
        ]
    if brought.base_digest is not None:
        steps += [
            scores.base_step(brought.base_digest),
            memory.base_step(brought.base_digest, snapshot.total_bytes, recipe.memory.leave_out),
            memory.mix_step("base", seed=recipe.seed, base_digest=brought.base_digest),
        ]
    steps += [
        language.verdict_step(seed=recipe.seed, base=brought.base, scratch=plan.decoder is not None),
        continuations.step(
            seed=recipe.seed,
            documents=plan.continued,
            base=brought.base,
            base_digest=brought.base_digest,
            scratch=plan.decoder is not None,
        ),
    ]
    if plan.decoder is not None or brought.base is not None:
        steps.append(
            ways.step(
                "decoder" if brought.base is None else "base",
                brought.base or language.SCRATCH,
                seed=recipe.seed,
                base_digest=brought.base_digest,
                leave_out=recipe.search.leave_out,
                index=index_folder(store, run_name),
            )
        )
    if plan.written_answers:
        steps.append(
            written_answers.step(
                seed=recipe.seed,
                questions=plan.written_answers,
                searched_bytes=plan.searched_bytes,
                distractors=plan.distractors,
                base=brought.base,
                base_digest=brought.base_digest,
                scratch=plan.decoder is not None,
            )
        )
    if plan.encoder is not None:
        steps.append(
            encoder.step(plan.encoder.config, plan.encoder.training, pair_bytes=plan.pair_bytes, seed=recipe.seed)
        )
    steps += [
        search.step(
            seed=recipe.seed,
            queries=recipe.evaluation.queries,
            unanswerable=recipe.evaluation.unanswerable,
            searched_bytes=plan.searched_bytes,
            distractors=plan.distractors,
            judgements={str(folder): judgements_digest(folder) for folder in recipe.evaluation.judgements},
            encoder=brought.encoder,
            brought=brought.encoder_digest,
            trained=plan.encoder is not None,
            encoder_format=recipe.encoder_format,
            corpus_bytes=snapshot.total_bytes,
        ),
        release.step(
            store,
            base=brought.base,
            base_digest=brought.base_digest,
            encoder=brought.encoder,
            encoder_digest=brought.encoder_digest,
            trained=plan.decoder is not None,
            trained_encoder=plan.encoder is not None,
            run_name=run_name,
            sources=tuple(str(source) for source in recipe.sources) or ("the Python source on this machine",),
            rule=snapshot.rule,
            written_answers=bool(plan.written_answers),
            brought_bytes=brought.files_bytes,
        ),
    ]
    return steps


def judgements_digest(folder: Path) -> str:
    """sha256 over the files of a BEIR folder. Raises SourceError if one is missing."""
    digest = hashlib.sha256()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        try:
            with (folder / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise SourceError(
                f"{name} can't be read ({error.strerror})",
                place=str(folder),
                mend="A folder of judgements holds corpus.jsonl, queries.jsonl and qrels/test.tsv, as BEIR's do.",
            ) from None
    return digest.hexdigest()


def resolve_brought(recipe: Recipe) -> Brought:
    """The brought models' names, places and digests.

    Raises ModelError for what is missing, broken or unknown, RecipeError for a format that this machine is slow in.
    """
    if recipe.encoder_format == "bf16" and machine.profile().best_format != "bf16":
        wrong = "bf16 is not faster than fp32 on this processor"
        raise RecipeError(wrong, place="encoder_format", mend="Set int8, which is faster everywhere, or fp32.")
    base = encoder = None
    base_path = encoder_path = None
    base_digest = encoder_digest = None
    if recipe.base is not None:
        from groundup.interop.locate import base_digest as digest_base
        from groundup.interop.locate import base_name, find_base

        base_path = find_base(recipe.base)
        base, base_digest = base_name(recipe.base), digest_base(recipe.base)
    if recipe.encoder is not None:
        from groundup.interop.locate import encoder_digest as digest_encoder
        from groundup.interop.locate import encoder_name, find_encoder

        encoder_path = find_encoder(recipe.encoder)
        encoder, encoder_digest = encoder_name(recipe.encoder), digest_encoder(recipe.encoder)
    return Brought(base, base_path, base_digest, encoder, encoder_path, encoder_digest)
