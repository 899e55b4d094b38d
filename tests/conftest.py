"""Before anything loads OpenMP: its threads sleep while they wait, as under the `groundup` command (see cli.main)."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
