"""One extractor for each family of files; `extract` picks it."""

from groundup.corpus.extract.base import Context, Found, RawFile
from groundup.corpus.extract.dispatch import extract

__all__ = ["Context", "Found", "RawFile", "extract"]
