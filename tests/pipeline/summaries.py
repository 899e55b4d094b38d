"""Summaries to render: a whole run, and one that stopped half-way. The corpus' text in them is hostile."""

from __future__ import annotations

from groundup.evaluation.bands import Band
from groundup.evaluation.memory_verdict import MemoryVerdict
from groundup.evaluation.verdict import Comparison, Estimate, Row, Table
from groundup.machine import Machine
from groundup.pipeline.summary import (
    Choice,
    Coverage,
    CurvePoint,
    Failure,
    Flow,
    FunnelRow,
    RunSummary,
    Sample,
    Staleness,
    Step,
)

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
DOCUMENTS, PACKAGES = "held-out documents", "held-out packages"


def estimate(value: float, n: int = 120, spread: float = 0.04) -> Estimate:
    return Estimate(value, value * (1 - spread), value * (1 + 1.2 * spread), n)


def generation() -> Table:
    return Table(
        id="generation",
        title="Completion",
        metric="held-out text",
        unit="bits per byte",
        higher_is_better=False,
        columns=[DOCUMENTS, PACKAGES],
        rows=[
            Row("SmolLM2-135M", "candidate", {DOCUMENTS: estimate(0.831), PACKAGES: estimate(0.902, 41)}, serves=True),
            Row(
                "5-gram (Kneser–Ney)",
                "baseline",
                {DOCUMENTS: estimate(1.23), PACKAGES: estimate(1.61, 41)},
                note="interpolated, modified; counted on all 22 M training tokens",
            ),
            Row("zstd -19", "baseline", {DOCUMENTS: estimate(1.375)}, note="16 MiB of training text as dictionary"),
            Row("from scratch", "candidate", {DOCUMENTS: estimate(2.071), PACKAGES: estimate(2.2, 41)}),
        ],
        comparisons=[
            Comparison("SmolLM2-135M", "from scratch", DOCUMENTS, Estimate(-1.24, -1.29, -1.19, 120)),
            Comparison("SmolLM2-135M", "5-gram (Kneser–Ney)", DOCUMENTS, Estimate(-0.4, -0.45, -0.36, 120)),
        ],
        sentence=(
            "SmolLM2-135M serves: 0.831 bits per byte on 120 held-out documents, 60 % fewer than from scratch (2.071; "
            "interval 57 to 62 %). Training from scratch, 4.0 minutes on 1.3 M tokens, bought 2.071 bits per byte: "
            "0.841 more than 5-gram (Kneser–Ney), 0.696 more than zstd -19. Between 330 k and 1.3 M tokens its "
            "held-out curve falls by 0.240 with each doubling: at this slope it would need about 36 times the tokens "
            "(2.4 hours here) to overtake SmolLM2-135M if the curve stayed straight, which curves don't: they flatten."
        ),
        warnings=[
            "SmolLM2-135M may have read these very files in its own training; then its figure flatters it.",
            "SmolLM2-135M has no token for 14 bytes of this text; each is charged 8 bits.",
        ],
        seen={DOCUMENTS: 0.1402, PACKAGES: 0.0004},
        notes=["MinHash similarity: documents from 0.5 up stand on one side of the split."],
    )


def memory() -> MemoryVerdict:
    bands = [
        Band(0, 1, 479, 1752, 2192.0, 4051.0, 1818.0, 34, 397, 414.0, 40.0),
        Band(2, 3, 0, 0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0.0),
        Band(4, 7, 2790, 9402, 9195.0, 11617.0, 6999.0, 845, 1681, 2610.0, 414.0),
        Band(32, None, 922, 3639, 2441.0, 486.0, 417.0, 904, 97, 2032.0, 8.0),
    ]
    sentence = "Memory helps SmolLM2-135M by 33 % (interval 25 to 40 %)."
    return MemoryVerdict("SmolLM2-135M", True, sentence, {DOCUMENTS: bands})


def search() -> Table:
    names = [("hybrid: BM25 + minilm", 0.74), ("BM25", 0.712), ("dense: minilm", 0.69), ("TF-IDF", 0.655)]
    return Table(
        id="search",
        title="Search",
        metric="known-item questions",
        unit="nDCG@10",
        higher_is_better=True,
        columns=["questions"],
        rows=[
            Row(
                name,
                "candidate",
                {"questions": Estimate(value, value - 0.03, value + 0.03, 200)},
                serves=name == "hybrid: BM25 + minilm",
            )
            for name, value in names
        ],
        comparisons=[Comparison("hybrid: BM25 + minilm", "BM25", "questions", Estimate(0.028, -0.002, 0.058, 200))],
        sentence="hybrid: BM25 + minilm serves: nDCG@10 0.740 on 200 questions; BM25 can't be told apart from it.",
    )


def whole() -> RunSummary:
    curve = [
        CurvePoint(
            tokens=1 << k,
            train_bits_per_byte=1.1 + 7 * (1 << 12) ** 0.3 / (1 << k) ** 0.3 * (1 + 0.02 * (-1) ** k),
            held_out_bits_per_byte=1.2 + 7 * (1 << 12) ** 0.3 / (1 << k) ** 0.3 if k % 2 == 0 else None,
            gradient_norm=2.0 - k / 20,
            seconds=240 * 2.0 ** (k - 20),
        )
        for k in range(12, 21)
    ]
    return RunSummary(
        command="groundup run --base smollm2 --encoder minilm",
        started="2026-11-24T19:40:12+00:00",
        seconds=611.4,
        verdicts=[generation(), search()],
        memory=[memory()],
        warnings=["The disk has 3.1 GB free; the next training run may need 2 GB."],
        documents_in=8258,
        bytes_in=141_000_000,
        documents_out=7011,
        bytes_out=104_200_000,
        flow=[
            Flow("files found", 8258, 141_000_000),
            Flow("read", 8231, 139_000_000),
            Flow("cleaned and filtered", 7602, 121_300_000),
            Flow("without near-duplicates", 7011, 104_200_000),
            Flow("trained on", 6870, 101_900_000),
        ],
        funnel=[
            FunnelRow("read", "unread", "too_large", 3, 3, 1_700_000, "size: 812,331 > 500,000", "numpy/big.py"),
            FunnelRow("clean", "changed", "email", 212, 431, 9_120, "<e-mail>", f"notes/{HOSTILE}.md"),
            FunnelRow("filter", "removed", "few_letters", 629, 629, 17_700_000, HOSTILE * 4, "data/\u202etables.py"),
            FunnelRow("dedup", "removed", "near_duplicate", 591, 591, 17_100_000, "of pip/_vendor/x.py", "x/y.py"),
        ],
        plan=[
            Choice(
                "from-scratch decoder", "6.3 M parameters", "the largest that sees 20 tokens a parameter in 4 minutes"
            ),
            Choice("tokens", "1,310,720", "at 5.4 k tokens/s measured on this machine, 240 s"),
            Choice("dense vectors", "12,000 of 61,234 chunks", "60 s of embedding; `serve` goes on with the rest"),
        ],
        steps=[
            Step("ingest", "done", "first run", 71.2, 812_000_000),
            Step("tokenizer", "cached", "same text, same settings", 0.0, None),
            Step("tokens", "done", "input “corpus” changed", 9.4, 1_100_000_000),
            Step("train decoder", "done", "first run", 247.8, 2_920_000_000),
            Step("verdict: language", "done", "first run", 121.5, 2_310_000_000),
            Step("index", "done", "first run", 80.1, 1_400_000_000),
        ],
        curves={"from scratch": curve},
        samples=[
            Sample(
                "from scratch",
                "def read_json(path):\n",
                '    """Return the path."""\n    return self._path\n',
                "temperature 0.8",
            ),
            Sample("SmolLM2-135M", "The split of a string is", f" made by a separator. {HOSTILE}"),
        ],
        coverage=Coverage(12_000, 61_234),
        stale=Staleness(0.013, 4),
        machine=Machine("AMD EPYC", 2, 25_000_000_000, {"fp32": 134.0, "bf16": 0.3, "fp16": 1.2}, 28.5, "fp32"),
        release="r7-3f2a91",
        completes="SmolLM2-135M + memory",
        store="/home/me/.local/share/groundup",
        next=["groundup serve", 'groundup ask "How are JSON files read?"', "groundup monitor"],
    )


def stopped() -> RunSummary:
    return RunSummary(
        command="groundup run notes --minutes 20",
        started="2026-11-24T19:40:12+00:00",
        seconds=88.0,
        documents_in=120,
        bytes_in=1_200_000,
        steps=[
            Step("ingest", "done", "first run", 12.0, 300_000_000),
            Step("tokens", "failed", "No space left on device", 3.0, 280_000_000),
            Step("train decoder", "waiting"),
        ],
        failure=Failure("tokens", f"tokens.bin: the disk is full {HOSTILE}", "Free 2 GB on /home and run again."),
    )
