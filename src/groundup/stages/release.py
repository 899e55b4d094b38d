"""Models, verdicts and policies → a release; which one serves; and what the store no longer needs."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groundup.corpus.funnel import Funnel
from groundup.errors import StoreError
from groundup.pipeline.clean import clean
from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.pipeline.store import Store
from groundup.registry import champion, release
from groundup.registry.cards import data_card, model_card
from groundup.stages import continuations, ways
from groundup.stages import written_answers as written
from groundup.stages.encoder import NAME as TRAINED_ENCODER
from groundup.stages.language import SCRATCH, completes_with
from groundup.stages.memory import MIXTURE, has_mixture


def step(
    store: Store,
    *,
    base: str | None,
    base_digest: str | None,
    encoder: str | None,
    encoder_digest: str | None,
    trained: bool,
    trained_encoder: bool,
    run_name: str,
    sources: tuple[str, ...],
    rule: str,
    written_answers: bool,
    brought_bytes: int,
) -> Step:
    """base, encoder: names of the brought models. run_name: of the run whose index the release points to.

    brought_bytes: of the brought models' files, which are copied; those made here are linked.
    """
    inputs = {
        "corpus": "corpus",
        "split": "split",
        "verdict-language": "verdict-language",
        "verdict-search": "verdict-search",
        "continuations": "continuations",
    }
    if trained:
        inputs |= {"decoder": "decoder", "mix-decoder": "mix-decoder"}
    if base is not None:
        inputs["mix-base"] = "mix-base"
    if trained or base is not None:
        inputs["ways"] = "ways"
    if written_answers:
        inputs["written-answers"] = "written-answers"
    if trained_encoder:
        inputs["encoder"] = "encoder"
    return Step(
        "release",
        run,
        identity={
            "base": base,
            "base_digest": base_digest,
            "encoder": encoder,
            "encoder_digest": encoder_digest,
            "index": run_name,
            "sources": list(sources),
            "rule": rule,
        },
        inputs=inputs,
        code=("groundup.registry", "groundup.stages.release"),
        disk_bytes=brought_bytes + (16 << 20),
        intact=lambda artifact: release.fault(store, artifact.read_json("release.json")["release"]),
    )


def run(context: Context) -> None:
    from groundup.machine import profile

    config, inputs, execution = context.config, context.inputs, context.execution
    verdicts = [
        inputs["verdict-language"].read_json("table.json"),
        inputs["verdict-search"].read_json("search.json"),
        inputs["verdict-search"].read_json("answers.json"),
    ]
    verdicts += [
        inputs[step].read_json(name)
        for step, name in (
            ("continuations", continuations.TABLE),
            ("ways", ways.TABLE),
            ("written-answers", written.TABLE),
        )
        if step in inputs and (inputs[step].path / name).exists()
    ]
    models: dict[str, Path] = {}
    facts: list[dict[str, Any]] = []
    kinds: dict[str, str] = {}
    if "decoder" in inputs:
        models[SCRATCH] = inputs["decoder"].path / "model"
        kinds[SCRATCH] = "decoder"
        facts.append(_trained_decoder(inputs))
    if config["base"] is not None:
        models[config["base"]] = _brought(context, execution.base, config["base"])
        kinds[config["base"]] = "decoder"
        facts.append({"name": config["base"], "kind": "brought decoder", "digest": config["base_digest"]})
    if "encoder" in inputs:
        models[f"encoder-{TRAINED_ENCODER}"] = inputs["encoder"].path / TRAINED_ENCODER
        kinds[f"encoder-{TRAINED_ENCODER}"] = "encoder"
        facts.append(
            {
                "name": f"encoder-{TRAINED_ENCODER}",
                "kind": "encoder trained here",
                "parameters": inputs["encoder"].metrics["parameters"],
                "tokens": inputs["encoder"].metrics["masked_tokens"],
            }
        )
    if config["encoder"] is not None:
        models[f"encoder-{config['encoder']}"] = _brought(context, execution.encoder, f"encoder-{config['encoder']}")
        kinds[f"encoder-{config['encoder']}"] = "encoder"
        facts.append(
            {
                "name": f"encoder-{config['encoder']}",
                "kind": "brought encoder",
                "digest": config["encoder_digest"],
                "format": "encoder",
            }
        )
    language = inputs["verdict-language"].read_json("champion.json")
    writing = inputs["continuations"].read_json(continuations.POLICY)
    answers: dict[str, list[str]] = {"answers_with_memory": [], "measured": []}
    if "written-answers" in inputs:
        answers = inputs["written-answers"].read_json(written.POLICY)
    memory = {
        name: {
            **inputs[step].read_json(MIXTURE),
            # Both, since either alone can mislead: a next token foretold well, and a text that is not worse for it.
            "completes": name in language["foretold_with_memory"] and name in writing["writes_with_memory"],
            "answers": name in answers["answers_with_memory"] if name in answers["measured"] else None,
        }
        for step, name in (("mix-decoder", SCRATCH), ("mix-base", config["base"]))
        if step in inputs and has_mixture(inputs[step])
    }
    search = inputs["verdict-search"].read_json("policy.json")
    made = release.create(
        execution.store,
        models=models,
        policies={
            "champion": language["champion"],
            "kinds": kinds,
            "search": search,
            "index": config["index"],
            "memory": memory,
        },
        verdicts=verdicts,
        metrics={name: dict(artifact.metrics) for name, artifact in inputs.items()},
        model_card=model_card(
            {
                "title": "Models of this corpus",
                "data": _data_sentence(inputs),
                "serves": {
                    "completion": completes_with({"champion": language["champion"], "memory": memory}),
                    "search": search["system"],
                },
                "why": {"completion": verdicts[0]["sentence"], "search": verdicts[1]["sentence"]},
                "verdicts": verdicts,
                "models": facts,
                "machine": profile().to_dict(),
                "limits": [
                    "Small models make things up: what they write is not checked against the documents.",
                    "The from-scratch models know this corpus and nothing else.",
                ],
            }
        ),
        data_card=data_card(_data_facts(inputs, config)),
        artifacts=list(inputs.values()),
        measured_on=inputs["split"].digest,
    )
    write_json(context.work / "release.json", {"release": made.id})
    context.leave_out("release.json")  # the cards hold timings
    context.metrics |= {"release": made.id}


def _trained_decoder(inputs: Mapping[str, Any]) -> dict[str, Any]:
    metrics = inputs["decoder"].metrics
    curve = [
        {"tokens": point["tokens"], "held_out_bits_per_byte": point["held_out_bits_per_byte"]}
        for point in inputs["decoder"].read_json("curve.json")
        if "held_out_bits_per_byte" in point
    ]
    return {
        "name": SCRATCH,
        "kind": "decoder trained here from scratch, Qwen3 class",
        "parameters": metrics["parameters"],
        "tokens": metrics["tokens"],
        "curve": curve,
        "format": "decoder",
    }


def _brought(context: Context, place: Path, name: str) -> Path:
    """A copy of a brought model's files: a link would let the release change when its owner writes to them."""
    target = context.scratch / name
    shutil.rmtree(target, ignore_errors=True)
    if place.is_file():
        target.mkdir(parents=True)
        shutil.copy2(place, target / place.name)
    else:
        shutil.copytree(place, target)
    return target


def _data_sentence(inputs: Mapping[str, Any]) -> str:
    corpus, split = inputs["corpus"].metrics, inputs["split"].metrics
    return (
        f"Made from {corpus['documents_out']:,} documents ({corpus['bytes_out'] / 1e6:.1f} MB of text); "
        f"{split['train_documents']:,} of them were trained on, "
        f"{split['held_out_documents'] + split['package_documents']:,} held out."
    )


def _data_facts(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    from groundup.corpus.document import iter_documents

    corpus, split = inputs["corpus"].metrics, inputs["split"].metrics
    kinds, languages, groups = Counter[str](), Counter[str](), Counter[str]()
    for document in iter_documents(inputs["corpus"].file("documents.parquet")):
        kinds[document.kind] += 1
        languages[document.language] += 1
        groups[document.group] += 1
    rows = Funnel.read(inputs["corpus"].file("funnel.parquet")).summary()
    return {
        "title": "Corpus",
        "sources": config["sources"],
        "rule": config["rule"],
        "read_files": corpus["files_in"],
        "documents": corpus["documents_out"],
        "bytes": corpus["bytes_out"],
        "kinds": kinds,
        "languages": languages,
        "groups": groups,
        "funnel": [{field: getattr(row, field) for field in row.__dataclass_fields__} for row in rows],
        "held_out_rule": "Whole near-duplicate clusters and whole packages or folders, before anything was trained.",
        "splits": {
            "train": {"documents": split["train_documents"], "bytes": split["train_bytes"]},
        },
        "held_out_groups": split["held_out_groups"],
        "overlap_share": split["overlap"]["held_out"]["share"],
    }


# ------------------------------------------------------------------ what is there


def existing_store(root: Path) -> Store:
    """The store at `root`. Raises StoreError if there is none."""
    if not root.exists():
        mend = "Name the folder that `groundup run` worked in with --store."
        raise StoreError("there is no store", place=str(root), mend=mend)
    return Store(root)


@dataclass(frozen=True)
class Listing:
    champion: str | None
    releases: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return {"champion": self.champion, "releases": self.releases}

    def text(self) -> str:
        if not self.releases:
            return "There is no release yet. Make one with `groundup run`."
        lines = []
        for entry in self.releases:
            mark = ">" if entry["id"] == self.champion else " "
            lines.append(f"{mark} {entry['id']}  {entry['created']}  {', '.join(entry['models'])}  {entry['why']}")
        return "\n".join(lines)


def list_releases(root: Path) -> Listing:
    store = existing_store(root)
    serving = champion.current(store)
    why = {entry["release"]: entry["why"] for entry in champion.history(store)}
    rows = []
    for identifier in release.ids(store):
        one = release.open_release(store, identifier)
        rows.append(
            {"id": one.id, "created": one.created, "models": one.models, "why": why.get(one.id, "never served")}
        )
    rows.sort(key=lambda row: str(row["created"]))
    return Listing(None if serving is None else serving.id, rows)


def roll_back(root: Path) -> None:
    champion.rollback(existing_store(root))


@dataclass(frozen=True)
class Swept:
    garbage: list[dict[str, Any]]
    deleted: bool

    def to_json(self) -> dict[str, Any]:
        return {"garbage": self.garbage, "deleted": self.deleted}

    def text(self) -> str:
        if not self.garbage:
            return "Everything in the store is in use."
        size = sum(item["bytes"] for item in self.garbage)
        lines = [f"{item['bytes'] / 1e6:10,.1f} MB  {item['path']}  {item['what']}" for item in self.garbage]
        end = "deleted" if self.deleted else "not in use; delete it with `groundup clean --delete`"
        return "\n".join([*lines, f"{size / 1e6:,.1f} MB {end}"])


def clean_store(root: Path, *, delete: bool) -> Swept:
    found = clean(existing_store(root), delete=delete)
    return Swept([{"path": str(item.path), "bytes": item.bytes, "what": item.what} for item in found], delete)
