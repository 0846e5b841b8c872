"""Pages of the reference that are made from the program itself, anew at every build: what is added is found.

`docs/api/` holds a page a module; `docs/generated/` the command line (from the parser), the measures, models and data sets
(from the catalog), the fields of a record (from the checks that a records file must pass) and the list of measured pages
(from the folder). Both are ignored by git.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from repository_files import copies

import latentbench

DOCS = Path(__file__).parents[1]


def write(path: Path, text: str) -> None:
    """Write a page where it differs: what did not change is not read anew by Sphinx."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")


def cell(text: object) -> str:
    """Text in a cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [*lines, *rows]) + "\n"


# --- the API ---------------------------------------------------------------------------------------------------------

LEFT_OUT = {"latentbench.__main__"}
"""Modules that do their work on import."""


def modules() -> list[tuple[str, bool]]:
    """Every module of the package and whether it is a package itself."""
    found = pkgutil.walk_packages(latentbench.__path__, "latentbench.")
    return [("latentbench", True), *((m.name, m.ispkg) for m in found if m.name not in LEFT_OUT)]


def api() -> dict[str, str]:
    """Page -> its text."""
    every = modules()
    pages = {}
    for name, package in every:
        title = name.replace("_", "\\_")
        lines = [title, "=" * len(title), "", f".. automodule:: {name}", "", *_offered(name)]
        inner = [n for n, _ in every if n.rpartition(".")[0] == name]
        if package and inner:
            lines += [".. rubric:: Modules", "", ".. toctree::", "   :maxdepth: 1", "", *(f"   {n}" for n in inner), ""]
        pages[f"{name}.rst"] = "\n".join(lines)
    return pages


def _offered(name: str) -> list[str]:
    """Links to what a module offers that is defined elsewhere in the package."""
    module = importlib.import_module(name)
    found = []
    for word in getattr(module, "__all__", ()):
        value = getattr(module, word)
        home = getattr(value, "__module__", "")
        if str(home).startswith("latentbench.") and home != name and hasattr(value, "__qualname__"):
            found.append(f"- `{word} <{home}.{value.__qualname__}>`")
    return [".. rubric:: Offered here", "", *found, ""] if found else []


# --- the command line ------------------------------------------------------------------------------------------------


def command_line() -> str:
    """Every command with its usage, arguments and options, as its own --help has them."""
    from typer.main import get_command

    from latentbench.cli.app import app

    program = get_command(app)
    parts = ["# Command line\n\nMade from the program itself; `latentbench COMMAND --help` says the same.\n"]
    parts.append(table(("command", "what it does"), (_summary(n, c) for n, c in program.commands.items())))
    parts.append(f"## latentbench\n\n{program.help}\n\n" + _options(program))
    for name, command in program.commands.items():
        arguments = " ".join(_argument(p) for p in command.params if not p.opts[0].startswith("-"))
        usage = f"latentbench {name} [OPTIONS] {arguments}".strip()
        parts.append(f"## {name}\n\n{command.help}\n\n```text\n{usage}\n```\n\n{_options(command)}")
    return "\n".join(parts)


def _summary(name: str, command: Any) -> tuple[str, str]:
    return f"[`{name}`](#{name})", cell(command.help.strip().split("\n\n")[0])


def _argument(parameter: Any) -> str:
    return parameter.metavar or parameter.name.upper()


def _options(command: Any) -> str:
    rows = []
    for p in command.params:
        names = [*p.opts, *p.secondary_opts]
        if not p.opts[0].startswith("-"):
            rows.append((f"`{_argument(p)}`", cell(p.help or "")))
            continue
        word = "" if getattr(p, "is_flag", False) else f" {p.metavar or p.type.name.upper()}"
        shown = ", ".join(f"`{n}{word}`".replace("|", "\\|") for n in names)
        rows.append((shown, cell(p.help or "")))
    rows.append(("`-h`, `--help`", "Show the help and stop."))
    return table(("option", "meaning"), rows)


# --- the catalog -----------------------------------------------------------------------------------------------------


def _bound(value: float | None, none: str) -> str:
    return none if value is None else f"{value:g}"


def _direction(metric: Any) -> str:
    if metric.target is not None:
        return f"best at {metric.target:g}"
    words = {"higher": "higher is better", "lower": "lower is better", "none": "descriptive: neither end is better"}
    return words[metric.better]


def _proofs() -> Mapping[str, list[str]]:
    """Metric -> the cells of its row in docs/measures.md, where the tests' proofs stand; without the page, none."""
    path = DOCS / "measures.md"
    text = path.read_text("utf-8") if path.exists() else ""
    rows = (re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in text.splitlines() if line.startswith("| `"))
    return {row[0].split("`")[1]: [c.strip() for c in row] for row in rows if len(row) == 7}


def _metric(metric: Any, proof: list[str] | None) -> str:
    low, high = metric.bounds
    rows = [
        ("range", f"{_bound(low, '−∞')} to {_bound(high, '∞')}, in {metric.unit}"),
        ("direction", _direction(metric)),
        ("measured on", ", ".join(metric.splits)),
        ("source", metric.source),
    ]
    if metric.needs:
        rows.append(("needs", ", ".join(sorted(n.name.replace("_", " ") for n in metric.needs))))
    if metric.headline:
        rows.append(("a headline rests on it", ", ".join(metric.headline)))
    if metric.params:
        rows.append(("parameters", ", ".join(f"`{k}={v}`" for k, v in metric.params.items())))
    if getattr(metric, "on_request", False):
        rows.append(("computed", f"on request: `--metrics default,{metric.name}`"))
    if proof:
        answers = proof[3].replace("<br>", "; ")
        rows += [("known answers", answers), ("reference", proof[4]), ("must get worse", proof[6])]
        rows.append(("other coordinates", f"{proof[5]} (turned / scaled / stretched / reordered)"))
    module = metric.compute.__module__
    rows.append(("definition", f"{{py:mod}}`{module}`" if module.startswith("latentbench") else f"`{module}`"))
    body = table(("property", "value"), ((k, v if "`" in v else cell(v)) for k, v in rows))
    summary = metric.summary[:1].upper() + metric.summary[1:]
    return f"## {metric.name}\n\n{_plain(summary)}.\n\n{body}"


def _plain(text: str) -> str:
    """A declaration's own words in Markdown: what would be markup there is escaped."""
    return re.sub(r"([\\*_<>\[\]`$])", r"\\\1", text)


def measures() -> dict[str, str]:
    """Page -> its text: an index, and a page for each family."""
    from latentbench import catalog
    from latentbench.report.wording.words import FAMILIES

    proofs = _proofs()
    families: dict[str, list[Any]] = {}
    for metric in catalog.metrics().values():
        families.setdefault(metric.family, []).append(metric)
    titles = {f.key: f.title for f in FAMILIES}
    about = {f.key: f.about for f in FAMILIES}
    pages, lines = (
        {},
        ["# Measures\n", "Every measure of the catalog, by what it is asked about. What they mean, and how"],
    )
    lines.append(
        "each can mislead: [](../../explanation/measures.md). Their proofs in one table: [](../../measures.md).\n"
    )
    for family, metrics in families.items():
        title = titles.get(family, family)
        lines.append(f"## {title}\n")
        rows = (
            (f"[`{m.name}`]({family}.md#{_anchor(m.name)})", cell(_plain(m.summary)), _direction(m)) for m in metrics
        )
        lines.append(table(("measure", "meaning", "direction"), rows))
        said = [
            f"# Measures: {title}\n",
            *([_plain(about[family]) + "\n"] if family in about else []),
            *(_metric(m, proofs.get(m.name)) for m in metrics),
        ]
        pages[f"measures/{family}.md"] = "\n".join(said)
    lines += ["```{toctree}", ":hidden:", "", *families, "```", ""]
    pages["measures/index.md"] = "\n".join(lines)
    return pages


def _anchor(name: str) -> str:
    """The anchor that MyST gives a heading: as GitHub does."""
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


def models() -> str:
    """Every model with the fields of its spec."""
    from latentbench import catalog

    parts = [
        "# Models\n\nWhat `--models` takes: `NAME`, or `NAME:FIELD=VALUE:...`. `latentbench list models` says the same."
    ]
    parts.append(
        "`latent_dim` is a field of every model. A model of yours is `package.module:NAME` or `FILE.py:NAME`.\n"
    )
    if (DOCS / "models.md").exists():
        parts.append("With its loss and its source: [](../models.md).\n\n```{toctree}\n:hidden:\n\n../models\n```\n")
    for entry in catalog.models().values():
        parts.append(f"## {entry.name}\n\n{_plain(entry.summary)}. Source: {_plain(entry.source)}.\n")
        fields = catalog.model_fields(entry.build).values()
        rows = ((f"`{p.name}`", f"`{_default(p.default)}`", f"`{cell(_kind(p.annotation))}`") for p in fields)
        parts.append(table(("field", "default", "type"), rows))
        parts.append(f"Definition: {{py:mod}}`{entry.build.__module__}`\n")
    return "\n".join(parts)


def _default(value: Any) -> str:
    return "required" if value is inspect.Parameter.empty else repr(value).strip("'")


def _kind(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def datasets() -> str:
    """Every data set, and every study."""
    from latentbench import catalog
    from latentbench.studies.presets import studies

    parts = ["# Data sets and studies\n\nWhat `--dataset` takes. Files of your own: [](../data.md).\n"]
    rows = []
    for e in catalog.datasets().values():
        defaults = ", ".join(f"`{k}={v}`" for k, v in e.defaults.items())
        name = f"{e.name}:{e.takes}" if e.takes else e.name
        rows.append((f"`{name}`", cell(_plain(e.summary)), cell(_plain(e.source)), defaults))
    parts.append(table(("name", "what it is", "source", "settings that suit it"), rows))
    parts.append("\n## Studies\n\nWhat `--study` takes: settings under a name; any other option overrules them.\n")
    parts.append(table(("name", "what it is"), ((f"`{s.name}`", cell(_plain(s.summary))) for s in studies().values())))
    return "\n".join(parts)


# --- records ---------------------------------------------------------------------------------------------------------


def described(check: Any) -> str:
    """What a check of `latentbench.files.record_types` allows, in words."""
    from latentbench.files import record_types as t

    inner = inspect.getclosurevars(check).nonlocals if inspect.isfunction(check) else {}
    kind = check.__qualname__.split(".")[0]
    if kind == "one_of":
        return "one of " + ", ".join(f"`{w}`" for w in inner["allowed"])
    if kind == "optional":
        return f"{described(inner['inner'])}, or null"
    if kind == "either":
        return f"{described(inner['first'])}; else {described(inner['second'])}"
    if kind == "several":
        return f"a list, each of it {described(inner['inner'])}"
    if kind == "mapped":
        return f"an object, each value {described(inner['inner'])}"
    if kind == "holding":
        keys = ", ".join(f"`{k}`" for k in inner["known"])
        return f"an object{' with ' + keys if keys else ''}"
    if check is t.anything:
        return "any JSON"
    doc = re.sub(r"`+([^`]+)`+", r"\1", (inspect.getdoc(check) or "").split(";")[0]).strip(" .")
    for name in ("LARGEST", "WHOLE", "NAME"):
        doc = re.sub(rf"\b{name}\b", f"{getattr(t, name):g}", doc)
    return doc[:1].lower() + doc[1:]


def schema() -> str:
    """The fields of a record, with what each may hold."""
    from dataclasses import MISSING, fields

    from latentbench.files import record_types as t
    from latentbench.records import SCHEMA, Record
    from latentbench.run_info import RunInfo

    parts = [
        "# The schema of records\n",
        f"Made from the checks that every line of a `records.jsonl` passes when it is read, schema {SCHEMA}. What the file",
        "is, and what lies beside it: [](../reference/files.md). In Python a line is a",
        "{py:class}`latentbench.records.Record`.\n",
    ]
    rows = []
    for f in fields(Record):
        default = f.default if f.default is not MISSING else "{}"
        said = "null" if default is None else repr(default).strip("'") or "empty"
        rows.append((f"`{f.name}`", described(t.FIELDS[f.name]), f"`{said}`" if said != "empty" else "empty"))
    parts.append(table(("field", "what it may hold", "where it is left out"), rows))
    for title, known, text in (
        (
            "detail",
            t.DETAIL,
            "Named extras that this package reads of a record. Others may hold any JSON within the limits.",
        ),
        ("metric_params", t.PARAMS, "Parameters of a metric that this package reads."),
        (
            "detail of the run's own record",
            t.RUN,
            "The one record of kind `run`; see {py:class}`latentbench.run_info.RunInfo`.",
        ),
        ("a definition of a metric", t.DEFINITION, "An entry of `definitions` in the run's own record."),
    ):
        parts.append(f"\n## {title}\n\n{text}\n")
        parts.append(table(("key", "what it may hold"), ((f"`{k}`", described(c)) for k, c in known.items())))
    free = [f"`{f.name}`" for f in fields(RunInfo) if f.name not in t.RUN]
    if free:
        parts.append(f"\nOf the run's own record also: {', '.join(free)}; any JSON within the limits.\n")
    limits = (("bytes of a line", t.LINE), ("depth of nesting", t.DEPTH), ("magnitude of a number", f"{t.LARGEST:g}"))
    parts += ["\n## Limits\n", table(("what", "at most"), limits)]
    return "\n".join(parts)


# --- measured pages --------------------------------------------------------------------------------------------------

ELSEWHERE = {
    "index", "measures", "adapters", "ci", "cluster", "data", "paper-figures", "reuse", "streaming", "models", "checklist",
}  # fmt: skip
"""Pages beside conf.py that stand in another part of the site."""


def measured() -> str:
    """The pages of measurements: all that lie beside conf.py and stand nowhere else."""
    names = sorted(p.stem for p in DOCS.glob("*.md") if p.stem not in ELSEWHERE)
    head = (
        "# Measured\n\nWhat was measured of latentbench itself: whether its intervals cover, what its judge passes, how"
    )
    head += " often its gates err,\nhow its speed compares. Each page says how it was made.\n\n"
    rows = []
    for name in names:
        text = (DOCS / f"{name}.md").read_text("utf-8")
        title = re.search(r"^# (.+)$", text, re.MULTILINE)
        rows.append(f"- [{title[1] if title else name}](../{name}.md)")
    toc = "\n".join(["", "", "```{toctree}", ":hidden:", "", *(f"../{n}" for n in names), "```", ""])
    return head + "\n".join(rows) + toc


def about() -> str:
    """The list of what is told of the project."""
    names = [Path(page).stem for page in copies() if not page.endswith("readme-zh.md")]
    titles = {n: re.search(r"^# (.+)$", copies()[f"generated/{n}.md"], re.MULTILINE) for n in names}
    lines = ["# About\n", *(f"- [{(t and t[1]) or n}]({n}.md)" for n, t in titles.items())]
    lines += ["- [How this documentation is made](../about/documentation.md)"]
    others = [n for n in ("checklist",) if (DOCS / f"{n}.md").exists()]
    lines += [f"- [](../{n}.md)" for n in others]
    names = [*names, "../about/documentation", *(f"../{n}" for n in others)]
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", *names, "```", ""])


def generate(*_: object) -> None:
    """Write every page, and take away those of modules that are gone."""
    pages = {f"api/{k}": v for k, v in api().items()} | {f"generated/{k}": v for k, v in measures().items()}
    pages |= {
        "generated/command-line.md": command_line(),
        "generated/models.md": models(),
        "generated/datasets.md": datasets(),
        "generated/records.md": schema(),
        "generated/measured.md": measured(),
        "generated/about.md": about(),
        **copies(),
    }
    for old in [*DOCS.glob("api/*"), *DOCS.glob("generated/**/*.md")]:
        if str(old.relative_to(DOCS)).replace("\\", "/") not in pages:
            old.unlink()
    for path, text in pages.items():
        write(DOCS / path, text)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls it."""
    app.connect("config-inited", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    generate()
