"""What a process that ends itself by SIGKILL has run is counted too: `covered.py` puts this folder on the path of all it starts.

A worker whose program has gone ends its whole process group, itself with it, and coverage would lose what it had measured.
"""

import os
import signal
import sys

_killpg = os.killpg


def _save_then_kill(group: int, number: int) -> None:
    if number == signal.SIGKILL and group in (0, os.getpgrp()):
        measuring = "coverage" in sys.modules and sys.modules["coverage"].Coverage.current()
        if measuring:
            measuring.save()
    _killpg(group, number)


os.killpg = _save_then_kill
