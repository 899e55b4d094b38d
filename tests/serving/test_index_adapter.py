"""The real index behind the real routes' face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from groundup.corpus.document import Document, document_id
from groundup.errors import RequestError
from groundup.retrieval.answer import AnswerPolicy
from groundup.retrieval.index import Index, IndexStore
from groundup.serving.index_adapter import ServedIndex
from tests.serving.parts import HashEncoder

TEXTS = {
    "notes/birds.md": "# Birds\n\nAll fly.\n\n## Kingfisher\n\nThe kingfisher 🐦 nests in banks. It eats fish.\n",
    "notes/trees.md": "# Trees\n\nThe alder grows beside rivers. Its roots fix nitrogen.\n",
    "lib/shape.py": 'def area(radius):\n    """Area of a circle."""\n    return 3.14 * radius ** 2\n',
}


class Encoder(HashEncoder):
    digest = "h" * 64

    def encode(self, texts, *, kind="document", batch_size=32):  # type: ignore[no-untyped-def]
        return super().encode(texts, kind=kind)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    made = IndexStore(tmp_path_factory.mktemp("index")).refresh(
        Document(document_id(source, text), source, source.split("/", maxsplit=1)[0], Path(source).stem, text,
                 "code" if source.endswith(".py") else "prose", "en", {})
        for source, text in TEXTS.items()
    )  # fmt: skip
    yield made
    made.close()


def test_found_passages_carry_place_systems_and_scores(index: Index) -> None:
    served = ServedIndex(lambda: index)
    found = served.search("kingfisher fish", 5, "best", explain=True)
    assert (found[0].source, found[0].rank, found[0].found_by) == ("notes/birds.md", 1, {"bm25": 1})
    assert found[0].scores["bm25"] == pytest.approx(found[0].score, rel=1e-4)
    assert TEXTS["notes/birds.md"].splitlines()[found[0].line - 1] in found[0].text
    assert served.documents() == 3


def test_quotes_lie_where_they_say_in_their_passage(index: Index) -> None:
    extract = ServedIndex(lambda: index, policy=AnswerPolicy(threshold=0.1)).answer("where does the kingfisher nest", 3)
    assert extract.quotes
    for quote in extract.quotes:
        passage = next(citation for citation in extract.citations if citation.number == quote.citation)
        assert passage.text[quote.start : quote.end] == quote.text


def test_what_the_documents_do_not_hold_is_refused_with_a_reason(index: Index) -> None:
    extract = ServedIndex(lambda: index, policy=AnswerPolicy(threshold=0.9)).answer("who won the cup in 1966", 3)
    assert extract.refused
    assert extract.reason


def test_coverage_grows_while_chunks_are_embedded(index: Index) -> None:
    encoder = Encoder()
    served = ServedIndex(lambda: index, encoder)
    assert served.coverage().embedded == 0
    index.embed_missing(encoder, limit=1)
    assert served.coverage().sentence == f"dense covers 1 of {index.chunks}"
    assert served.systems == ("best", "bm25", "tfidf", "dense", "hybrid", "rrf")


def test_a_system_that_needs_an_encoder_is_refused_without_one(index: Index) -> None:
    served = ServedIndex(lambda: index)
    assert "dense" not in served.systems
    with pytest.raises(RequestError, match="encoder") as caught:
        served.search("x", 5, "dense")
    assert caught.value.param == "system"


def test_a_query_is_counted_by_the_indexs_own_terms_and_nearest_vector(index: Index) -> None:
    encoder = Encoder()
    index.embed_missing(encoder)
    assert ServedIndex(lambda: index).count("kingfishers zebra").nearest is None
    served = ServedIndex(lambda: index, encoder)
    counts = served.count("kingfishers nest zebra")
    assert (counts.bands[0], sum(counts.bands)) == (1, 3)  # the stem of "kingfishers" is in the corpus
    best = served.search("kingfishers nest zebra", 3, "dense", explain=True)
    assert counts.nearest == pytest.approx(best[0].score, abs=1e-5)
    assert served.count("kingfishers nest zebra", best).nearest == pytest.approx(best[0].score, abs=1e-5)


def test_only_an_explained_result_has_scores_and_terms(index: Index) -> None:
    encoder = Encoder()
    index.embed_missing(encoder)
    served = ServedIndex(lambda: index, encoder)
    plain = served.search("kingfisher fish fish zebra", 5, "bm25")
    assert all(not one.scores and not one.matched and not one.unknown for one in plain)
    told = served.search("kingfisher fish fish zebra", 5, "bm25", explain=True)
    assert [one.id for one in told] == [one.id for one in plain]
    assert set(told[0].scores) == {"bm25", "tfidf", "dense:hash"}
    (passage,) = (index.chunk(row) for row in range(index.chunks) if index.chunk(row).id == told[0].id)
    held = passage.indexed_text.lower().split()
    counts = {"kingfish": sum(word == "kingfisher" for word in held), "fish": sum(word == "fish." for word in held)}
    assert {term.term: term.count for term in told[0].matched} == counts
    assert all(term.idf > 0 for term in told[0].matched)
    assert told[0].unknown == ["zebra"]
    assert sum(term.score for term in told[0].matched) == pytest.approx(told[0].score, rel=1e-4)
    tfidf = served.search("kingfisher fish fish zebra", 1, "tfidf")[0]
    assert tfidf.id == told[0].id
    assert told[0].scores["tfidf"] == pytest.approx(tfidf.score, rel=1e-4)
