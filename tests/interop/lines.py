"""Lines to compare tokenizers on: the standard library's sources, and every kind of character in odd company."""

from __future__ import annotations

import random
import sysconfig
import unicodedata
from pathlib import Path

WHITE = " \t\n\r\x0b\x0c\x1c\x85\u00a0\u1680\u2000\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
PIECES = (
    "'s",
    "'LL",
    "'ve",
    "123",
    "  ",
    "\r\n",
    "١٢٣",
    "½",
    "e\u0301",
    "👩‍👩‍👧",
    "<|im_end|>",
    "\x00",
    "\x04\x7f",
    "\U00040000",
)


def code_lines(count: int) -> list[str]:
    """Lines of the standard library that aren't blank, the same on every call."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))
    draw = random.Random(0)
    draw.shuffle(paths)
    lines: list[str] = []
    for path in paths:
        if "site-packages" not in path.parts and len(lines) < 2 * count:
            lines += [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    draw.shuffle(lines)
    return lines[:count]


def odd_lines(count: int, *, without: str = "") -> list[str]:
    """Up to 30 characters or pieces each: half of any assigned character, the rest ASCII, white space and PIECES.

    Assigned: by the Unicode of this Python, which is older than llama.cpp's and the `tokenizers` library's.
    """
    draw = random.Random(1)
    numbers = (number for number in range(0x110000) if not 0xD800 <= number < 0xE000)
    assigned = [chr(number) for number in numbers if unicodedata.category(chr(number)) not in ("Cn", "Co")]
    kinds = (assigned, [chr(number) for number in range(32, 127)], list(WHITE), list(PIECES))
    lines = []
    for _ in range(count):
        chosen = draw.choices(kinds, (50, 30, 12, 8), k=draw.randrange(1, 30))
        lines.append("".join(draw.choice(kind) for kind in chosen).translate(dict.fromkeys(map(ord, without))))
    return lines
