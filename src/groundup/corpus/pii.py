"""Masks for what identifies a person or opens a door: e-mail addresses, phone numbers, payment cards, IBANs, secrets.

Each kind is found by a cheap regular expression and then checked by what makes it one: a Luhn sum, IBAN's mod 97, a
numbering plan. What counts in code is stricter than in prose, for `x@y.T` is a matrix product and `4111…` mostly a
constant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from groundup.corpus.identifiers import is_card, is_iban, is_personal_email
from groundup.corpus.phones import find_phones
from groundup.corpus.policy import CorpusPolicy
from groundup.corpus.secret_patterns import find_secrets

EXAMPLE_CHARACTERS = 60  # of masked text on either side of a mask
MAX_PASSES = 5  # a mask can bring to light a second number that stood too close to the first

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Masked:
    """How often a kind was masked, how many bytes that hid, and the surroundings of the first mask, all masked."""

    kind: str  # "email"
    count: int
    bytes: int
    example: str


_USER = re.compile(r"[A-Za-z0-9._%+\-]{1,64}\Z")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9\-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9\-]*[@\w])")
# Every card, IBAN and number has a run like this, and few texts have many: the costlier patterns look around them only.
_DIGITS = re.compile(r"\d[\d ().\-/\u00a0]{4,}\d")
_AROUND = 64  # characters on either side of a run: longer than any of the patterns reaches
_CARD = re.compile(
    r"(?<![\w.])(?:\d{4}([ \-])\d{4}\1\d{4}\1\d{4}(?:\1\d{1,3})?|\d{4}([ \-])\d{6}\2\d{4,5}|\d{12,19})(?!\w|\.\d)"
)
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ ]?[A-Za-z0-9]{4}){2,7}(?:[ ]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"
)
_CARD_WORDS = re.compile(
    r"card|credit|debit|visa|master|amex|american express|\bcc\b|\bpan\b|payment|karte|carte|tarjeta", re.IGNORECASE
)
_CONTEXT = 40  # characters before a number in which a word may say what it is


def find(text: str, policy: CorpusPolicy, *, code: bool) -> dict[str, list[Span]]:
    """Where each kind stands, by kind. Spans don't overlap: what a check sum proves comes before phone numbers."""
    found: dict[str, list[Span]] = {}
    covered = bytearray(len(text))  # 1 where a span lies: an address book has thousands

    def claim(kind: str, spans: Iterator[Span]) -> None:
        for start, end in spans:
            if covered.find(1, start, end) < 0:
                covered[start:end] = b"\1" * (end - start)
                found.setdefault(kind, []).append((start, end))

    if policy.mask_secrets:
        claim("secret", find_secrets(text))
    if policy.mask_emails:
        claim("email", _emails(text, code))
    for start, end in _around_digits(text):
        if policy.mask_ibans:
            claim("iban", (m.span() for m in _IBAN.finditer(text, start, end) if is_iban(m.group())))
        if policy.mask_cards:
            claim("card", _cards(text, start, end, code))
        if policy.mask_phones:
            claim("phone", find_phones(text, policy.phone_regions, code=code, start=start, end=end))
    return found


def mask(text: str, policy: CorpusPolicy, *, code: bool) -> tuple[str, list[Masked]]:
    """The text with <EMAIL>, <PHONE>, <CARD>, <IBAN> and <SECRET> in place of what was found, and what was.

    Masking again changes nothing. A text without `@`, long digits or the head of a known secret costs 30 ms a megabyte.
    """
    counts: dict[str, int] = {}
    hidden: dict[str, int] = {}
    for _ in range(MAX_PASSES):
        found = find(text, policy, code=code)
        if not found:
            break
        pieces, at = [], 0
        for start, end, kind in sorted((start, end, kind) for kind, spans in found.items() for start, end in spans):
            pieces += [text[at:start], f"<{kind.upper()}>"]
            at = end
            counts[kind] = counts.get(kind, 0) + 1
            hidden[kind] = hidden.get(kind, 0) + len(text[start:end].encode("utf-8", "surrogatepass"))
        text = "".join([*pieces, text[at:]])
    return text, [Masked(kind, counts[kind], hidden[kind], _example(text, kind)) for kind in sorted(counts)]


def _example(masked: str, kind: str) -> str:
    at = max(0, masked.find(f"<{kind.upper()}>"))
    return masked[max(0, at - EXAMPLE_CHARACTERS) : at + EXAMPLE_CHARACTERS]


def _around_digits(text: str) -> Iterator[Span]:
    """Stretches of the text around runs of digits, in order, merged where they meet."""
    first = last = -1
    for match in _DIGITS.finditer(text):
        start, end = max(0, match.start() - _AROUND), min(len(text), match.end() + _AROUND)
        if first < 0:
            first, last = start, end
        elif start <= last:
            last = end
        else:
            yield first, last
            first, last = start, end
    if first >= 0:
        yield first, last


def _emails(text: str, code: bool) -> Iterator[Span]:
    # From each @ outwards: a pattern that starts at every word and runs to its end takes three times as long.
    at = text.find("@")
    while at >= 0:
        user = _USER.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at + 1) if user else None
        if user and domain and is_personal_email(text[user.start() : domain.end()], code=code):
            called = code and text[domain.end() : domain.end() + 1] in ("(", "[", "=")  # x@w.to(device)
            if not called:
                yield user.start(), domain.end()
        at = text.find("@", at + 1)


def _cards(text: str, start: int, end: int, code: bool) -> Iterator[Span]:
    for match in _CARD.finditer(text, start, end):
        said = _CARD_WORDS.search(text, max(0, match.start() - _CONTEXT), match.start()) is not None
        grouped = match.group(1) is not None or match.group(2) is not None
        # A bare run of digits in code is a constant, an id or a time unless something says card.
        if is_card(match.group(), said=said) and (said or grouped or not code):
            yield match.span()
