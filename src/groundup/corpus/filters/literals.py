"""Code that is a table of data: nearly all lines hold numbers, strings and punctuation alone."""

from __future__ import annotations

import re

from groundup.corpus.document import Document
from groundup.corpus.filters.verdict import over_batches
from groundup.corpus.policy import CorpusPolicy

MIN_LITERAL_CHARACTERS = 0.2  # of all bytes digits, quotes and commas: cheaper to count than lines; code has about .08

# A line of literals: numbers (hex, floats), strings, constants and the punctuation between them, perhaps a comment
# after.
_LITERAL_LINE = re.compile(
    r"^[ \t]*(?=[^\s#])(?:[bruBRU]{0,2}'[^'\n\\]*(?:\\.[^'\n\\]*)*'|[bruBRU]{0,2}\"[^\"\n\\]*(?:\\.[^\"\n\\]*)*\""
    r"|[-+]?(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+)[jJlLuU]?|True|False|None|null|true|false"
    r"|[\[\](){},:;= \t+-])++(?:#[^\n]*|//[^\n]*)?$",
    re.MULTILINE,
)


@over_batches
def literal_table(document: Document, policy: CorpusPolicy) -> str:
    text = document.text
    if document.kind != "code" or len(text) < policy.code_min_bytes:
        return ""
    punctuation = sum(map(text.count, "0123456789,'\""))
    if punctuation < MIN_LITERAL_CHARACTERS * len(text):
        return ""
    share = sum(len(match.group()) for match in _LITERAL_LINE.finditer(text)) / len(text)
    if share <= policy.max_literal_line_share:
        return ""
    return f"literal_table: {share:.2f} > {policy.max_literal_line_share:.2f}"
