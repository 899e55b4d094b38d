"""How much of one file is read, unpacked and waited for, so that no file can stop a run or fill the memory."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class ReadLimits:
    max_text_bytes: int = 20 * MB  # of one text; larger ones are logs and dumps, and clean() takes seconds a megabyte
    max_binary_bytes: int = 200 * MB  # of an Office, PDF, archive or JSONL file; held in memory while it is read
    max_unpacked_bytes: int = 200 * MB  # that one archive may become, over all its levels
    max_ratio: int = 200  # unpacked over packed bytes of one member above ratio_floor; text reaches 20, zeros 1,000
    ratio_floor_bytes: int = 1 * MB
    max_depth: int = 3  # archives inside archives
    max_members: int = 10_000  # of one archive
    max_records: int = 100_000  # documents out of one JSONL file
    seconds: float = 60.0  # wall clock for one file or archive member; a parser that takes longer hangs
    memory_bytes: int = 4_000 * MB  # of one worker: a parser that wants more is stopped, not the machine

    def digest(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)
