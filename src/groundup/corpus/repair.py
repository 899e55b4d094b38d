"""Text as it was meant: one kind of line end, and for prose broken encodings mended and Unicode composed (NFC).

Code is left as it was decoded but for its line ends and a byte order mark: a character mended in a string literal is
a bug.
"""

from __future__ import annotations

import re
import unicodedata

import ftfy
from ftfy.badness import is_bad

# What ftfy would change besides mojibake: control and format characters, ligatures, odd line ends.
_ODD_CHARACTERS = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\u2028\u2029"
    "\u206a-\u206f\ud800-\udfff\ufb00-\ufb06\ufeff\ufff9-\ufffd]"
)

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_NEIGHBOURS = 4  # characters on either side; ftfy's pattern looks at two

# Quotes stay as the person typed them, `&lt;` in a note about HTML is no accident, and Chinese commas are full-width.
_FTFY = ftfy.TextFixerConfig(unescape_html=False, uncurl_quotes=False, fix_character_width=False, explain=False)

MAX_PASSES = 8  # ftfy mends a line until nothing changes; once composed, it can rarely be mended once more


def repair(text: str, *, code: bool) -> tuple[str, dict[str, int]]:
    """The repaired text and, by rule, how many places changed: line ends, lines of mojibake, lines not composed.

    Repairing again changes nothing. Needs about 20 ms per megabyte of ASCII; text with broken lines 1 s per megabyte.
    """
    counts: dict[str, int] = {}
    if "\r" in text:
        counts["line_ends"] = text.count("\r")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.startswith("\ufeff"):
        counts["byte_order_mark"] = 1
        text = text.lstrip("\ufeff")
    if code or (text.isascii() and not _ODD_CHARACTERS.search(text)):
        return text, counts
    for _ in range(MAX_PASSES):
        before = text
        # is_bad is ftfy's own first question. It looks at characters side by side, and asking it of those beyond ASCII
        # and their neighbours alone saves asking it of every line: 60 MB/s against 1.5 on English prose.
        if _ODD_CHARACTERS.search(text) or is_bad(_beyond_ascii(text)):
            text = _counted(text, ftfy.fix_text(text, _FTFY), "mojibake", counts)
        if not unicodedata.is_normalized("NFC", text):
            text = _counted(text, unicodedata.normalize("NFC", text), "unicode_nfc", counts)
        if text == before:
            break
    return text, counts


def _counted(before: str, after: str, rule: str, counts: dict[str, int]) -> str:
    """`after`, with the lines it changed added to the count of a rule."""
    if after != before:
        old, new = before.split("\n"), after.split("\n")
        changed = (
            sum(a != b for a, b in zip(old, new, strict=False)) if len(old) == len(new) else abs(len(new) - len(old))
        )
        counts[rule] = counts.get(rule, 0) + max(1, changed)
    return after


def _beyond_ascii(text: str) -> str:
    """The characters beyond ASCII with their neighbours, a line for each place."""
    places = (match.span() for match in _BEYOND_ASCII.finditer(text))
    return "\n".join(text[max(0, start - _NEIGHBOURS) : end + _NEIGHBOURS] for start, end in places)
