"""Secrets that show what they are by their form: private keys and the tokens of well-known services.

Words such as `password = …` are left alone: manuals and tests are full of them, and none is a secret by its form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MIN_DIFFERENT_CHARACTERS = 13  # "AKIAXXXXXXXXXXXXXXXX" and "sk-000…" stand for a secret; a real one of 20 has about 15


def _token(form: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9])(?:{form})(?![A-Za-z0-9])")


_KEY = r"(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"

# A head that a cheap search finds -> the whole token, in the form its service documents; a group marks the secret part.
PATTERNS: dict[str, re.Pattern[str]] = {
    "-----BEGIN": re.compile(rf"-----BEGIN {_KEY}[\s\S]{{20,20000}}?-----END {_KEY}"),
    "AKIA": _token(r"AKIA[A-Z2-7]{16}"),
    "ASIA": _token(r"ASIA[A-Z2-7]{16}"),
    "ecret": re.compile(
        r"(?i:aws_?secret_?(?:access_?)?key)['\"]?\s{0,3}[:=]\s{0,3}['\"]?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
    ),
    "ECRET": re.compile(
        r"AWS_SECRET(?:_ACCESS)?_KEY['\"]?\s{0,3}[:=]\s{0,3}['\"]?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
    ),
    "ghp_": _token(r"ghp_[A-Za-z0-9]{36}"),
    "gho_": _token(r"gho_[A-Za-z0-9]{36}"),
    "ghs_": _token(r"ghs_[A-Za-z0-9]{36}"),
    "ghu_": _token(r"ghu_[A-Za-z0-9]{36}"),
    "github_pat_": _token(r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    "glpat-": _token(r"glpat-[A-Za-z0-9_\-]{20}"),
    "sk-": _token(
        r"sk-(?:proj|svcacct|admin|ant-[a-z0-9]+)-[A-Za-z0-9_\-]{40,200}"
        r"|sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|sk-[A-Za-z0-9]{48}"
    ),
    "k_live_": _token(r"[sr]k_live_[A-Za-z0-9]{24,99}"),
    "xox": _token(r"xox[abprs]-[A-Za-z0-9\-]{20,200}"),
    "AIza": _token(r"AIza[A-Za-z0-9_\-]{35}"),
    "hf_": _token(r"hf_[A-Za-z0-9]{34}"),
    "pypi-": _token(r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_\-]{50,300}"),
    "eyJ": _token(r"eyJ[A-Za-z0-9_\-]{10,2000}\.eyJ[A-Za-z0-9_\-]{10,4000}\.[A-Za-z0-9_\-]{20,1000}"),  # JSON web token
}


def find_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Spans of secrets. A text that holds none of the heads costs a substring search for each, 1 ms a megabyte."""
    for head, pattern in PATTERNS.items():
        if head not in text:
            continue
        for match in pattern.finditer(text):
            start, end = match.span(pattern.groups)
            if len(set(text[start:end])) >= MIN_DIFFERENT_CHARACTERS:
                yield start, end
