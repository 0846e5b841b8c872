"""Records files as nobody would write them: a real one with something changed, for the tests of whatever reads records.

A mutation is drawn with a generator, so that a number names it: `mutated` gives the bytes of the file and what was done.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

HOSTILE = (
    "<script>alert(1)</script>", "\x1b[31mred\x1b[0m\x07", "=HYPERLINK(\"http://x\",\"y\")", "a|b\n# c", "![x](http://x/y.png)",
    "@everyone", "\u202eevil", "\x00", "\ud800", "x" * 5000, "{0.__class__}", "%s%n", "../../../etc/passwd", "/etc/passwd",
    "", " ", "nan", "judge", "floor:black", "ceiling:", "🙂", "a\tb", "<img src=x onerror=alert(1)>", "${jndi:x}", "-1+1",
)  # fmt: skip
"""Texts that break what shows them unescaped."""
NUMBERS = (
    0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 1e308, -1e308, 5e-324, 1e150, 1.5, -0.0, float("nan"), float("inf"),
    float("-inf"), True,
)  # fmt: skip


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def odd(random: random.Random) -> Any:
    """A value of another type than any field expects, sooner or later."""
    return random.choice([
        lambda: random.choice(HOSTILE), lambda: random.choice(NUMBERS), lambda: None, list, dict, lambda: [None],
        lambda: {"a": None}, lambda: [[]], lambda: nested(random.choice((3, 40, 400))), lambda: {"": {"": {}}},
        lambda: [random.choice(NUMBERS)] * 3, lambda: random.choice((True, False)), lambda: {random.choice(HOSTILE): 1},
        lambda: [random.choice(HOSTILE)],
    ])()  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def _change(row: dict[str, Any], random: random.Random, how: Callable[[Any, Any], None]) -> str:
    # Fields first, so that long lists inside do not draw nearly every mutation.
    row.setdefault("kind", "value")
    first = random.choice(list(row))
    path = random.choice([p for p in places(row) if p[0] == first])
    inside: Any = row
    for key in path[:-1]:
        inside = inside[key]
    how(inside, path[-1])
    return "/".join(map(str, path))


def _swap(rows: list[dict[str, Any]], random: random.Random) -> str:
    value = odd(random)

    def put(inside: Any, key: Any) -> None:
        inside[key] = value

    return f"{_change(random.choice(rows), random, put)} = {value!r:.60}"


def _drop(rows: list[dict[str, Any]], random: random.Random) -> str:
    def out(inside: Any, key: Any) -> None:
        del inside[key]

    return f"without {_change(random.choice(rows), random, out)}"


def _everywhere(rows: list[dict[str, Any]], random: random.Random) -> str:
    """One field of every record, so that agreement among them hides nothing."""
    name = random.choice(list(random.choice(rows)) or ["kind"])
    value = odd(random)
    for row in rows:
        if name in row:
            row[name] = value
    return f"every {name} = {value!r:.60}"


def _exchange(rows: list[dict[str, Any]], random: random.Random) -> str:
    a, b = random.choice(rows), random.choice(rows)
    name = random.choice(list(a) or ["kind"])
    a[name], b[name] = b.get(name), a[name]
    return f"{name} exchanged"


def _extra(rows: list[dict[str, Any]], random: random.Random) -> str:
    row, value = random.choice(rows), odd(random)
    where = random.choice(("detail", "params", "metric_params", "reason_values"))
    inside = row.setdefault(where, {})
    if not isinstance(inside, dict):
        return "nothing"
    name = random.choice((
        "spread", "rankable", "why", "per_dimension", "different_class", "likelihood", "far", "classes", "k", "reach",
        "schema", "batch", "frames", "device", "steps", "kept", "definitions", "dataset", "models", "config", "null", "part",
    ))  # fmt: skip
    inside[name] = value
    return f"{where}.{name} = {value!r:.60}"


def _status(rows: list[dict[str, Any]], random: random.Random) -> str:
    row = random.choice(rows)
    row |= {"status": random.choice(("failed", "skipped")), "value": None, "reason": random.choice(HOSTILE)}
    row |= {"reason_code": random.choice(("failed.error", "judge.no_train", "", "x; y")), "reason_values": {}}
    return "a failure with a hostile reason"


def _fewer(rows: list[dict[str, Any]], random: random.Random) -> str:
    rows[:] = random.sample(rows, random.randrange(len(rows)))
    return f"only {len(rows)} records"


WAYS = (_swap, _swap, _swap, _swap, _drop, _drop, _everywhere, _exchange, _extra, _extra, _status)


def mutated(content: bytes, number: int) -> tuple[bytes, str]:
    """The content of a records file, mutated: the new content, and what was done. ``number`` names the mutation."""
    chance = random.Random(number)
    if chance.random() < 0.12:
        return _torn(content, chance)
    rows = [json.loads(line) for line in content.splitlines()]
    if chance.random() < 0.04:
        done = [_fewer(rows, chance)]
    else:
        # The run's own record is one of a thousand, and holds half of what is told.
        some = rows[:1] if chance.random() < 0.3 else rows
        done = [chance.choice(WAYS)(some, chance) for _ in range(chance.choice((1, 1, 3)))]
    return "".join(json.dumps(r) + "\n" for r in rows).encode("utf-8", "replace"), "; ".join(done)


def _torn(content: bytes, chance: random.Random) -> tuple[bytes, str]:
    at = chance.randrange(len(content))
    way = chance.choice(("cut", "flipped", "control", "empty", "not utf-8", "nested", "array", "digits", "doubled"))
    if way == "cut":
        return content[:at], f"cut at {at}"
    if way == "flipped":
        return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[
            at + 1 :
        ], f"bit flipped at {at}"
    end = content.index(b"\n", at) + 1 if b"\n" in content[at:] else len(content)
    middle = {
        "control": b"\x1b[2J\x00\n", "empty": b"\n\n", "not utf-8": b"\xff\xfe{}\n", "nested": b"[" * 100_000 + b"\n",
        "array": b"[1, 2]\n", "digits": b'{"schema": 2, "value": ' + b"9" * 5000 + b"}\n", "doubled": content,
    }[way]  # fmt: skip
    return content[:end] + middle + content[end:], way
