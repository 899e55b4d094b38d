"""What every extractor takes and gives: bytes with a name in, documents and events out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from groundup.corpus.decode import Decoded, decode
from groundup.corpus.document import Document
from groundup.corpus.funnel import Event
from groundup.corpus.limits import ReadLimits


@dataclass(frozen=True, slots=True)
class RawFile:
    data: bytes
    source: str  # of the file, or "archive.zip!a/b.txt" of a member
    group: str
    depth: int = 0  # archives around it
    ending: str = ""  # how to read it, where its name doesn't say: found in its first bytes, or inside its .gz

    @property
    def name(self) -> str:
        return self.source.rpartition("/")[2].rpartition("!")[2]

    @property
    def suffix(self) -> str:
        """The lower-case ending without its dot: "py", "html"; "" without one."""
        if self.ending:
            return self.ending
        stem, dot, ending = self.name.rpartition(".")
        return ending.lower() if dot and stem else ""


def _ignore(source: str) -> None:
    return


@dataclass(slots=True)
class Context:
    """What is the same for all members of one file, and what they use up together."""

    limits: ReadLimits
    begin: Callable[[str], None] = _ignore  # told each member before it is parsed: if the parser dies, this one did it
    skip: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({})
    )  # source -> reason, from earlier tries
    unpacked_bytes: int = 0  # so far


Found = Iterator[Document | Event]
Extractor = Callable[[RawFile, Context], Found]


def unread(file: RawFile, rule: str, reason: str, *, size: int | None = None) -> Event:
    """A file or member that gives no document. `reason` without the rule's name in front."""
    return Event(
        "unread", "read", rule, f"{rule}: {reason}", file.source, bytes=len(file.data) if size is None else size
    )


def read_text(file: RawFile, declaration: re.Pattern[bytes] | None = None) -> tuple[Decoded | None, list[Event]]:
    """The decoded text with \\n for newlines, or None; and what there is to tell about it."""
    decoded = decode(file.data, declaration=declaration)
    if isinstance(decoded, str):
        rule, _, reason = decoded.partition(": ")
        return None, [unread(file, rule, reason)]
    text = decoded.text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return None, [unread(file, "empty", "no text but white space" if file.data else "0 bytes")]
    events = []
    if decoded.replaced:
        reason = f"undecodable_bytes: {decoded.replaced:,} became U+FFFD in {decoded.encoding}"
        events.append(Event("changed", "read", "undecodable_bytes", reason, file.source, count=decoded.replaced))
    return Decoded(text, decoded.encoding, decoded.how, decoded.replaced), events


def encoding_note(decoded: Decoded) -> dict[str, str]:
    """Metadata for an encoding that is worth telling."""
    return {} if decoded.encoding == "utf-8" else {"encoding": decoded.encoding}
