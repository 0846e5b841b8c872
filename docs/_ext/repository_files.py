"""Files of the repository that are pages of the site too, and links that hold in both places.

A page beside conf.py links to a file above it as it is seen in the repository; on the site that link leads to the copy. The
copies of readme, guide, changes and policy are made at every build, with their own links turned the same way.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

DOCS = Path(__file__).parents[1]
COPIES = {
    "README.zh-CN.md": "generated/readme-zh.md",
    "CONTRIBUTING.md": "generated/contributing.md",
    "CHANGELOG.md": "generated/changes.md",
    "SECURITY.md": "generated/security.md",
    "CODE_OF_CONDUCT.md": "generated/conduct.md",
    "LICENSE-THIRD-PARTY.md": "generated/licences.md",
    "examples/README.md": "generated/examples.md",
}
"""A file of the repository -> the page that is made of it."""
INSTEAD = {
    "README.md": "index.md",
    "reports/example/summary.md": "tutorials/reading-the-page.md",
    "reports/example/figures/captions.md": "tutorials/reading-the-page.md",
}
"""A file of the repository -> the page that says the same on the site."""
LINK = re.compile(r"(!\[[^\]]*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
"""A picture."""
OUTER = re.compile(r"((?<!!)\[(?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
"""A link, maybe around a picture."""


def relinked(text: str, source: str, page: str) -> str:
    """``text`` of the repository's file ``source`` with links that hold for ``page``, both as paths with slashes: of the
    repository, and of the site. What leads to a text or folder that is not on the site is no link there."""

    def turned(m: re.Match[str]) -> str:
        if re.match(r"[a-z]+:", m[2]):
            return m[0]
        target = os.path.normpath(PurePosixPath(source).parent / m[2]).replace("\\", "/")
        place = COPIES.get(target) or INSTEAD.get(target)
        if place is None and target.startswith("docs/"):
            place = target.removeprefix("docs/")
        if place is None and (target.endswith(".md") or (DOCS.parent / target).is_dir()):
            return m[1].removeprefix("[").removesuffix("](") if m[1].startswith("[") else m[0]
        full = f"docs/{place}" if place is not None else target
        at = os.path.relpath(full, PurePosixPath("docs") / PurePosixPath(page).parent).replace("\\", "/")
        return f"{m[1]}{at}{m[3]}"

    pictures = re.sub(r"!\[[^\]]*\]\([^)]*\)", lambda m: LINK.sub(turned, m[0]), text)
    return OUTER.sub(turned, pictures)


def copies() -> dict[str, str]:
    """Page -> its text."""
    root = DOCS.parent
    found = {page: root / name for name, page in COPIES.items() if (root / name).exists()}
    names = {page: path.relative_to(root).as_posix() for page, path in found.items()}
    return {page: relinked(path.read_text("utf-8"), names[page], page) for page, path in found.items()}


def _turn(app: Any, document: str, source: list[str]) -> None:
    """Links of pages beside conf.py that lead out of the folder."""
    if "/" not in document and "](../" in source[0]:
        source[0] = relinked(source[0], f"docs/{document}.md", f"{document}.md")


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls it."""
    app.connect("source-read", _turn)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
