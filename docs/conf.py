"""How the site is built: ``tox -e docs``, or ``sphinx-build docs build/docs/html`` with the extra ``docs`` installed.

Nothing is fetched while it is built or read: no inventories of other projects, no fonts, no scripts from elsewhere. The
tutorials are notebooks in Markdown and are executed at every build, in a folder of their own under ``build/docs``.
"""

import os
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
WORK = ROOT / "build" / "docs" / "work"
sys.path.insert(0, str(DOCS / "_ext"))

import latentbench  # noqa: E402

project = "latentbench"
author = "The latentbench authors"
copyright = "The latentbench authors, MIT licence"
version = release = latentbench.__version__

extensions = [
    "sphinx.ext.autodoc",
    "myst_nb",
    "generated_pages",
    "house_docstrings",
    "repository_files",
    "downloaded_notebooks",
]
exclude_patterns = ["_ext", "_build", "**.ipynb_checkpoints"]
default_role = "py:obj"
nitpicky = True
# What lies in other libraries has no page here; names of this package must lead somewhere (see house_docstrings).
nitpick_ignore_regex = [(r"py:.*", r"(?!latentbench\.).*")]

# --- docstrings ---
autodoc_default_options = {"members": True, "ignore-module-all": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_mock_imports = ["ray"]  # an extra that imports at the top of the one module that needs it
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
add_module_names = False
toc_object_entries_show_parents = "hide"

# --- Markdown and notebooks ---
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_cache_path = str(WORK / "cache")
nb_execution_timeout = 1800  # of a cell: a study of six seeds, on a machine that may have other work
# a notebook that fails is a warning, and with -W an error after all others have run
nb_execution_in_temp = True
nb_merge_streams = True
nb_ipywidgets_js = {}
WORK.mkdir(parents=True, exist_ok=True)
os.environ.setdefault("LATENTBENCH_CACHE", str(WORK / "judges"))  # one judge for all tutorials
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

# --- the pages ---
html_theme = "pydata_sphinx_theme"
html_title = "latentbench"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = True
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "collapse_navigation": True,
    "header_links_before_dropdown": 7,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "back_to_top_button": False,
}
html_sidebars = {"index": []}


def _chinese(app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """A page says in which language it is written: readers' voices, hyphens and search engines go by it."""
    if pagename.startswith("zh/") or pagename == "generated/readme-zh":
        context["language"] = "zh-CN"


def setup(app: Any) -> None:
    """Sphinx calls it."""
    app.connect("html-page-context", _chinese)
