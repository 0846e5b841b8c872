"""Notebooks to download: what a cell printed stands there once and in one piece.

A command prints in pieces as they come. For the page these are put together; the notebook that was written has the whole
in its first piece and the other pieces after it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The outputs of a cell with all pieces of a stream in the place of the first."""
    pieces: dict[str, list[str]] = {}
    for output in outputs:
        if output["output_type"] == "stream":
            pieces.setdefault(output["name"], []).append("".join(output["text"]))
    found = []
    for output in outputs:
        if output["output_type"] != "stream":
            found.append(output)
        elif output["name"] in pieces:
            first, *rest = pieces.pop(output["name"])
            whole = first if first.endswith("".join(rest)) else first + "".join(rest)
            found.append({**output, "text": whole})
    return found


def _mend(app: Any, env: Any) -> None:
    """After everything is read and before files are copied."""
    for path in Path(env.mystnb_config.output_folder).rglob("*.ipynb"):
        notebook = json.loads(path.read_text("utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"] = joined(cell["outputs"])
        path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", "utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls it."""
    app.connect("env-updated", _mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
