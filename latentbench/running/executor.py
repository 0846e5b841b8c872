"""Who carries out units of work: an Executor, found by its name.

``local`` (worker processes on this machine) and ``ray`` (a cluster: `latentbench.running.ray_executor`) are built in. Another package offers its own behind the entry-point group
``latentbench.executors``: an object that `Opener` describes, a class with these arguments being the usual one. An
executor changes no number: what a unit gives depends on the unit alone. It hands a unit on as the JSON of
`Unit.to_json`, and whoever gets it calls `latentbench.running.worker.perform`, in a process with the same packages, on
a file system on which ``unit.root`` is the same folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from latentbench import machine
from latentbench.refusals import unknown
from latentbench.running.local_pool import Pool
from latentbench.running.unit import Listen, Unit

GROUP = "latentbench.executors"
LOCAL, RAY = "local", "ray"


class Executor(Protocol):
    """Carries out units, several at a time. Leaving its ``with`` block ends whatever it has started: at once where the
    block was left by an error."""

    @property
    def idle(self) -> bool:
        """True where it can take another unit now."""
        ...

    @property
    def busy(self) -> bool:
        """True while it has units that `next_finished` has not given back."""
        ...

    def submit(self, unit: Unit) -> None:
        """Begin a unit. Asked for only while `idle`, and only with units whose needs are done or have failed."""
        ...

    def next_finished(self) -> tuple[Unit, str]:
        """Wait for a unit to end: the unit and, where it failed, the reason in one line (else empty)."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Opener(Protocol):
    """Makes an Executor."""

    def __call__(self, workers: int, jobs: Path, listen: Listen) -> Executor:
        """An executor of at most ``workers`` units at a time. ``jobs`` is an empty folder for files of its own, gone when the
        run is over; ``listen`` hears of progress within units."""
        ...


@dataclass(frozen=True)
class Room:
    """What an executor has to carry units out with: ``nodes``, ``cores``, ``gpus``."""

    nodes: int
    cores: int
    gpus: int = 0


@runtime_checkable
class Elsewhere(Protocol):
    """What an Opener also offers that carries units out on other machines than this."""

    def room(self) -> Room:
        """What there is now. Raises ValueError, one line, where that cannot be known."""
        ...


def has_room_of_its_own(opener: Opener) -> bool:
    """Whether the cores of this machine are not what its units are carried out with."""
    return isinstance(opener, Elsewhere)


def room(opener: Opener) -> Room:
    """What an executor has to carry units out with: what this machine has, where it says nothing else."""
    return opener.room() if isinstance(opener, Elsewhere) else Room(1, machine.cores())


def find_executor(name: str, address: str | None = None) -> Opener:
    """The executor of this name; ``address``: of the cluster that is to carry units out, for one that takes it. Raises
    ValueError, one line, for a name that is not there, with the nearest that is, and for one that cannot be loaded."""
    if name == RAY:
        from latentbench.running.ray_executor import OnRay

        return OnRay(address)
    if address is not None:
        raise ValueError(f"address: {address!r} is not allowed: the executor '{name}' takes none; add --executor {RAY}")
    if name == LOCAL:
        return Pool
    points = {p.name: p for p in entry_points(group=GROUP)}
    if name not in points:
        raise unknown("executor", name, (LOCAL, RAY, *points))
    try:
        executor = points[name].load()
    except Exception as error:  # a plug-in can fail in any way while it is imported
        raise ValueError(f"executor '{name}' ({points[name].value}) cannot be loaded: {error}") from error
    if not callable(executor):
        raise ValueError(f"executor '{name}' ({points[name].value}) is a {type(executor).__name__}, not callable")
    return executor  # type: ignore[no-any-return]
