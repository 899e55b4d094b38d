"""Whether a segment's files still hold, bit for bit, what was written into them.

Opening compares sizes alone, since it may not cost more than that. A disk that turns a bit leaves sizes as they are: it
is found by reading everything, at the speed of the disk or of sha256.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from groundup.infinigram.errors import MemoryFaultError
from groundup.infinigram.segment import Segment, digest_of, read_manifest


def flaw(folder: Path) -> str:
    """What of a segment's folder differs from what was written, or ""."""
    try:
        manifest = read_manifest(folder)
        checksums = manifest.get("checksums")
        if not isinstance(checksums, dict) or set(checksums) != set(manifest["files"]):
            return f"{folder} was written without checksums, so nobody can tell whether it is whole"
        for name, wanted in checksums.items():
            with open(folder / name, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
                    return f"{name} of {folder} is not what was written"
        # The checksums say nothing of the manifest that they stand in; the folder's name, its digest, does.
        return "" if is_named_truly(Segment.open(folder), folder) else f"the manifest of {folder} was changed"
    except MemoryFaultError as error:
        return str(error)
    except OSError as error:
        return f"{folder} can't be read: {error}"


def is_named_truly(segment: Segment, folder: Path) -> bool:
    """Whether the segment's tokens, names and what they mean are those that its folder is named by."""
    return digest_of(segment) == folder.name
