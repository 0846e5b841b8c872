"""What the fields of a record may hold, checked when one is read: a records file may come from anybody.

Whatever derives pages, tables and verdicts from records relies on it: every field has its type, numbers are finite and
no larger than `LARGEST` (so that squares of them, and sums of these, are finite), names are text without control
characters, nesting ends at `DEPTH`, and the named extras that a reader of this package takes are of the type that it
takes them for. Other extras may hold any JSON within the limits: they are a plug-in's, or a newer version's.

Plain code and no schema library: a page of 100,000 records spends a few microseconds on each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from latentbench.files.plain_text import CONTROL

LINE = 16 << 20
"""Most bytes of a line: a curve of half a million points."""
DEPTH = 16
"""Deepest nesting of lists and objects."""
LARGEST = 1e150
"""Largest magnitude of a number."""
WHOLE = 2**53
"""Largest magnitude of a whole number: beyond it a float no longer holds each."""
NAME = 4096
"""Most characters of a name."""

Check = Callable[[str, Any], None]
"""Raises ValueError where a value, named by the first argument, is not what it must be."""


def _refuse(name: str, value: Any, expected: str) -> NoReturn:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    raise ValueError(f"{name}: {shown} is not {expected}")


def number(name: str, value: Any) -> None:
    """A finite number up to `LARGEST`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        _refuse(name, value, "a finite number")


def whole(name: str, value: Any) -> None:
    """A whole number up to `WHOLE`; one that a file holds as a float is one too."""
    number(name, value)
    if value != int(value) or abs(value) > WHOLE:
        _refuse(name, value, f"a whole number of at most {WHOLE}")


def flag(name: str, value: Any) -> None:
    """True or false."""
    if not isinstance(value, bool):
        _refuse(name, value, "true or false")


def text(name: str, value: Any) -> None:
    """Any text."""
    if not isinstance(value, str):
        _refuse(name, value, "text")


def label(name: str, value: Any) -> None:
    """Text fit for a name: no control characters, at most `NAME` long."""
    if not isinstance(value, str) or len(value) > NAME or (not value.isprintable() and CONTROL.search(value)):
        _refuse(name, value, f"text of at most {NAME} characters without control characters")


def one_of(*allowed: Any) -> Check:
    """One of a few words."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or value not in allowed:
            _refuse(name, value, f"one of {', '.join(allowed)}")

    return check


def optional(inner: Check) -> Check:
    """Null, or what ``inner`` allows."""

    def check(name: str, value: Any) -> None:
        if value is not None:
            inner(name, value)

    return check


def either(first: Check, second: Check) -> Check:
    """What one of two allows; the second says why not."""

    def check(name: str, value: Any) -> None:
        try:
            first(name, value)
        except ValueError:
            second(name, value)

    return check


def several(inner: Check) -> Check:
    """A list whose items are all what ``inner`` allows."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, list | tuple):
            _refuse(name, value, "a list")
        for item in value:
            inner(name, item)

    return check


def mapped(inner: Check) -> Check:
    """An object whose values are all what ``inner`` allows."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, dict):
            _refuse(name, value, "an object")
        for key, item in value.items():
            label(name, key)
            inner(f"{name}.{key}", item)

    return check


def holding(known: Mapping[str, Check]) -> Check:
    """An object whose ``known`` keys hold what their checks allow, where they are there; others are free."""

    def check(name: str, value: Any) -> None:
        if not isinstance(value, dict):
            _refuse(name, value, "an object")
        for key, item in value.items():
            label(name, key)
            if key in known:
                known[key](f"{name}.{key}", item)

    return check


def bounds(name: str, value: Any) -> None:
    """The lowest and the highest value, each a number or null, in this order."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        _refuse(name, value, "a list of two")
    for end in value:
        _NUMBER(name, end)
    if None not in value and value[0] > value[1]:
        _refuse(name, value, "in order")


def plain(name: str, value: Any, depth: int = 0) -> None:
    """JSON within the limits: finite numbers, no deeper than `DEPTH`."""
    if isinstance(value, dict):
        value = value.values()
    elif isinstance(value, list | tuple):
        pass
    else:
        if isinstance(value, int | float) and not isinstance(value, bool):
            number(name, value)
        return
    if depth == DEPTH:
        _refuse(name, "...", f"nested at most {DEPTH} deep")
    for item in value:
        plain(name, item, depth + 1)


def anything(name: str, value: Any) -> None:
    """Whatever `plain` allows."""


def positive(name: str, value: Any) -> None:
    """A whole number from 1."""
    whole(name, value)
    if value < 1:
        _refuse(name, value, "a whole number from 1")


def natural(name: str, value: Any) -> None:
    """A whole number from 0."""
    whole(name, value)
    if value < 0:
        _refuse(name, value, "a whole number from 0")


def magnitude(name: str, value: Any) -> None:
    """A number from 0."""
    number(name, value)
    if value < 0:
        _refuse(name, value, "a number from 0")


def strict_natural(name: str, value: Any) -> None:
    """A whole number from 0 that is written as one."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= WHOLE:
        _refuse(name, value, "a whole number from 0")


def strict_positive(name: str, value: Any) -> None:
    """A whole number from 1 that is written as one."""
    strict_natural(name, value)
    if value < 1:
        _refuse(name, value, "a whole number from 1")


_NUMBER, _NUMBERS, _NAMES = optional(number), several(number), several(label)
DIRECTION = one_of("higher", "lower", "target", "none")

DEFINITION: Mapping[str, Check] = {
    "unit": label, "better": DIRECTION, "bounds": bounds, "target": _NUMBER, "family": label, "summary": text,
    "source": text, "params": holding({}), "needs": _NAMES, "headline": anything, "question": optional(label),
    "on_request": flag,
    "least": optional(mapped(_NUMBER)),
}  # fmt: skip
"""What a run says of a metric."""

_SAID = holding({"text": text, "code": optional(label), "values": optional(mapped(either(text, number)))})
"""A sentence that knows what it says (`records.Reason`)."""

RUN: Mapping[str, Check] = {
    "config": optional(holding({
        "models": either(_NAMES, label), "epochs": optional(natural), "lang": optional(label), "dataset": label,
        "seeds": anything, "metrics": either(_NAMES, label), "device": optional(label),
    })),
    "environment": optional(mapped(either(optional(label), number))),
    "command": optional(text), "started": optional(label), "seconds": optional(magnitude), "git": optional(label),
    "version": optional(label),
    "dataset": optional(holding({
        "name": label, "sha256": optional(label), "shape": several(strict_positive), "classes": several(either(text, number)),
        "sizes": mapped(natural), "splits": optional(_NAMES), "origin": optional(mapped(_SAID)), "notes": optional(several(_SAID)),
    })),
    "models": optional(mapped(optional(holding({
        "params": optional(holding({})), "parameters": optional(natural), "decoder_variance": _NUMBER,
    })))),
    "definitions": optional(mapped(optional(holding(DEFINITION)))),
    "study": optional(holding({
        "name": label, "summary": text, "source": text, "bands": optional(mapped(mapped(number))),
        "tolerance": optional(mapped(label)),
    })),
    "precision": optional(holding({"taken": one_of("float32", "bfloat16"), "reason": _SAID})),
    "forecasts": optional(mapped(optional(holding({
        "active": natural, "latent_dim": natural, "variance": _NUMBER, "linear": flag,
    })))),
}  # fmt: skip
"""``detail`` of the run's own record; see `latentbench.run_info.RunInfo`."""

PART = either(number, mapped(either(optional(number), label)))
DETAIL: Mapping[str, Check] = {
    "rankable": flag, "spread": optional(magnitude), "latency_ms": optional(magnitude), "peak_share": _NUMBER,
    "peak_memory_bytes": optional(magnitude), "workers": optional(natural), "load": _NUMBER, "threads": optional(natural),
    "likelihood": optional(label), "far": _NUMBER, "same_class": PART, "different_class": PART, "per_class": several(_NUMBER),
    "per_dimension": _NUMBERS, "active": several(either(flag, number)), "mean_variance": several(magnitude), "sigma": _NUMBERS,
    "noise_variance": several(magnitude), "mean_part": _NUMBERS, "sd": _NUMBERS, "floor": flag, "shown": flag,
    "why": either(text, several(text)), "falling": flag, "kept": optional(natural), "steps": either(natural, _NUMBERS),
    "test_in_train": natural, "test_in_val": natural, "classes": either(several(text), number), "trustworthiness": _NUMBER,
    "k": optional(natural), "reach": magnitude, "share": _NUMBER, "part": one_of("outside", "sparse", "dimension"),
    "null": number, "lower": _NUMBER, "largest class": _NUMBER, "worst": label,
    "protocol": optional(holding({})), "paste": label,
    "flops": optional(magnitude), "inner": optional(natural), "blocks": optional(natural), "device": optional(label),
}  # fmt: skip
"""The named extras that this package reads of a record, whatever its metric."""

PARAMS: Mapping[str, Check] = {"batch": natural, "frames": positive, "device": optional(label), "k": optional(natural)}
"""The parameters of a metric that this package reads."""

FIELDS: Mapping[str, Check] = {
    "kind": one_of("run", "value", "curve", "artifact"), "dataset": label, "dataset_hash": label, "model": label,
    "role": one_of("model", "baseline", "floor", "ceiling", "null", "judge", "check"), "params": holding({}),
    "latent_dim": optional(strict_natural), "seed": optional(strict_natural), "split": label, "metric": label,
    "metric_params": holding(PARAMS), "value": _NUMBER, "unit": label, "better": DIRECTION, "target": _NUMBER,
    "bounds": bounds, "status": one_of("ok", "failed", "skipped"), "reason": text, "reason_code": label,
    "reason_values": holding({}), "samples": optional(_NUMBERS), "detail": holding(DETAIL), "path": optional(label),
    "sha256": optional(label), "run": label, "environment": label, "schema": strict_positive,
}  # fmt: skip
"""Field -> what it may hold."""

_RUN_DETAIL = holding(RUN)
_FREE = ("params", "metric_params", "reason_values", "detail")


def parse(line: str) -> Any:
    """The JSON of a line. Raises ValueError, in a few words, for what is none, for nesting beyond any limit and for halves
    of characters."""
    try:
        row = _DECODER.decode(line)
        if "\\u" in line:
            json.dumps(row, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError(f"nested deeper than {DEPTH}") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half a character") from None
    return row


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_number)
"""One for all lines: making it takes a third of the time that a line takes."""


def check(row: Mapping[str, Any]) -> None:
    """Raises ValueError, naming the field, for a field that holds what it may not. ``row``: a record's known fields in the
    present layout."""
    for name, value in row.items():
        check = FIELDS[name]
        if check is label and type(value) is str and len(value) <= NAME and value.isprintable():
            continue  # half of all fields: a call less
        if name == "detail" and row.get("kind") == "run":
            check = _RUN_DETAIL
        check(name, value)
    for name in _FREE:
        if value := row.get(name):
            plain(name, value)
    if isinstance(row.get("value"), float) and not math.isfinite(row["value"]):
        _refuse("value", row["value"], "a finite number")
