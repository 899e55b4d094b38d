"""The commands. Each reads its arguments, calls one stage and prints what it returns; nothing is decided here.

Data goes to stdout, progress and notices to stderr. torch, pyarrow and the rest are imported where a command needs
them, so that `groundup --help` answers at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.recipe import Recipe


class _Commands(TyperGroup):
    """An error a person can mend ends in one paragraph and an exit code of its kind; any other keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except GroundupError as error:
            place = f"{error.place}: " if error.place else ""
            typer.echo(f"groundup: {place}{error.wrong}.\n  {error.mend}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            _interrupted()
        except BrokenPipeError:  # `groundup search … | head`: the reader has what it wanted
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)


app = typer.Typer(
    name="groundup",
    cls=_Commands,
    help="Build a language model and a search engine from your own documents, and see what each part is worth.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _source(text: str) -> Path:
    if not text.strip():  # an unset variable in quotes would else be the folder one stands in
        raise typer.BadParameter("it is empty; name a file or a folder, or leave it out")
    return Path(text)


Sources = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="SOURCE", parser=_source, help="Files or folders. None: the Python source groundup itself stands on."
    ),
]
StoreFolder = Annotated[
    Path, typer.Option("--store", envvar="GROUNDUP_STORE", help="Folder where work, results and releases live.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines; the last line is the result.")]
RecipeFile = Annotated[Path | None, typer.Option("--recipe", help="YAML file with any choice of the recipe.")]
Base = Annotated[
    str | None,
    typer.Option(help="Open model to compare and serve: Hugging Face folder, GGUF file, or `smollm2` if installed."),
]
Encoder = Annotated[
    str | None,
    typer.Option(help="Sentence encoder to compare and serve: sentence-transformers folder, or `minilm` if installed."),
]
Minutes = Annotated[
    float | None, typer.Option(help="Time to spend; model, tokens and what is measured follow from it. [default: 10]")
]
Judgements = Annotated[
    list[Path] | None, typer.Option(help="BEIR folder with judged queries to measure search on; may be repeated.")
]
Seed = Annotated[int | None, typer.Option(help="Seed of everything that is drawn at random. [default: 0]")]
Target = Literal["hf", "gguf"]
MemoryUse = Literal["auto", "off"]
MemoryMode = Literal["off", "auto", "only"]
MODEL_HELP = (
    "`champion` (what serves), a release's id, a model of the release (`from-scratch`), a Hugging Face folder, a GGUF "
    "file, or `smollm2` if installed."
)
DEFAULT_STORE = Path("groundup-store")
INTERRUPTED = 130  # the shell's code for a command that Ctrl-C ended


def _recipe(
    sources: list[Path] | None,
    recipe: Path | None,
    base: str | None,
    encoder: str | None,
    minutes: float | None,
    judgements: list[Path] | None,
    seed: int | None,
) -> Recipe:
    from groundup.recipe import load_recipe

    return load_recipe(
        recipe,
        {
            "sources": tuple(path.resolve() for path in sources or ()),
            "base": base,
            "encoder": encoder,
            "minutes": minutes,
            "seed": seed,
            "evaluation.judgements": tuple(path.resolve() for path in judgements or ()),
        },
    )


def _say(text: str) -> None:
    typer.echo(text)


@contextlib.contextmanager
def _reading(file: Path | None, kind: str) -> Iterator[TextIO]:
    """The file, or stdin without one. Raises RequestError for what can't be read or is no UTF-8, also while reading."""
    from groundup.errors import RequestError

    try:
        lines = sys.stdin if file is None else file.open(encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{file} can't be read ({error.strerror})", mend=f"Name a file of {kind}.") from None
    with lines:
        try:
            yield lines
        except UnicodeDecodeError:
            wrong = f"{file or 'stdin'} holds bytes that are no UTF-8"
            raise RequestError(wrong, mend=f"Send {kind} in UTF-8.") from None


def _warn(text: str) -> None:
    if text:
        typer.echo(f"groundup: {text}", err=True)


def _json(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, as JSON may hold
            text = json.dumps(value, allow_nan=False)
    typer.echo(text)


@app.command()
def run(
    source: Sources = None,
    base: Base = None,
    encoder: Encoder = None,
    minutes: Minutes = None,
    judgements: Judgements = None,
    seed: Seed = None,
    recipe: RecipeFile = None,
    retrain: Annotated[bool, typer.Option(help="Train on the files as they are now, however few changed.")] = False,
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline, from files to a release; what is done already is kept.

    Example: `groundup run ~/notes --minutes 20`
    """
    from groundup.progress import open_sink
    from groundup.stages.run import run_pipeline

    chosen = _recipe(source, recipe, base, encoder, minutes, judgements, seed)
    with open_sink("json" if as_json else "auto") as sink:
        outcome = run_pipeline(chosen, store, sink, retrain=retrain)
    if as_json:
        _json(outcome.to_json())
    else:
        _say(outcome.text())
    if outcome.failure is not None:
        raise outcome.failure
    if outcome.stopped:
        typer.echo(f"groundup: {outcome.stopped}", err=True)
        raise typer.Exit(INTERRUPTED)


@app.command()
def plan(
    source: Sources = None,
    base: Base = None,
    encoder: Encoder = None,
    minutes: Minutes = None,
    judgements: Judgements = None,
    seed: Seed = None,
    recipe: RecipeFile = None,
    retrain: Annotated[bool, typer.Option(help="As for `run`.")] = False,
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Say what `run` would do with the same arguments, and why; change nothing.

    Example: `groundup plan ~/notes --minutes 20`
    """
    from groundup.stages.look_ahead import plan_pipeline

    outlook = plan_pipeline(_recipe(source, recipe, base, encoder, minutes, judgements, seed), store, retrain=retrain)
    if as_json:
        _json(outlook.to_json())
    else:
        _say(outlook.text())


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="Words to look for.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=1000, help="Results to show.")] = 10,
    system: Annotated[
        str, typer.Option(help="best, bm25, tfidf, dense, hybrid or rrf; best is what the last verdict chose.")
    ] = "best",
    explain: Annotated[
        bool, typer.Option(help="Show each system's rank and score, and the terms that matched.")
    ] = False,
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Search the index.

    Example: `groundup search "parse a date from text" -k 5`
    """
    from groundup.stages.use import search_index

    results = search_index(store, query, k=k, system=system, explain=explain)
    if as_json:
        _json(results.to_json())
    else:
        _say(results.text())


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="A question the corpus may answer.")],
    generated: Annotated[bool, typer.Option(help="Add an answer written by the champion, labelled as such.")] = True,
    memory: Annotated[
        MemoryUse, typer.Option(help="auto: the corpus' memory has its say if it was measured to help answers.")
    ] = "auto",
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Answer from the corpus with numbered citations, or say that it is not there.

    Example: `groundup ask "how do I open a zip file"`
    """
    from groundup.stages.use import ask_corpus

    answer = ask_corpus(store, question, generated=generated, memory=memory)
    _warn(answer.missed)
    if as_json:
        _json(answer.to_json())
    else:
        _say(answer.text())


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="Text to continue.")],
    model: Annotated[str, typer.Option(help="A model of the release, or `champion`.")] = "champion",
    chat: Annotated[bool, typer.Option(help="Put the prompt through the model's chat template.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens at most.")] = 128,
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy; 1 is the model's own distribution.")] = 0.8,
    top_k: Annotated[int | None, typer.Option(min=1, help="Keep the k likeliest tokens.")] = None,
    top_p: Annotated[
        float, typer.Option(min=0, max=1, help="Nucleus: keep the likeliest tokens up to this mass.")
    ] = 0.95,
    min_p: Annotated[float, typer.Option(min=0, max=1, help="Keep tokens at least this share of the likeliest.")] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(min=0.01, help="Above 1: seen tokens become less likely.")] = 1.0,
    presence_penalty: Annotated[float, typer.Option(min=-2, max=2, help="Off the logit of any token seen.")] = 0.0,
    frequency_penalty: Annotated[float, typer.Option(min=-2, max=2, help="Off the logit for each time seen.")] = 0.0,
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this text; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same text.")] = 0,
    memory: Annotated[
        MemoryUse, typer.Option(help="auto: the corpus' memory has its say if it was measured to help.")
    ] = "auto",
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Continue a text with the champion, word by word.

    Example: `groundup generate "def read_json(path):" --temperature 0.7`
    """
    from groundup.stages.use import generate_text

    generation = generate_text(
        store,
        prompt,
        model=model,
        chat=chat,
        memory=memory,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
        stop=tuple(stop or ()),
        seed=seed,
    )
    _warn(generation.missed)
    if as_json:
        text, reason = "", None
        for piece in generation.pieces:
            text, reason = text + piece.text, piece.finish_reason
        _json({"prompt": prompt, "text": text, "finish_reason": reason, "memory": generation.mixes})
        return
    for piece in generation.pieces:
        sys.stdout.write(piece.text)
        sys.stdout.flush()
    sys.stdout.write("\n")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; loopback unless you say otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    log: Annotated[bool, typer.Option(help="Keep a bounded log of requests for `groundup monitor`.")] = True,
    embed: Annotated[bool, typer.Option(help="Embed in the background what `run` had no time for.")] = True,
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Serve the champion: the OpenAI API, search, answers, metrics, and a page at /.

    Example: `groundup serve --port 8000`
    """
    from groundup.stages.serve import serve_release

    serve_release(store, host=host, port=port, log=log, embed=embed)


@app.command()
def monitor(store: StoreFolder = DEFAULT_STORE, as_json: Json = False) -> None:
    """Show what was served: requests, latencies, tokens, and how far the queries drift from the corpus.

    Example: `groundup monitor`
    """
    from groundup.stages.serve import monitor_requests

    summary = monitor_requests(store)
    if as_json:
        _json(summary.to_json())
    else:
        _say(summary.text())


@app.command()
def machine(
    refresh: Annotated[bool, typer.Option(help="Measure again instead of reading the cached figures.")] = False,
    as_json: Json = False,
) -> None:
    """Measure what this machine can do: number formats, bandwidth, memory.

    Example: `groundup machine`
    """
    from groundup.machine import profile

    measured = profile(refresh=refresh)
    if as_json:
        _json(measured.to_dict())
    else:
        _say(measured.sentence())


@app.command()
def releases(
    rollback: Annotated[bool, typer.Option(help="Move the champion back to the release before.")] = False,
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """List the releases and which one serves; or go back to the one before.

    Example: `groundup releases --rollback`
    """
    from groundup.stages.release import list_releases, roll_back

    if rollback:
        roll_back(store)
    listing = list_releases(store)
    if as_json:
        _json(listing.to_json())
    else:
        _say(listing.text())


@app.command()
def score(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)] = "champion",
    file: Annotated[
        Path | None, typer.Argument(help='File of lines {"id": "a", "text": "…"}; without one, stdin is read.')
    ] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Read and write lines of JSON, the only form there is.")
    ] = True,
    memory: Annotated[
        MemoryMode, typer.Option(help="auto: with the corpus' memory if the verdict says it helps; only: memory alone.")
    ] = "off",
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Say how surprised a model is by texts: of each, how many tokens were scored, their nats (−ln p) and bytes.

    One line out for each line in, in order; ids may repeat.

    Example: `groundup score smollm2 texts.jsonl`
    """
    from dataclasses import asdict

    from groundup.stages.score import score_lines

    with _reading(file, "lines of JSON") as lines:
        for scored in score_lines(model, store, lines, memory, str(file or "")):
            _json(asdict(scored))


@app.command()
def trace(
    file: Annotated[Path | None, typer.Argument(help="Text file, or JSON lines; without one, stdin is read.")] = None,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help='Read lines {"id": "a", "text": "…"}, write a line of spans for each.')
    ] = False,
    release: Annotated[str, typer.Option(help="A release's id, or `champion`.")] = "champion",
    store: StoreFolder = DEFAULT_STORE,
) -> None:
    """Say which runs of a text's words stand verbatim in the corpus, and in which documents.

    With --jsonl one line out for each line in, in order; ids may repeat.

    Example: `groundup generate "import json" | groundup trace`
    """
    from groundup.stages.memory_use import open_tracer
    from groundup.stages.trace_lines import render, trace_lines

    tracer = open_tracer(store, release)
    with _reading(file, "lines of JSON" if jsonl else "text") as lines:
        if jsonl:
            for found in trace_lines(tracer, lines, str(file or "")):
                _json(found)
        else:
            sys.stdout.write(render(tracer.trace(lines.read())) + "\n")


memory_app = typer.Typer(no_args_is_help=True, help="Look at the corpus' memory, or sort it anew.")
app.add_typer(memory_app, name="memory")


@memory_app.command("info")
def memory_info(
    check: Annotated[
        bool, typer.Option("--check", help="Read all of it and compare it with what was written.")
    ] = False,
    release: Annotated[str, typer.Option(help="A release's id, or `champion`.")] = "champion",
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Say what each decoder remembers of the corpus, whether that is whole and up to date, and whether it has a say.

    Ends with exit code 1 if one is damaged.

    Example: `groundup memory info --check`
    """
    from groundup.stages.memory_commands import memory_info

    found = memory_info(store, release, check=check)
    if as_json:
        _json(found.to_json())
    else:
        _say(found.text())
    if found.damaged:
        raise typer.Exit(1)


@memory_app.command("rebuild")
def memory_rebuild(store: StoreFolder = DEFAULT_STORE, as_json: Json = False) -> None:
    """Sort the memory of every decoder anew from the index's documents, however damaged it is; readers go on.

    Example: `groundup memory rebuild`
    """
    from groundup.progress import open_sink
    from groundup.stages.memory_commands import rebuild_memories

    with open_sink("json" if as_json else "auto") as sink:
        made = rebuild_memories(store, sink)
    if as_json:
        _json(made.to_json())
    else:
        _say(made.text())


@app.command()
def export(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    out: Annotated[Path, typer.Argument(help="Folder (hf) or file (gguf) to make; nothing is written over.")],
    to: Annotated[
        Target, typer.Option("--to", help="hf: a folder that transformers loads; gguf: a file for llama.cpp.")
    ] = "hf",
    number_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="Of the weights: f32, f16 or bf16; in gguf q8_0 too. [default: f32 in hf, f16 in gguf]"
        ),
    ] = None,
    drop_normalizer: Annotated[
        bool, typer.Option("--drop-normalizer", help="Leave out the tokenizer's normalizer, which GGUF can't hold.")
    ] = False,
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Write a language model for other programs, with its tokenizer and chat template.

    Example: `groundup export champion champion.gguf --to gguf`
    """
    from groundup.stages.export import export_model

    made = export_model(model, store, out, to, number_format, drop_normalizer=drop_normalizer)
    if as_json:
        _json(made.to_json())
    else:
        _say(f"{made.path}: {made.bytes / 1e6:,.1f} MB, weights in {made.format}")


@app.command(name="import")
def import_(
    model: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder of Hugging Face or sentence-transformers, or a GGUF file.")
    ],
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Read a model made elsewhere and say what it is, or what of it can't be computed exactly; nothing is copied.

    Example: `groundup import ~/models/SmolLM2-135M`
    """
    from groundup.stages.export import import_model

    found = import_model(model, store)
    if as_json:
        _json(found.to_json())
    else:
        _say(found.text())


@app.command()
def inspect(
    model: Annotated[
        str,
        typer.Argument(
            help="A language model, named as for `score`; or an encoder: a folder of sentence-transformers, a BERT's "
            "or ModernBERT's, `encoder-from-scratch` of the release, or `minilm` if installed."
        ),
    ],
    text: Annotated[str, typer.Argument(help="A sentence or a few, at most some 256 tokens.")],
    beside: Annotated[
        str | None, typer.Option("--with", help="A second text, to see what an encoder finds alike in the two.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("inspect.html"),
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Show what a model does with a text, in one page: attention, activations, and what they lead to.

    That is, of language models and of encoders that predict hidden tokens, probabilities, logit lens and gradients;
    of encoders that make vectors, what each token adds.

    Example: `groundup inspect smollm2 "The capital of France is Paris."`
    """
    from groundup.stages.inspect import inspect_text

    found = inspect_text(model, text, store, out, beside=beside)
    if as_json:
        _json(found.to_json())
    else:
        alike = "" if found.compared is None else f"; similarity {found.compared.similarity:.3f}"
        _say(f"{len(found.tokens)} tokens through {found.name}{alike}: open {out}")


@app.command()
def clean(
    delete: Annotated[
        bool, typer.Option(help="Delete; without it the command only says what it would delete.")
    ] = False,
    store: StoreFolder = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Find what no release and no run uses any more, and delete it when told to.

    Example: `groundup clean --delete`
    """
    from groundup.stages.release import clean_store

    swept = clean_store(store, delete=delete)
    if as_json:
        _json(swept.to_json())
    else:
        _say(swept.text())


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from groundup import __version__

        _say(__version__)
        raise typer.Exit


def _interrupted() -> NoReturn:
    typer.echo("groundup: stopped. What was finished is kept; the same command goes on from there.", err=True)
    sys.exit(INTERRUPTED)


def main() -> None:
    """Entry point of the `groundup` command."""
    # Before torch loads GNU's OpenMP, which reads this once. Its threads wait for each other by spinning, 300,000 times
    # over by default: on a machine with other work a training step took up to 15 times as long. 2,000 turns cost 6 % of
    # the speed on an idle machine and keep most of it on a busy one (docs/log.md, 2026-11-24).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    app()
