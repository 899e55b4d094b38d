"""Known questions, answered by every decoder from the passages found, alone and with memory: does memory help there?

In use memory holds the very documents that a question is about, so here it does too: those that hold the answers are
added to the memory of the training documents, without the sentences that were made into questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from groundup.pipeline.files import write_json
from groundup.pipeline.steps import Context, Step
from groundup.stages.continuations import decoders, inputs
from groundup.stages.language import WITH_MEMORY
from groundup.stages.memory import has_mixture, measured_mixture
from groundup.stages.search import known_collection

if TYPE_CHECKING:
    from groundup.evaluation.collection import Collection
    from groundup.evaluation.written_answers import Answerer
    from groundup.infinigram.mixture import Mixture
    from groundup.interop.base import BroughtDecoder
    from groundup.retrieval.searcher import Index
    from groundup.tokens.tokenizer import Tokenizer

TOKENS = 96  # of an answer
PASSAGES = 5  # read, as `ask` does
AT_A_TIME = 16  # questions between two signs of progress
LEAST_CONTEXT = 1024  # of a decoder: three passages and an answer take up to 900 tokens
TABLE, POLICY, TEXTS = "table.json", "policy.json", "answers.json"
CODE = (
    "groundup.evaluation",
    "groundup.generation",
    "groundup.infinigram",
    "groundup.interop",
    "groundup.nn",
    "groundup.retrieval",
    "groundup.serving.prompt",
    "groundup.stages.written_answers",
    "groundup.stages.search",
)


def step(
    *,
    seed: int,
    questions: int,
    searched_bytes: int,
    distractors: int,
    base: str | None,
    base_digest: str | None,
    scratch: bool,
) -> Step:
    """questions: asked, at most. searched_bytes, distractors: as in `search.step`."""
    return Step(
        "written-answers",
        run,
        identity={
            "seed": seed,
            "queries": questions,
            "searched_bytes": searched_bytes,
            "distractors": distractors,
            "base": base,
            "base_digest": base_digest,
        },
        inputs=inputs(base=base, scratch=scratch),
        code=CODE,
        disk_bytes=8 * (searched_bytes + 1_000 * distractors),
    )


def run(context: Context) -> None:
    """Writes the table, the decoders that memory helps, those that were measured, and every answer."""
    from groundup.evaluation.plain_data import to_json
    from groundup.evaluation.search_verdict import index_collection
    from groundup.evaluation.written_answers import written_answers_table
    from groundup.interop.base import load_base
    from groundup.machine import use_threads

    use_threads()
    collection = known_collection(context, queries=context.config["queries"])
    answerers: list[Answerer] = []
    texts: list[dict[str, Any]] = []
    index = index_collection(collection, context.scratch / "index", progress=context.progress)
    for name, kind, place in decoders(context) if collection.queries else []:
        brought = load_base(place)
        if brought.context_length < LEAST_CONTEXT or not has_mixture(context.inputs[f"mix-{kind}"]):
            continue
        mixture = measured_mixture(context.inputs[f"memory-{kind}"], context.inputs[f"mix-{kind}"])
        knowing = _with_answers(mixture, collection, brought.tokenizer)
        answerer, written = _answer(context, name, brought, knowing, collection, index)
        answerers.append(answerer)
        texts += written
    write_json(context.work / TEXTS, texts)
    if not answerers:
        context.note("No decoder reads enough at once to answer from passages, or no question could be made.")
        write_json(context.work / POLICY, {"answers_with_memory": [], "measured": []})
        return
    table, better = written_answers_table(answerers, suffix=WITH_MEMORY, seed=context.config["seed"])
    (context.work / TABLE).write_text(to_json(table), encoding="utf-8")
    write_json(context.work / POLICY, {"answers_with_memory": better, "measured": [one.name for one in answerers]})
    context.metrics |= {"questions": len(collection.queries), "tokens": TOKENS}


def _with_answers(mixture: Mixture, collection: Collection, tokenizer: Tokenizer) -> Mixture:
    from groundup.infinigram.memory import Memory
    from groundup.stages.memory_tokens import segment_of

    holding = {item.partition(":")[0] for found in collection.judgements.values() for item in found}
    documents = [document for document in collection.documents if document.id in holding]
    added, _ = segment_of(tokenizer, documents)
    return replace(mixture, memory=Memory(mixture.memory.base, added))


def _answer(
    context: Context, name: str, brought: BroughtDecoder, mixture: Mixture, collection: Collection, index: Index
) -> tuple[Answerer, list[dict[str, Any]]]:
    from groundup.evaluation.written_answers import Answerer, measure
    from groundup.generation.batch import continue_many
    from groundup.generation.generator import Generator
    from groundup.generation.sampling import Sampling
    from groundup.nn.packed import packed

    generator = Generator(packed(brought.model), brought.tokenizer, chat_template=brought.chat_template)
    questions = sorted(collection.queries)
    prompts = [prompt(generator, index, collection.queries[name]) for name in questions]
    right = _right_passages(collection, index)
    drawn: tuple[list[list[int]], list[list[int]]] = ([], [])
    # Short prompts beside short ones: a batch reads as much for each as its longest one needs.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    sampling = Sampling(temperature=0.0, repetition_penalty=1.1, max_tokens=TOKENS)
    for start in range(0, len(order), AT_A_TIME):
        some = [prompts[i] for i in order[start : start + AT_A_TIME]]
        for mine, found in zip(drawn, continue_many(generator, some, sampling, (None, mixture)), strict=True):
            mine += found
        context.progress(f"answer with {name}", min(start + AT_A_TIME, len(order)), len(order))
    alone, both = ([brought.tokenizer.decode(ids) for ids in found] for found in drawn)
    asked = [questions[i] for i in order]
    texts = [
        {"model": name, "question": collection.queries[query], "alone": one, "with_memory": other}
        for query, one, other in zip(asked, alone, both, strict=True)
    ]
    measured = [
        [measure(text, right[query]) for text, query in zip(found, asked, strict=True)] for found in (alone, both)
    ]
    return Answerer(name, measured[0], measured[1]), texts


def prompt(generator: Any, index: Index, question: str) -> list[int]:
    """As `ask` makes it, its end if it is too long."""
    from groundup.generation.chat import encode_chat
    from groundup.retrieval.answer import AnswerPolicy
    from groundup.serving.index_adapter import ServedIndex
    from groundup.serving.prompt import chat_messages, completion_prompt

    served = ServedIndex(lambda: index, None, AnswerPolicy(threshold=0.0))
    extract = served.answer(question, PASSAGES)
    if generator.chat_template is not None:
        ids = encode_chat(generator.tokenizer, generator.chat_template, chat_messages(question, extract))
    else:
        ids = generator.encode_prompt(completion_prompt(question, extract))
    return list(ids[-(generator.context_length - TOKENS) :])


def _right_passages(collection: Collection, index: Index) -> Mapping[str, str]:
    """By question: the text of the chunks that answer it."""
    wanted = {item for found in collection.judgements.values() for item, gain in found.items() if gain > 0}
    texts: dict[str, list[str]] = {}
    for chunk in map(index.chunk, range(index.chunks)):
        item = collection.item_of_chunk.get(chunk.id, chunk.document_id)
        if item in wanted:
            texts.setdefault(item, []).append(chunk.text)
    return {
        query: "\n".join(text for item, gain in found.items() if gain > 0 for text in texts.get(item, []))
        for query, found in collection.judgements.items()
    }
