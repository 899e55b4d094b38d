from __future__ import annotations

import ast
from pathlib import Path

import pytest

from groundup.corpus.document import Document, make_document
from groundup.evaluation.docstrings import first_sentence, functions, strip_docstrings
from groundup.evaluation.known_items import known_items
from groundup.retrieval.chunk import chunk_document

CODE = '''"""Module words that nobody may find."""


class Shelf:
    """Keeps böoks in örder."""; size = 3

    def find_book(self, title):
        """Looks a volume up by what stands on its spine.

        More words.
        """
        return self.books[title]

    def add_book(self, book):
        """Add a book."""
        self.books[book.title] = book

    def get_name_of_shelf(self): "Get the name of the shelf."; return self.name

    def empty(self):
        """Nothing to find here at all."""
        raise NotImplementedError


def twice_a(x):
    """Returns the thing that was asked twice."""
    return x + 1


def twice_b(x):
    """returns the thing that was asked twice."""
    return x + 2


def copy_a(path):
    """Reads every byte of a small file."""
    return open(path).read()


def sum_all(values, *, start=0):
    """Total of numbers, from a given beginning on."""
    for value in values:
        start += value
    return start
'''
PROSE = """# Garden book

## Pruning roses well

Cut them back in early spring, before the first leaves show, always above a bud that looks outwards from the middle.

## Soil

Clay holds water, sand drains fast, and both get better with compost that has had a year to ripen in the dark corner.

## Short one

Too short.
"""


def code(source: str, text: str) -> Document:
    return make_document(source, text, group="g", title=source, kind="code", language="python")


def prose(source: str, text: str, title: str = "garden.md") -> Document:
    return make_document(source, text, group="g", title=title, kind="prose", language="en")


HELD_OUT = [code("shelf.py", CODE), prose("garden.md", PROSE)]
TRAINING = [
    code(f"t{i}.py", f'def other_{i}(path):\n    """Doc of {i}."""\n    return {i}\n\n\nX = {i}\n') for i in range(50)
]


def test_stripping_takes_every_docstring_out_and_nothing_else() -> None:
    text = strip_docstrings(CODE)
    assert text is not None
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            assert ast.get_docstring(node) is None
    without = [line for line in text.split("\n") if "..." not in line]
    assert all(line in CODE.split("\n") for line in without)
    assert "...; size = 3" in text
    assert "def get_name_of_shelf(self): ...; return self.name" in text


def test_stripping_the_standard_library_changes_docstrings_only() -> None:
    class Empty(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            self.generic_visit(node)
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
                node.body[0] = ast.Expr(ast.Constant(...))
            return node

    for path in sorted(Path(ast.__file__).parent.glob("[ij]*.py")):
        text = path.read_text(encoding="utf-8")
        stripped = strip_docstrings(text)
        assert stripped is not None
        assert ast.dump(ast.parse(stripped)) == ast.dump(Empty().visit(ast.parse(text)))


def test_questions_are_sentences_that_names_do_not_answer() -> None:
    made = known_items(HELD_OUT, TRAINING, seed=0, distractor_chunks=20)
    assert sorted(made.queries.values()) == [
        "Looks a volume up by what stands on its spine.",
        "Pruning roses well",
        "Reads every byte of a small file.",
        "Total of numbers, from a given beginning on.",
    ]


def test_no_answer_leaks_into_what_is_searched() -> None:
    made = known_items(HELD_OUT, TRAINING, seed=0, distractor_chunks=20)
    for question in made.queries.values():
        for document in made.documents:
            assert question not in document.text
            assert question not in document.title
            assert question not in document.source
            assert all(question not in chunk.indexed_text for chunk in chunk_document(document))
    assert not any("Doc of" in document.text for document in made.documents)


def test_each_judgement_is_the_item_its_question_came_from() -> None:
    made = known_items(HELD_OUT, TRAINING, seed=0, distractor_chunks=20)
    chunks = {chunk.id: chunk for document in made.documents for chunk in chunk_document(document)}
    titles = {}
    for query, text in made.queries.items():
        (item,) = made.judgements[query]
        titles[text] = {chunks[chunk].title for chunk, of in made.item_of_chunk.items() if of == item}
    assert titles["Looks a volume up by what stands on its spine."] == {"shelf.Shelf.find_book"}
    assert titles["Total of numbers, from a given beginning on."] == {"shelf.sum_all"}
    assert titles["Pruning roses well"] == {"garden.md"}


def test_an_answer_that_stands_there_twice_is_not_asked_for() -> None:
    again = code(
        "again.py", 'def copy_a(path):\n    """Slurps some little document."""\n    return open(path).read()\n'
    )
    made = known_items([*HELD_OUT, again], [], seed=0)
    assert "Reads every byte of a small file." not in made.queries.values()


def test_the_collection_depends_on_documents_and_seed_alone() -> None:
    first = known_items(HELD_OUT, TRAINING, seed=3, distractor_chunks=20)
    assert first == known_items(HELD_OUT[::-1], TRAINING[::-1], seed=3, distractor_chunks=20)
    assert first.documents != known_items(HELD_OUT, TRAINING, seed=4, distractor_chunks=20).documents
    assert len(first.documents) == 1 + 3 + 10  # a heading without text goes with the next section
    assert "20 chunks of 10 training documents" in first.note
    assert len(known_items(HELD_OUT, [], seed=0, queries=2).queries) == 2
    assert not first.enough


def test_clusters_follow_from_the_document_a_passage_came_from() -> None:
    clusters = {document.id: "c" for document in HELD_OUT}
    made = known_items(HELD_OUT, [], seed=0, clusters=clusters)
    assert set(made.clusters.values()) == {"c"}
    assert set(made.clusters) == {document.id for document in made.documents}


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("One. Two.", "One."),
        ("Broken over\n    two lines\n\nMore.", "Broken over two lines"),
        ("Uses :func:`~os.walk` and ``x``.", "Uses os.walk and x."),
        (">>> f(1)", ""),
        ("f(x) -> int", ""),
        ("x" * 400, ""),
    ],
)
def test_first_sentence(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence


def test_functions_know_their_place() -> None:
    for function in functions(CODE):
        assert CODE[function.start : function.end].lstrip().startswith(f"def {function.name}(")
    assert [f.qualified_name for f in functions(CODE)][:2] == ["Shelf.find_book", "Shelf.add_book"]
    assert not next(f for f in functions(CODE) if f.name == "empty").substantial
