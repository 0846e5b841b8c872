"""What machine this is. Standard library only: who asks need not load torch."""

from __future__ import annotations

import contextlib
import platform
from pathlib import Path


def processor() -> str:
    """The processor's model name, or what else the system calls it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
