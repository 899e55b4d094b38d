"""pii against labelled texts (presidio-research), check sums computed otherwise, and code that must stay as it is."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.identifiers import is_iban, luhn
from groundup.corpus.pii import find, mask
from groundup.corpus.policy import CorpusPolicy
from tests.shared import shared_data

POLICY = CorpusPolicy()
LABELS = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "IBAN_CODE": "iban"}


def masked(text: str, *, code: bool = False) -> str:
    return mask(text, POLICY, code=code)[0]


def test_precision_and_recall_on_labelled_texts() -> None:
    hits, missed, false = Counter[str](), Counter[str](), Counter[str]()
    for line in (shared_data("pii") / "synth.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        found = find(case["text"], POLICY, code=False)
        for label, kind in LABELS.items():
            wanted = [(span["start"], span["end"]) for span in case["spans"] if span["type"] == label]
            spans = found.get(kind, [])
            for start, end in wanted:
                whole = any(a <= start and end <= b for a, b in spans)
                (hits if whole else missed)[kind] += 1
            false[kind] += sum(not any(a < end and start < b for start, end in wanted) for a, b in spans)
    for kind, count in {"email": 27, "card": 66, "phone": 64, "iban": 12}.items():
        assert hits[kind] + missed[kind] == count
        assert hits[kind] / count >= 0.97, kind
        assert hits[kind] / (hits[kind] + false[kind]) >= 0.97, kind


CODE = [
    "y = x@w.T + b",
    "out = a@b.to(device)",
    "P@Q.mean()",
    "@app.route('/x')\ndef f(): ...",
    "@pytest.mark.parametrize",
    "mail = 'someone@example.com'",
    "user@localhost",
    "git@github.com:someone/project.git",
    "icon@2x.png",
    "N = 4111111111111111",
    "SEED = 0x9E3779B97F4A7C15; M = 6364136223846793005",
    "t = 1700000000000",
    "x = 212-555-0123",
    "Decimal('+35236450.6')",
    "VERSION = '10.0.19041.1'",
    "range(1000000, 9999999)",
    "[3.14159265358979, 2.71828182845904]",
    "date(2024, 11, 24)  # 2024-11-24 18:58:58",
    "h = 'd41d8cd98f00b204e9800998ecf8427e'",
    "AKIAXXXXXXXXXXXXXXXX",
    "sk-000000000000000000000000000000000000000000000000",
]


@pytest.mark.parametrize("text", CODE)
def test_code_stays(text: str) -> None:
    assert mask(text, POLICY, code=True) == (text, [])


PROSE = [
    "Version 1.2.3 of 2024-11-24, 192.168.100.200 and 10.0.0.1.",
    "It cost 1 000 000 dollars in 1999 2000 2001, or 12 345 678 yen.",
    "ISBN 978-3-16-148410-0, see pp. 117-142, 7 (1950), 411-4305.",
    "QTc-max was 461 (402-540) ms in 1992-1995.",
    "Timestamps 1700000000 and 1700000000000, id 7405869283746512345.",
    "Write to someone@example.org, or see logo@2x.png.",
    "The call 1 000 000 people made.",
    "π = 3.14159265358979323846 and 6.02214076e23",
    "Order 2270-66-1551 shipped.",
]


@pytest.mark.parametrize("text", PROSE)
def test_numbers_of_other_kinds_stay(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Author: Ann Lee <ann.lee@some-company.org>", "Author: Ann Lee <<EMAIL>>"),
        ("a+b@c.de, d@e.co.uk.", "<EMAIL>, <EMAIL>."),
        ("Tel. (541) 754-3010 or +49 30 901820", "Tel. <PHONE> or <PHONE>"),
        ("650-253-0000 is the desk", "<PHONE> is the desk"),
        ("Tel: 0049 30 901820", "Tel: <PHONE>"),
        ("4111 1111 1111 1111", "<CARD>"),
        ("5500-0055-5555-5559", "<CARD>"),
        ("card 378282246310005", "card <CARD>"),
        ("Phone: 4111 1111 1111 1111", "Phone: <CARD>"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("DE89 3704 0044 0532 0130 00", "<IBAN>"),
        ("gb82west12345698765432", "<IBAN>"),
        ("GB83 WEST 1234 5698 7654 32", "GB83 WEST 1234 5698 7654 32"),
    ],
)
def test_what_is_masked_in_prose(text: str, wanted: str) -> None:
    assert masked(text) == wanted


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7bq2vXk\nQmFzZTY0\n-----END RSA PRIVATE KEY-----"
SECRETS = [
    KEY,
    KEY.replace("RSA ", ""),
    "AKIA" + "QWERTYUIOPASDFGH",
    "ghp_" + LETTERS[:36],
    "github_pat_" + LETTERS[:22] + "_" + LETTERS[:59],
    "sk-" + LETTERS[10:58],
    "sk-proj-" + LETTERS[:50],
    "AIza" + LETTERS[:35],
    "xoxb-" + LETTERS[36:] + "-x",
    "sk_live_" + LETTERS[:24],
]


@pytest.mark.parametrize("code", [True, False])
@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_masked_everywhere(secret: str, code: bool) -> None:
    text, found = mask(f'token = "{secret}"\n', POLICY, code=code)
    assert text == 'token = "<SECRET>"\n'
    assert [(what.kind, what.count) for what in found] == [("secret", 1)]


def test_only_the_value_of_an_aws_secret_goes() -> None:
    value = LETTERS[:36] + "/+aZ"
    assert masked(f"aws_secret_access_key = {value}") == "aws_secret_access_key = <SECRET>"
    assert masked(f"AWS_SECRET_ACCESS_KEY={value}") == "AWS_SECRET_ACCESS_KEY=<SECRET>"


def test_counts_and_bytes_are_of_what_was_hidden() -> None:
    _, found = mask("ä a@b.de und c@d.fr, Tel. 030 901820", POLICY, code=False)
    assert {what.kind: (what.count, what.bytes) for what in found} == {"email": (2, 12), "phone": (1, 10)}


def test_examples_hold_no_secret_of_any_kind() -> None:
    hidden = ["ann@lee.org", "4111 1111 1111 1111", "DE89370400440532013000", "+49 30 901820", "ghp_" + LETTERS[:36]]
    _, found = mask(" and ".join(hidden), POLICY, code=False)
    assert len(found) == 5
    for what in found:
        assert f"<{what.kind.upper()}>" in what.example
        assert not any(secret in what.example for secret in hidden)


def test_switched_off_kinds_stay() -> None:
    policy = CorpusPolicy(mask_emails=False, mask_cards=False, mask_ibans=False, mask_phones=False, mask_secrets=False)
    text = f"a@b.de 4111 1111 1111 1111 DE89370400440532013000 +49 30 901820 {SECRETS[2]}"
    assert mask(text, policy, code=False) == (text, [])


@pytest.mark.parametrize("piece", ["(", "1 ", "1(", "@", "a@", "1-", "AA00 ", "+1", "eyJ", "4111 1111 "])
def test_no_text_takes_long(piece: str) -> None:
    text = piece * (200_000 // len(piece)) + "!"
    mask(text, POLICY, code=False)  # the test's time limit is the check: nothing here may be quadratic


def test_an_address_book_is_masked_whole() -> None:
    book = "\n".join(f"person{i}@mail{i}.org  +1 650-253-{i:04d}" for i in range(3000))
    text, found = mask(book, POLICY, code=False)
    assert {what.kind: what.count for what in found} == {"email": 3000, "phone": 3000}
    assert set(text.split("\n")) == {"<EMAIL>  <PHONE>"}


PIECES = st.sampled_from(
    [
        "a@b.org",
        "+49 30 901820",
        "4111111111111111",
        "DE89370400440532013000",
        "tel ",
        " ",
        "\n",
        ",",
        "<EMAIL>",
        "-",
        "(",
        "650-253-0000",
        SECRETS[2],
        KEY,
        "x@y.T",
        "12",
        "card ",
        "é",
        ".com",
        "@",
        "+1",
        ")",
        "0",
    ]
)


@given(st.lists(st.one_of(PIECES, st.text(alphabet="0123456789 -+().@abx/", max_size=12)), max_size=12), st.booleans())
def test_masks_are_idempotent(pieces: list[str], code: bool) -> None:
    once = masked("".join(pieces), code=code)
    assert mask(once, POLICY, code=code) == (once, [])


@given(st.text(alphabet="0123456789", min_size=11, max_size=18))
def test_luhn_accepts_exactly_one_last_digit(digits: str) -> None:
    assert sum(luhn(digits + last) for last in "0123456789") == 1


@given(st.integers(0, 10**18 - 1))
def test_iban_check_digits_are_those_of_the_standard(account: int) -> None:
    body = f"{account:018d}"
    check = 98 - int(body + "131400") % 97  # D = 13, E = 14
    assert is_iban(f"DE{check:02d}{body}")
    assert not is_iban(f"DE{(check + 1) % 97:02d}{body}")
