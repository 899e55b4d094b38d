"""Traces against plain search: in the documents' texts, and over their bytes, which no tokenizer divides."""

from __future__ import annotations

import json
import sysconfig
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from groundup.errors import RequestError
from groundup.infinigram.memory import Memory
from groundup.infinigram.segment import Segment
from groundup.infinigram.span_filters import at_least, covered_by, not_contained, shrink
from groundup.infinigram.spans import maximal_runs
from groundup.stages.trace_lines import WARNING, render, trace_lines
from groundup.tokens.tokenizer import Tokenizer
from groundup.tokens.train import train_bpe
from groundup.tracing.text_tokens import TextTokens, is_prose
from groundup.tracing.tracer import COPIED, LEAST, Traced, Tracer

NOTES = {
    "alpine": "The marmot whistles twice when an eagle circles above the ridge. "
    "It whistles once for a fox on the path.",
    "köln": "Der Zug nach Köln fährt um zehn Uhr ab – „wie immer“ von Gleis drei. "
    "漢字を読む人は少ない。🙂 Ende der Liste hier.",
    "code": "def whistle(times: int) -> None:\n    for number in range(times):\n        print('whistle', number)\n",
}


@cache
def standard_library() -> dict[str, str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    rooms = ("json", "email", "http", "logging", "unittest", "concurrent/futures", "asyncio", "importlib")
    paths = sorted(path for room in rooms for path in folder.glob(f"{room}/*.py"))
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in paths}


@cache
def corpus() -> dict[str, str]:
    """Two thirds of some 2 MB of the standard library, and the notes."""
    return {name: text for i, (name, text) in enumerate(standard_library().items()) if i % 3} | NOTES


def held_out() -> list[str]:
    return [text[:4000] for i, text in enumerate(standard_library().values()) if i % 3 == 0]


@cache
def tokenizer() -> Tokenizer:
    return train_bpe(list(corpus().values()), 3000)


def segment(texts: dict[str, str]) -> Segment:
    made = tokenizer()
    separator = made.separator_id
    assert separator is not None
    streams = [np.array([separator, *made.encode(text)]) for text in texts.values()]
    offsets = np.cumsum([0, *(len(stream) for stream in streams)])
    return Segment.build(
        np.concatenate(streams),
        offsets,
        list(texts),
        tokenizer=made.digest,
        vocab_size=made.vocab_size,
        separator=separator,
    )


@cache
def tracer() -> Tracer:
    texts = corpus()

    def library(name: str) -> tuple[str, str, str] | None:
        return (name.upper(), f"notes/{name}", texts[name]) if name in texts else None

    return Tracer(Memory(segment(texts)), tokenizer(), library)


@cache
def byte_memory() -> Memory:
    """Every byte of the same texts is a token of its own, 0 between them: its spans are those of plain search."""
    streams = [np.append(0, np.frombuffer(text.encode(), np.uint8).astype(np.int64) + 1) for text in corpus().values()]
    offsets = np.cumsum([0, *(len(stream) for stream in streams)])
    stream = np.concatenate(streams)
    return Memory(Segment.build(stream, offsets, list(corpus()), tokenizer="bytes", vocab_size=257, separator=0))


def test_every_source_has_the_span_where_it_says() -> None:
    seen = 0
    for text in [*held_out(), *NOTES.values()]:
        traced = tracer().trace(text)
        for span in traced.spans:
            shown = text[span.start : span.end]
            assert shown == shown.strip() != ""
            assert span.tokens >= LEAST
            assert span.count >= 1 <= len(span.sources) == len(span.places) <= span.count
            assert len({source.document for source in span.sources}) == len(span.sources)
            for source in span.sources:
                assert corpus()[source.document].startswith(shown, source.start)
                assert (source.title, source.path) == (source.document.upper(), f"notes/{source.document}")
                seen += 1
    assert seen > 100


def test_runs_of_plain_search_over_bytes_are_found() -> None:
    """What the tokenizer's other ways at a run's edges cost: of the letters in runs of ≥ 40 bytes, under 2 %."""
    found = sought = 0
    for text in held_out():
        raw = text.encode()
        ids = np.frombuffer(raw, np.uint8).astype(np.int64) + 1
        edges = TextTokens(text, ids, np.arange(len(raw) + 1)).word_edges
        runs = at_least(not_contained(shrink(maximal_runs(byte_memory(), ids), edges, edges)), 40)
        letters = np.array([sign.isalnum() for sign in text for _ in sign.encode()])
        expected = covered_by(runs, len(raw)) & letters
        tokens = TextTokens.of(tokenizer(), text)
        ours = shrink(tracer().runs(tokens.ids, 1), tokens.word_edges, tokens.word_edges)
        covered = covered_by(tokens.bytes_at[ours], len(raw))
        found, sought = found + int((expected & covered).sum()), sought + int(expected.sum())
    assert sought > 300
    assert found / sought > 0.98


@pytest.mark.parametrize("name", list(NOTES))
def test_a_copied_document_is_all_copied(name: str) -> None:
    traced = tracer().trace(NOTES[name])
    assert traced.copied == 1.0
    assert traced.new == 0.0


def test_a_span_ends_where_its_sentence_does() -> None:
    text = (
        "As they say: marmot whistles twice when an eagle circles above the ridge. It whistles once for a fox on foot."
    )
    shown = [text[span.start : span.end] for span in tracer().trace(text, prose=True).spans]
    assert shown == ["marmot whistles twice when an eagle circles above the ridge.", "It whistles once for a fox on"]
    whole = [text[span.start : span.end] for span in tracer().trace(text, prose=False).spans]
    assert whole == ["marmot whistles twice when an eagle circles above the ridge. It whistles once for a fox on"]


def test_a_first_word_is_found_with_and_without_its_space() -> None:
    inside = "when an eagle circles above the ridge"
    for text in (inside, f"({inside})", f" {inside}", f"\n\n{inside}\n\n"):
        (span,) = tracer().trace(text).spans
        assert text[span.start : span.end] == inside
        assert [source.document for source in span.sources] == ["alpine"]
        assert span.count == 1


def test_words_are_whole() -> None:
    text = "Murmot whistles twice when an eagle circles above the ridges"
    (span,) = tracer().trace(text).spans
    assert text[span.start : span.end] == "whistles twice when an eagle circles above the"
    text = "Der Zug nach Köln fährt um zehn Uhr ab – „wie immer“ von Gleis dreizehn"
    (span,) = tracer().trace(text).spans
    assert text[span.start : span.end] == "Der Zug nach Köln fährt um zehn Uhr ab – „wie immer“ von Gleis"


def test_an_offset_counts_characters() -> None:
    text = "🙂 Ende der Liste hier"
    spans = tracer().trace(f"x é {text}").spans
    assert [(span.start, span.sources[0].start) for span in spans] == [(4, NOTES["köln"].index(text))]


def test_what_was_removed_is_no_source_and_what_was_added_is() -> None:
    texts = corpus()
    base = {name: text for name, text in texts.items() if name != "alpine"}
    removed = {"code": texts["code"]}
    memory = Memory(segment(base), segment({"alpine": texts["alpine"]}), segment(removed))
    changed = Tracer(memory, tokenizer(), tracer().library)
    (span,) = changed.trace("an eagle circles above the ridge, or a fox").spans
    assert [(source.document, source.start) for source in span.sources] == [
        ("alpine", texts["alpine"].index("an eagle"))
    ]
    assert changed.trace(NOTES["code"]).copied < 0.9
    gone = Tracer(tracer().memory, tokenizer(), lambda name: None)
    assert all(span.places and not span.sources for span in gone.trace(NOTES["alpine"]).spans)


def test_text_without_matches_has_none() -> None:
    for text in ("", " \n", "Zyx", "Qwvx zzkj pqqr"):
        traced = tracer().trace(text)
        assert (traced.spans, traced.copied) == ((), 0.0)
        assert render(traced)


def test_prose_is_told_from_code() -> None:
    assert is_prose(NOTES["alpine"])
    assert not is_prose(NOTES["code"])
    assert is_prose(f"{NOTES['alpine']}\n\n```python\n{NOTES['code'] * 9}```\n")


def test_sentences_begin_where_a_reader_says() -> None:
    parts = [
        "Dr J. Smith saw 3.5 of them, e.g. this one. ",
        "“Where?” ",
        "He said nothing…\n",
        "Then:\n\n",
        "A heading\n",
        "- one item\n",
        "- another! ",
        "終わり。",
        "次の文。",
    ]
    text = "".join(parts)
    every = TextTokens(text, np.zeros(0, np.int64), np.cumsum([0, *(len(sign.encode()) for sign in text)]))
    begins = np.cumsum([len(part) for part in parts])[:-1]
    found = [
        place + len(text[place:]) - len(text[place:].lstrip()) for place in np.flatnonzero(every.sentence_borders(True))
    ]
    assert found == begins.tolist()


def test_lines_have_the_promised_fields() -> None:
    lines = [json.dumps({"id": "any", "text": NOTES["alpine"]}), "", json.dumps({"text": "no match"})]
    first, second = json.loads(json.dumps(list(trace_lines(tracer(), lines))))
    assert (first["id"], second) == ("any", {"id": 3, "spans": []})
    assert [set(span) for span in first["spans"]] == [{"start", "end", "tokens", "count", "sources"}] * 2
    assert set(first["spans"][0]["sources"][0]) == {"document", "title", "path", "start"}
    assert first["spans"] == tracer().trace(NOTES["alpine"]).spans_as_data()


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "it is no JSON from column 2 on"),
        ('{"text": "x", }', "it is no JSON from column 15 on"),
        ('{"text": "x", "id": NaN}', "it is no JSON that can be read: NaN is no number there"),
        ('{"text": ' + "[" * 100_000, "it is no JSON that can be read: nested too deeply"),
        ("[]", "it is a list, not an object"),
        ("3", "it is a number, not an object"),
        ('{"id": 1}', 'it has no "text"'),
        ('{"text": 3}', '"text" is a number, not a string'),
        ('{"text": null}', '"text" is null, not a string'),
        ('{"text": ["x"]}', '"text" is a list, not a string'),
        ('{"text": "x", "id": null}', '"id" is null, neither a string nor a whole number'),
        ('{"text": "x", "id": {}}', '"id" is an object,'),
        ('{"text": "x", "id": [1]}', '"id" is a list,'),
        ('{"text": "x", "id": 1.5}', '"id" is a number,'),
        ('{"text": "x", "id": true}', '"id" is true or false,'),
    ],
)
def test_a_line_that_is_none_is_named_with_what_is_wrong(line: str, wrong: str) -> None:
    for file, place in (("", "line 2"), ("texts.jsonl", "texts.jsonl, line 2")):
        with pytest.raises(RequestError) as refused:
            list(trace_lines(tracer(), ['{"text": "x"}', line], file))
        assert refused.value.place == place
        assert refused.value.wrong.startswith(wrong)


def test_each_line_has_its_own_answer_though_ids_repeat() -> None:
    lines = [json.dumps({"id": 7, "text": text}) for text in (NOTES["alpine"], "no match", NOTES["alpine"])]
    found = list(trace_lines(tracer(), lines))
    assert [one["id"] for one in found] == [7, 7, 7]
    assert [bool(one["spans"]) for one in found] == [True, False, True]


def test_a_text_without_spans_says_how_long_one_would_have_been() -> None:
    shown = render(tracer().trace("Nobody knows zzkj pqqr why."))
    assert shown.splitlines()[-1] == f"No run of {LEAST} tokens or more of this text stands in the corpus."
    divided = Traced("a text", (), 0.3)  # copied, across a sentence's end
    assert render(divided).splitlines()[-1].startswith(f"No run of {LEAST} tokens or more within one sentence of")


def test_a_terminal_shows_spans_sources_and_shares() -> None:
    shown = render(tracer().trace(f"They wrote:\x1b[2J {NOTES['alpine']} Nobody knows zzkj pqqr why.\n"))
    assert "\x1b" not in shown
    assert "⟦1 The marmot whistles twice" in shown
    assert "at character 0 of notes/alpine" in shown
    assert f"copied (in runs of {COPIED} tokens or more)" in shown
    assert shown.endswith(WARNING)
    assert max(map(len, shown.splitlines())) <= 100
