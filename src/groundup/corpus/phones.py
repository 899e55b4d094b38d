"""Phone numbers: candidates by a regular expression, judged by phonenumbers' numbering plans and by what stands
beside them.

A number is one if it is written with its country code; or grouped just as its country groups its numbers; or if a
word beside it says phone. In code only valid numbers with a country code count. Dates, versions, network addresses,
identifiers and sums of money look much alike, and none of those may be lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers
from phonenumbers import NumberParseException

# Bounds on every repeat: a megabyte of brackets must not take a minute.
_REST = r"[\d()]{0,20}(?:[ \u00a0.\-/]{1,2}\(?\d[\d()]{0,20}){0,7}(?:[ ]?(?:x|ext\.?)[ ]?\d{1,6})?(?![\w%]|[.,:/\-]\d)"
# The second form must not start inside a word, a decimal, a path or an expression.
_CANDIDATE = re.compile(rf"(?<![\w+])\(?\+\(?[1-9]{_REST}|(?<![\w.,:/\-+=#$%*])[(\d]{_REST}|(?<=[A-Za-z\\],)\d{_REST}")

# Words that name a phone, and words that name the use of one: the latter stand beside other numbers too.
_NAMED = re.compile(
    r"(?:phone|tel|telephone|mobile|mob|cell|fax|whatsapp|sms|handy|telefon|telefono|teléfono|téléphone)\b"
    r"(?: (?:number|no\.?|nr\.?))?(?: is)?[\s:=#.]{0,4}$|\b(?:desk|office|home|work):\s{0,3}$",
    re.IGNORECASE,
)
_USED = re.compile(
    r"\b(?:call(?: me| us| him| her| them| back)?(?: (?:on|at))?|dial|ring|reach (?:me|us) (?:on|at)"
    r"|answering at|contact(?: number)?|messages? (?:to|on)|registered|text(?: me| us)? (?:on|at))[\s:]{1,3}$",
    re.IGNORECASE,
)
_NAMED_AFTER = re.compile(r"[\s\-,(]{0,3}(?:office|fax|mobile|cell|home|work|desk|phone)\b", re.IGNORECASE)
_CONTEXT = 40  # characters before a number that are looked at

_DATE = re.compile(
    r"^(?:(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ](?:19|20)?\d\d)(?:[ ]\d{1,2})?$"
)
_YEARS = re.compile(r"^(?:1[6-9]|20)\d\d(?:[-/ ]{1,3}(?:(?:1[6-9]|20)\d\d|\d\d))+$")
_NETWORK_ADDRESS = re.compile(r"^\d{1,3}(?:\.\d{1,3}){3}$")
_DECIMAL = re.compile(r"^\+\d+\.\d+$")
_ISBN = re.compile(r"^97[89][- ]")
_THOUSANDS = re.compile(r"^\d{1,3}(?:[ \u00a0.]\d{3})+$")
# Three groups at least, one kind of separator: ten digits in a row may be anything, "117-142, 7 (1950)" is a citation.
_AT_HOME = re.compile(
    r"^(?:\(\d+\)[ \u00a0]?\d+|\d+)(?:([ \u00a0.\-/])\d{2,})(?:\1\d{2,})*(?:[ ]?(?:x|ext\.?)[ ]?\d+)?$"
)
MIN_DIGITS, MAX_DIGITS = 7, 15  # E.164 allows 15; shorter than 7 is a short code, not a person
MAX_EXTENSION = 6


def find_phones(text: str, regions: tuple[str, ...], *, code: bool, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of phone numbers between two places of a text."""
    for match in _CANDIDATE.finditer(text, start, end):
        number = match.group()
        digits = sum(map(str.isdigit, number))
        balanced = number.count("(") == number.count(")")
        if balanced and MIN_DIGITS <= digits <= MAX_DIGITS + MAX_EXTENSION and _is_phone(text, match, regions, code):
            yield match.span()


def _is_phone(text: str, match: re.Match[str], regions: tuple[str, ...], code: bool) -> bool:
    number = match.group()
    if "+" in number:
        return not _DECIMAL.match(number) and _numbered(number, valid=code)
    if code or _DATE.match(number) or _YEARS.match(number) or _NETWORK_ADDRESS.match(number) or _ISBN.match(number):
        return False
    before = text[max(0, match.start() - _CONTEXT) : match.start()]
    if _NAMED.search(before) or _NAMED_AFTER.match(text, match.end()):
        return True
    if _USED.search(before) and not _THOUSANDS.match(number):
        return True
    if number.startswith("00"):
        return _numbered("+" + number[2:], valid=True)
    if not _AT_HOME.match(number):
        return False
    return any(_grouped_as_at_home(number, region) for region in regions)


def _numbered(number: str, *, valid: bool) -> bool:
    """Whether a number with its country code can be one, or is one of a range that is in use."""
    try:
        parsed = phonenumbers.parse(number, None)
    except NumberParseException:
        return False
    return phonenumbers.is_valid_number(parsed) if valid else phonenumbers.is_possible_number(parsed)


def _grouped_as_at_home(number: str, region: str) -> bool:
    """Whether the number is valid in the region and its groups of digits are those of the region's own format."""
    try:
        parsed = phonenumbers.parse(number, region)
    except NumberParseException:
        return False
    if not phonenumbers.is_valid_number_for_region(parsed, region):
        return False
    if parsed.extension:
        number = re.split(r"[ ]?(?:x|ext)", number, maxsplit=1)[0]
    groups = re.findall(r"\d+", number)
    national = re.findall(r"\d+", phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL))
    return len(groups) > 2 and groups in (national[: len(groups)], ["1", *national])
