"""A tiny real service: random models of two kinds, a hand-made index, an encoder that hashes."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI

from groundup.generation.generator import Generator
from groundup.generation.logits import Logits
from groundup.generation.turns import Turns
from groundup.infinigram.memory import Memory
from groundup.infinigram.segment import Segment
from groundup.monitoring.drift import count_query
from groundup.nn.config import decoder_config
from groundup.nn.transformer import Transformer
from groundup.serving.release_service import ReleaseService, ServedMemory
from groundup.serving.results import Citation, Coverage, Extract, Found, MatchedTerm, Quote
from groundup.serving.server import listen, make_server
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe
from groundup.tracing.tracer import Tracer

TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' and not loop.first %}"
    "{{ raise_exception('a system message comes first') }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SENTENCES = [
    "JSONDecoder.decode returns the Python representation of a JSON string.",
    "A Counter is a dict subclass for counting hashable objects — naïve, 日本語 too.",
    "urlsplit parses a URL into five components and returns a named tuple.",
]


def make_tokenizer() -> Tokenizer:
    return train_bpe([sentence for sentence in SENTENCES for _ in range(20)], 420)


def make_generator(
    tokenizer: Tokenizer, *, chat: bool, context_length: int = 400, turns: Turns | None = None
) -> Generator:
    config = decoder_config(tokenizer.vocab_size, 32, 2, context_length=context_length, head_dim=8)
    return Generator(Transformer(config), tokenizer, chat_template=TEMPLATE if chat else None, turns=turns)


class HashEncoder:
    """Unit vectors from the words' hashes; one token a word."""

    name, dim, max_tokens = "hash", 16, 8

    def encode(
        self, texts: Sequence[str], *, kind: Literal["query", "document"] = "document"
    ) -> npt.NDArray[np.float32]:
        rows = []
        for text in texts:
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
            row = np.random.default_rng(seed).standard_normal(self.dim)
            rows.append(row / np.linalg.norm(row))
        return np.asarray(rows, np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class ListIndex:
    """Finds sentences by shared words."""

    systems, best_system = ("best", "bm25"), "bm25"

    def search(self, query: str, k: int, system: str, *, explain: bool = False) -> list[Found]:
        wanted = set(query.lower().split())
        scored = [(len(wanted & set(text.lower().split())), text) for text in SENTENCES]
        best = sorted((pair for pair in scored if pair[0]), reverse=True)[:k]
        return [
            Found(
                rank,
                score,
                f"{rank:032x}",
                "lib/a.py",
                10,
                "a",
                text,
                "code",
                {"bm25": rank},
                {"bm25": score} if explain else {},
                [MatchedTerm("json", 2, 0.5, 1.0)] if explain else [],
                ["zebra"] if explain else [],
            )
            for rank, (score, text) in enumerate(best, 1)
        ]

    def answer(self, question: str, k: int) -> Extract:
        found = self.search(question, k, "best")
        if not found:
            return Extract([], [], "no passage shares a word with the question")
        citations = [Citation(f.rank, f.id, f.source, f.line, f.title, f.text) for f in found]
        return Extract([Quote(found[0].text, 1, 0.9, 0, len(found[0].text))], citations)

    def coverage(self) -> Coverage:
        return Coverage(2, 3, "hash")

    def documents(self) -> int:
        return 3

    def document(self, name: str) -> tuple[str, str, str] | None:
        return note(name)


def make_service(*, waiting: int = 16) -> ReleaseService:
    """Models: scratch (completes, champion), chatty (chats), endless (never draws an end)."""
    tokenizer, turns = make_tokenizer(), Turns(waiting)
    known = {word for text in SENTENCES for word in text.lower().split()}
    endless = make_generator(tokenizer, chat=True, context_length=8000, turns=turns)
    endless.drawable.ends = frozenset()
    return ReleaseService(
        "r1",
        {
            "scratch": make_generator(tokenizer, chat=False, context_length=64, turns=turns),
            "chatty": make_generator(tokenizer, chat=True, turns=turns),
            "endless": endless,
        },
        "scratch",
        {"hash": HashEncoder()},
        "hash",
        ListIndex(),
        created=1_760_000_000,
        licenses={"chatty": "Apache-2.0"},
        verdicts=["scratch serves: nothing else was measured."],
        describe=lambda query, found: count_query(
            query.lower().split(), lambda word: 100 * (word in known), 1000, 0.5
        ).to_record(),
    )


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The app on a real socket, in a thread; gives its URL."""
    with listen("127.0.0.1", 0) as opened:
        server = make_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            app.state.server = server
            yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


NOTES = {
    "a" * 32: "naïve 🐦 birds\n" + "".join(f"{sentence}\n" for sentence in SENTENCES),
    "b" * 32: f"Once more: {SENTENCES[0]}\nAnd 🙂 the end of the page.",
}  # documents by id, as the index has them


def note(name: str) -> tuple[str, str, str] | None:
    """(title, path, text) of a document."""
    return (f"title of {name[0]}", f"notes/{name[0]}.md", NOTES[name]) if name in NOTES else None


def make_tracer(tokenizer: Tokenizer) -> Tracer:
    """Over a memory of the notes."""
    separator = tokenizer.separator_id
    assert separator is not None
    streams = [np.array([separator, *tokenizer.encode(text)]) for text in NOTES.values()]
    segment = Segment.build(
        np.concatenate(streams),
        np.cumsum([0, *map(len, streams)]),
        list(NOTES),
        tokenizer=tokenizer.digest,
        vocab_size=tokenizer.vocab_size,
        separator=separator,
    )
    return Tracer(Memory(segment), tokenizer, note)


class Parrot:
    """A memory that knows one thing to say, whatever stands before, and says it again and again."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = list(tokens)

    def recall(self, prompt: Sequence[int]) -> Says:
        return Says(self._tokens)


class Says:
    """What the parrot says in one text."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens, self._at = tokens, 0

    def mix(self, logits: Logits) -> Logits:
        mixed = np.full_like(logits, -50.0)
        mixed[self._tokens[self._at % len(self._tokens)]] = 50.0
        return mixed

    def draft(self, limit: int) -> list[int]:
        return []

    def match_length(self) -> int:
        return 0

    def advance(self, token: int) -> None:
        self._at += 1


def remembering(*, completes: bool = True, answers: bool | None = True) -> ReleaseService:
    """`make_service` with texts that can be traced, and with memories that say SENTENCES[1]."""
    service = make_service()
    tokenizer = service.generators["scratch"].tokenizer
    tracer, parrot = make_tracer(tokenizer), Parrot(tokenizer.encode(SENTENCES[1]))
    memories = {name: ServedMemory(parrot, completes, answers) for name in ("scratch", "chatty")}
    return replace(service, memories=memories, tracer=lambda: tracer)
