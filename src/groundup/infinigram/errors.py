"""What a memory's files or a query may have wrong, said so that whoever calls can name the mend."""

from __future__ import annotations


class MemoryFaultError(ValueError):
    """A memory that can't be used as it is: half-built, damaged, of another version or another tokenizer."""


class MemoryBusyError(ValueError):
    """Another process is writing the memory."""
