"""Which proofs each metric carries, read from the catalog and from the metrics' own test files; `docs/measures.md` is made
of it:

    tox -e measures
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fakes import Proof

from latentbench.catalog import metrics
from latentbench.core import Metric
from latentbench.testing.metrics import PRECISION

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "measures.md"
RENEW = "tox -e measures"

PACKAGES = ("sklearn", "scipy", "torchmetrics", "prdc")
"""What another implementation may be named in a string by, as in ``pytest.importorskip("scipy.stats")``."""


@cache
def proofs() -> Mapping[str, Proof]:
    """What the metrics' test files say in their ``PROOFS``: metric -> its proof, in the catalog's order, then those of
    metrics that the catalog does not hold. Raises ValueError for a metric that has two."""
    found: dict[str, Proof] = {}
    for path in sorted(HERE.glob("test_metrics_*.py")):
        if "\nPROOFS = " not in path.read_text(encoding="utf-8"):
            continue
        for proof in importlib.import_module(path.stem).PROOFS:
            if twice := found.keys() & set(proof.metrics):
                raise ValueError(f"{path.name}: a second proof of {', '.join(sorted(twice))}")
            found |= dict.fromkeys(proof.metrics, proof)
    return {name: found[name] for name in sorted(found, key=[*metrics(), *found].index)}


class Mark(NamedTuple):
    """A test that says what it proves: its file and name, the metrics, the packages its body uses, and the loosest
    relative tolerance it names (0: none named)."""

    file: str
    test: str
    metrics: tuple[str, ...]
    packages: frozenset[str]
    tolerance: float


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(HERE.glob("test_*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.AST) -> dict[str, str]:
    """Name in the module -> the package it comes from."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(a.asname or a.name.partition(".")[0]): a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {(a.asname or a.name): node.module.partition(".")[0] for a in node.names}
    return found


def tolerance(test: ast.FunctionDef) -> float:
    names = [
        k.value.value
        for node in ast.walk(test)
        if isinstance(node, ast.Call)
        for k in node.keywords
        if k.arg in ("rel", "rtol") and isinstance(k.value, ast.Constant)
    ]
    return max(map(float, names), default=0.0)


@cache
def marks(decorator: str) -> tuple[Mark, ...]:
    """Every test decorated with ``decorator("metric", ...)``."""
    found = []
    for path, tree in sources():
        known = imports(tree)
        own = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        for test in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            calls = [
                d for d in test.decorator_list if isinstance(d, ast.Call) and getattr(d.func, "id", "") == decorator
            ]
            if not calls:
                continue
            parts, names = {test.name: test}, set[str]()
            while True:  # what it calls of its own module counts as its own
                names = {n.id for part in parts.values() for n in ast.walk(part) if isinstance(n, ast.Name)}
                if not (more := {n: own[n] for n in names & own.keys() - parts.keys()}):
                    break
                parts |= more
            strings = [n.value for part in parts.values() for n in ast.walk(part) if isinstance(n, ast.Constant)]
            inside = {p for p in PACKAGES for s in strings if str(s).startswith(f"{p}.")}
            packages = frozenset(known[n] for n in names if n in known) | inside
            said = tuple(ast.literal_eval(word) for call in calls for word in call.args)
            found.append(Mark(path.name, test.name, said, packages, tolerance(test)))
    return tuple(found)


def of(decorator: str, metric: str) -> list[Mark]:
    return [m for m in marks(decorator) if metric in m.metrics]


def marked(decorator: str) -> set[str]:
    return {name for mark in marks(decorator) for name in mark.metrics}


@cache
def caught() -> Mapping[str, tuple[str, ...]]:
    """Metric -> the tests of cheats that look at it."""
    import cheats

    words = {
        "VALIDITIES": cheats.VALIDITIES,
        "ALONG": tuple(w for w in cheats.WANTED if w.startswith(("path.", "midpoint."))),
    }
    found: dict[str, list[str]] = {}
    tree = ast.parse((HERE / "test_cheats.py").read_text(encoding="utf-8"))
    for test in (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")):
        seen = {n.value for n in ast.walk(test) if isinstance(n, ast.Constant) and n.value in metrics()}
        seen |= {m for n in ast.walk(test) if isinstance(n, ast.Name) for m in words.get(n.id, ())}
        for metric in seen:
            found.setdefault(metric, []).append(test.name.removeprefix("test_").replace("_", " "))
    return {m: tuple(tests) for m, tests in found.items()}


def number(value: float | None, none: str) -> str:
    return none if value is None else f"{value:g}"


def reference_cell(name: str) -> str:
    found = of("reference", name)
    if not found:
        return "none on the registry"
    packages = sorted(
        {proofs()[name].package or ""} & {p for m in found for p in m.packages} or {"written out in the test"}
    )
    words = {"sklearn": "scikit-learn"}
    loosest = max(m.tolerance for m in found)
    return ", ".join(words.get(p, p) for p in packages) + (f", to {loosest:.0e}" if loosest else ", exactly")


def order_cell(metric: Metric) -> str:
    parts, proof = [], proofs()[metric.name]
    if proof.follows:
        parts.append("worse with " + ", ".join(proof.follows))
    elif proof.degrade is not None:
        parts.append(f"worse when {proof.degrade.__name__.replace('_', ' ')}")
    if caught().get(metric.name):
        parts.append("cheats: " + "; ".join(caught()[metric.name]))
    return ". ".join(parts) or "descriptive: no direction"


def row(metric: Metric) -> str:
    low, high = metric.bounds
    bounds = f"{number(low, '−∞')} to {number(high, '∞')} {metric.unit}; " + (
        f"best at {metric.target:g}"
        if metric.target is not None
        else {"none": "no direction"}.get(metric.better, metric.better)
    )
    law = proofs()[metric.name].coordinates
    answers = "<br>".join(m.test.removeprefix("test_").replace("_", " ") for m in of("known_answer", metric.name))
    same = f"{law.rotation} / {law.isotropic} / {law.anisotropic} / {law.order}"
    name = f"`{metric.name}`" + ("<br>on request" if metric.on_request else "")
    cells = (name, metric.summary, bounds, answers, reference_cell(metric.name), same, order_cell(metric))
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


HEAD = f"""# Measures and their proofs

Made by `{RENEW}` from the catalog and from the marks in the tests; a test fails while a row of it is out of date. A new
measure has its row from the next time the page is made. Definitions and formulas stand in the docstrings of
`latentbench/metrics/`.

Every measure below passes the **contract** (`latentbench.testing.check_metric`): finite, inside its range, fit for a
record; the same under any global seed and at every call; inputs unchanged; independent of block sizes; needs told in
full; float32 as float64 to a relative 1e-3{{precision}}. The other proofs are its own:

A measure marked *on request* is not in the default set: `--metrics default,NAME` adds it, `--metrics all` takes every one.

- **Known answer**: tests against a number known without this code.
- **Reference**: the other implementation that a test compares with, and the loosest relative tolerance there.
- **Other coordinates**: turned / scaled evenly / stretched unevenly / images in another order. *exact*: the same number;
  *draws*: other draws of the same distribution; *no*: another number (reasons in the metric's test file).
- **Order and cheats**: what must make it worse, step by step or at one blow; the cheats that it takes part in catching.

| Measure | Meaning | Range; better | Known answer | Reference | Other coordinates | Order and cheats |
| --- | --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    wider = ", ".join(f"`{n}` {p.precision:g}" for n, p in proofs().items() if p.precision != PRECISION)
    head = HEAD.replace("{precision}", f" ({wider})" if wider else "")
    return head + "\n".join(row(m) for m in metrics().values()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
