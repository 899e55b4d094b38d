"""What makes an e-mail address, a payment card number and an IBAN one: domains, issuer ranges and check sums."""

from __future__ import annotations

import re

# RFC 2606 and RFC 6761: names that belong to nobody, and stand in every manual.
_RESERVED_DOMAINS = re.compile(
    r"(?:^|\.)(?:example\.(?:com|org|net|edu)|example|test|invalid|localhost|local|localdomain|internal|lan|home\.arpa)$",
    re.I,
)
# User parts of repository addresses, and of senders nobody reads.
_SERVICE_NAMES = frozenset({"git", "hg", "svn", "noreply", "no-reply"})

# In code `a@b.to` may be a product with an attribute, so a name must end in what addresses in source files do end in.
_COMMON_TOP_LEVEL = frozenset(
    """
    com org net edu gov mil int info biz name pro io dev app ai me tv cloud online site tech xyz email ac ad ae ar
    at au be bg br by ca cat ch cl cn co cr cz de dk ee es eu fi fr gr hk hr hu ie il in ir is it jp kr lt lu lv
    ma mx my ng nl no nz pe ph pk pl pt ro rs ru sa se sg si sk th tr tw ua uk us uy ve vn za
    """.split()  # noqa: SIM905
)


def is_personal_email(address: str, *, code: bool) -> bool:
    """Whether an address of the right form may be a person's: no reserved domain, no file name, no product."""
    user, _, domain = address.rpartition("@")
    labels = domain.split(".")
    if user.startswith(".") or user.endswith(".") or ".." in user or not re.search(r"[A-Za-z0-9]", user):
        return False
    if any(not label or label.startswith("-") or label.endswith("-") for label in labels):
        return False
    if _RESERVED_DOMAINS.search(domain) or user.lower() in _SERVICE_NAMES:
        return False
    last = labels[-1]
    if code:
        return last.lower() in _COMMON_TOP_LEVEL and (last.islower() or last.isupper())
    return last.lower() not in {"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "py"}  # logo@2x.png


def luhn(digits: str) -> bool:
    """Whether the last digit is the others' check digit (ISO/IEC 7812-1, annex B). One random number in ten passes."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def is_card(text: str, *, said: bool) -> bool:
    """Whether digits (with spaces or hyphens) are a payment card's: an issuer's range and length, and a Luhn sum.

    said: something nearby says card; then rare lengths count too, which otherwise are mostly times and ids.
    """
    digits = re.sub(r"\D", "", text)
    return _issued(digits, said) and len(set(digits)) > 1 and luhn(digits)


def _issued(digits: str, said: bool) -> bool:
    length, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    if digits[0] == "4":
        return length == 16 or (said and length in (13, 19))  # Visa
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16  # Mastercard
    if two in (34, 37):
        return length == 15  # American Express
    if two in (36, 38, 39) or 300 <= three <= 305:
        return length == 14 or (said and length == 16)  # Diners Club
    if four == 6011 or two == 65 or 644 <= three <= 649:
        return length == 16 or (said and length == 19)  # Discover
    if 3528 <= four <= 3589 or (said and two == 35):
        return length == 16 or (said and length == 19)  # JCB
    if four in (1800, 2131):
        return said and length == 15  # JCB's old numbers
    return said and (two in (50, 62, 81) or 56 <= two <= 69) and 12 <= length <= 19  # Maestro, UnionPay


# Length of a whole IBAN by country: SWIFT's IBAN registry, release 99 (2024).
IBAN_LENGTHS = {
    pair[:2]: int(pair[2:])
    for pair in """
        AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20
        EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30
        KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24
        PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29
        VA22 VG24 XK20 YE30
    """.split()  # noqa: SIM905  a table of words reads better than a list of strings
}


def is_iban(text: str) -> bool:
    """Whether text (spaces allowed, any case) is an IBAN: a known country, its length, and 1 modulo 97 (ISO 13616)."""
    compact = text.replace(" ", "").upper()
    if IBAN_LENGTHS.get(compact[:2]) != len(compact):
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
