"""From bytes to text: which encoding, and whether it is text at all."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

import chardet

# Byte order marks, longest first: UTF-32's little-endian one begins with UTF-16's.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263, in the first two lines
HTML_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([-\w.:]+)""", re.IGNORECASE)
XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([-\w.:]+)["']""")
DECLARED_WITHIN = 4096  # bytes; HTML asks for 1,024, real pages are later

# Bytes that no text holds: C0 controls but tab, newlines, form feed, backspace and escape (terminal logs have them).
CONTROLS = bytes(set(range(32)) - {8, 9, 10, 11, 12, 13, 27}) + b"\x7f"
SAMPLE_BYTES = 1 << 16
MAX_CONTROL_SHARE = 0.01  # of the sample; random bytes have .10, source code with a stray control byte .0001
MAX_REPLACED_SHARE = 0.01  # of the characters; above, the encoding is wrong and not the file


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    encoding: str  # Python's codec name
    how: str  # "mark" | "utf-8" | "declared" | "detected"
    replaced: int  # undecodable sequences that became U+FFFD


def decode(data: bytes, *, declaration: re.Pattern[bytes] | None = None) -> Decoded | str:
    """The text in `data`, or the reason why there is none ("binary: …"). Newlines are kept as they are.

    In this order: a byte order mark; UTF-8, which other encodings hardly ever happen to be; the encoding the file
    declares (`declaration`: COOKIE, HTML_CHARSET or XML_ENCODING); chardet. Each must decode the whole file; a file
    that none decodes is read in chardet's choice with U+FFFD for what fails, up to MAX_REPLACED_SHARE.
    """
    for mark, encoding in MARKS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(encoding, "replace")
            return _accept(text, encoding, "mark")
    if wide := _utf16(data[:SAMPLE_BYTES]):
        return _accept(data.decode(wide, "replace"), wide, "detected")
    if reason := binary_reason(data):
        return reason
    try:
        return Decoded(data.decode("utf-8"), "utf-8", "utf-8", 0)
    except UnicodeDecodeError:
        pass
    declared = _declared(data, declaration)
    if declared:
        try:
            return Decoded(data.decode(declared), declared, "declared", 0)
        except (UnicodeDecodeError, LookupError):
            pass
    # The superset of the guess (cp1252 for latin-1, cp932 for shift_jis): only it decodes bytes beyond the sample.
    guess = str(chardet.detect(data, prefer_superset=True, compat_names=False)["encoding"] or "utf-8").lower()
    encodings = [guess, *([declared] if declared else []), "utf-8"]
    best: Decoded | str = "undecodable: no encoding fits"
    for encoding in encodings:
        try:
            decoded = _accept(data.decode(encoding, "replace"), encoding, "detected")
        except LookupError:
            continue
        if isinstance(best, str) or (isinstance(decoded, Decoded) and decoded.replaced < best.replaced):
            best = decoded
    return best


def binary_reason(data: bytes) -> str:
    """Why these bytes, in whatever encoding keeps ASCII, are no text; "" if they may be. Looks at SAMPLE_BYTES."""
    sample = data[:SAMPLE_BYTES]
    if not sample:
        return ""
    if b"\0" in sample:
        return f"binary: {sample.count(0):,} zero bytes > 0"
    controls = len(sample) - len(sample.translate(None, CONTROLS))
    share = controls / len(sample)
    if share > MAX_CONTROL_SHARE:
        return f"binary: {share:.1%} control bytes > {MAX_CONTROL_SHARE:.0%}"
    return ""


def _utf16(sample: bytes) -> str:
    """UTF-16 without a mark, mostly ASCII: zeros in nearly every other byte and in hardly any of the rest; or ""."""
    half = len(sample) // 2
    if half < 8 or 0 not in sample:
        return ""
    even, odd = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if max(even, odd) < 0.7 or min(even, odd) > 0.05:
        return ""
    return "utf-16-be" if even > odd else "utf-16-le"


def _declared(data: bytes, declaration: re.Pattern[bytes] | None) -> str:
    if declaration is None:
        return ""
    if declaration is COOKIE:
        match = next((m for line in data.split(b"\n", 2)[:2] if (m := COOKIE.match(line))), None)
    else:
        match = declaration.search(data[:DECLARED_WITHIN])
    if match is None:
        return ""
    name = match.group(1).decode("ascii", "replace").lower()
    # What pages call latin-1 is cp1252: browsers read it so (WHATWG Encoding Standard).
    name = "cp1252" if name in ("iso-8859-1", "latin-1", "latin1", "ascii", "us-ascii") else name
    try:
        # Only codecs from bytes to text: "rot13" and "zlib" are codecs too.
        info = codecs.lookup(name)
        return info.name if getattr(info, "_is_text_encoding", True) else ""
    except LookupError:
        return ""


def _accept(text: str, encoding: str, how: str) -> Decoded | str:
    replaced = text.count("\ufffd")
    if replaced > max(1.0, MAX_REPLACED_SHARE * len(text)):
        return f"undecodable: {replaced / len(text):.1%} of the characters don't decode as {encoding} > 1%"
    if text.count("\0") > 0:
        return f"binary: {text.count(chr(0)):,} zero characters > 0"
    return Decoded(text, encoding, how, replaced)
