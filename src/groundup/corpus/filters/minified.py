"""Code in lines too long to have been written by hand: minified scripts, bundles, data on one line."""

from __future__ import annotations

import numpy as np

from groundup.corpus.document import Document
from groundup.corpus.filters.verdict import over_batches
from groundup.corpus.policy import CorpusPolicy


@over_batches
def minified_code(document: Document, policy: CorpusPolicy) -> str:
    if document.kind != "code":
        return ""
    data = document.text.encode("utf-8", "surrogatepass")
    if len(data) < policy.code_min_bytes:
        return ""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    lengths = np.diff(np.concatenate(([-1], ends, [len(data)]))) - 1  # (lines,) bytes without the line end
    lines = int(np.count_nonzero(lengths)) or 1
    mean = len(data) / lines
    if mean > policy.max_mean_line_bytes:
        return f"minified_code: {mean:.0f} bytes a line > {policy.max_mean_line_bytes:.0f}"
    share = float(lengths[lengths > policy.long_line_bytes].sum()) / len(data)
    if share > policy.max_long_line_share:
        return f"long_lines: {share:.2f} > {policy.max_long_line_share:.2f}"
    return ""
