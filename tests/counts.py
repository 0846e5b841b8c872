"""What tests counted, for docs/durability.md: a line of JSON each, in the file that LATENTBENCH_COUNTS names."""

from __future__ import annotations

import json
import os
from pathlib import Path


def note(what: str, **counted: object) -> None:
    """Print what was counted, and add it to the file where one is named."""
    line = json.dumps({"what": what, **counted}, sort_keys=True)
    print(line)
    if named := os.environ.get("LATENTBENCH_COUNTS"):
        with Path(named).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
