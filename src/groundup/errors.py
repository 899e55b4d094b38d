"""What can go wrong in a way a person can mend, as one short tree.

GroundupError
├── RecipeError         a choice in a recipe, flag or environment variable
├── SourceError         a file or folder to read from
├── ModelError          a brought model: unknown family, broken or missing file
├── StoreError          the folder where work and results live
│   ├── StoreBusyError  another process is at work in it
│   └── ResumeError     a checkpoint that can't be continued exactly
├── CorpusError         too little left to work with
├── ReleaseError        no release, or one that lacks what is asked of it
└── RequestError        one request to the API

Each names the place, what is wrong and the mend. Anything else that escapes is our fault and keeps its traceback.
"""

from __future__ import annotations


class GroundupError(Exception):
    """An error a person can mend. `place`: file, field or artifact; `mend`: what to do about it.

    Whatever the caller wrote, `wrong` ends without a full stop and `mend` with one, so that all are printed alike.
    """

    exit_code = 1

    def __init__(self, wrong: str, *, mend: str, place: str = "") -> None:
        self.wrong, self.mend, self.place = wrong.rstrip(" ."), _sentence(mend), place
        said = f"{self.wrong}. {self.mend}".rstrip()
        super().__init__(f"{place}: {said}" if place else said)


def _sentence(text: str) -> str:
    """With the one full stop that ends it, unless it is empty or a question."""
    text = text.rstrip()
    return text if not text or text[-1] in "?!" else text.rstrip(" .") + "."


class RecipeError(GroundupError):
    exit_code = 2


class SourceError(GroundupError):
    exit_code = 3


class ModelError(GroundupError):
    exit_code = 4


class StoreError(GroundupError):
    exit_code = 5


class StoreBusyError(StoreError):
    exit_code = 6


class ResumeError(StoreError):
    pass


class CorpusError(GroundupError):
    exit_code = 7


class ReleaseError(GroundupError):
    exit_code = 8


class RequestError(GroundupError):
    """One API request. `param` is the field of the request, as OpenAI's error form has it."""

    exit_code = 9

    def __init__(self, wrong: str, *, mend: str, param: str | None = None, place: str = "", status: int = 400) -> None:
        self.param, self.status = param, status
        super().__init__(wrong, mend=mend, place=param or place)
