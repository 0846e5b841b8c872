"""Which unit may be begun next: each knows how many of its needs are not done, each need who waits for it.

Whatever happens to one unit costs as much as there are units that need it, so a run of 10,000 cells is scheduled in linear
time. Ready units come in the order of the plan.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from latentbench.running.unit import Unit


class UnitSchedule:
    """Units in order of need. ``units``: all there is to do, in the order of the plan; ``elsewhere``: folders that some of
    them need and that somebody else is at work on (see `arrived`). Any other need lies there already."""

    def __init__(self, units: Sequence[Unit], elsewhere: Iterable[str] = ()) -> None:
        self._units = units
        own = {unit.folder: k for k, unit in enumerate(units)}
        self._waited_for: dict[str, list[int]] = {folder: [] for folder in (*own, *elsewhere)}
        self._missing = [0] * len(units)
        self._left = dict.fromkeys(range(len(units)))
        self._ready: list[int] = []
        self.failed: dict[str, str] = {}
        """The folders of units that failed, or need one that did, with the reason."""
        self.given_up: set[str] = set()
        """Those of them that were not even begun."""
        for k, unit in enumerate(units):
            waiting = [need for need in dict.fromkeys(unit.needs) if need in self._waited_for]
            self._missing[k] = len(waiting)
            for need in waiting:
                self._waited_for[need].append(k)
            if not waiting:
                self._ready.append(k)

    @property
    def ready(self) -> bool:
        """True where a unit could be begun now."""
        return bool(self._ready)

    @property
    def left(self) -> bool:
        """True where there are units that were neither begun nor given up."""
        return bool(self._left)

    def take(self) -> Unit:
        """The next unit that can be begun; it is not given a second time."""
        k = heapq.heappop(self._ready)
        del self._left[k]
        return self._units[k]

    def finished(self, folder: str, reason: str = "") -> list[str]:
        """A unit is done or, with a ``reason``, has failed, or somebody else's has. Whoever needs one that failed fails with
        it, but for units that make do without. Returns the folders of those that were given up with it."""
        if reason:
            self.failed[folder] = reason
        unbegun, ended = [], deque([folder])
        while ended:
            one = ended.popleft()
            broken = one in self.failed
            for k in self._waited_for.pop(one, ()):
                unit = self._units[k]
                if k not in self._left:
                    continue
                self._missing[k] -= 1
                if broken and not unit.is_tolerant:
                    del self._left[k]
                    self.failed[unit.folder] = reason
                    unbegun.append(unit.folder)
                    ended.append(unit.folder)
                elif not self._missing[k]:
                    heapq.heappush(self._ready, k)
        self.given_up.update(unbegun)
        return unbegun

    def missing(self) -> Iterator[tuple[Unit, list[str]]]:
        """The units that wait, each with the folders of somebody else's that it waits for, directly or not."""
        own = {self._units[k].folder: k for k in self._left}
        for k in self._left:
            seen: set[str] = set()
            todo, out = [k], []
            while todo:
                for need in self._units[todo.pop()].needs:
                    if need in self._waited_for and need not in seen:
                        seen.add(need)
                        if need in own:
                            todo.append(own[need])
                        else:
                            out.append(need)
            yield self._units[k], out
