"""The executor ``ray``: units carried out on the nodes of a Ray cluster.

    a task    one unit, by its JSON; it puts the unit's folder in place in the run folder, on a file system that all nodes
              share, before it returns, and returns nothing else: no result lives in Ray's memory
    a loss    of a node, a worker or for want of memory: the unit is tried twice more, on another node, then failed
    a unit    takes as many cores as it has threads; on a GPU a share of it; the timing unit has a whole node to itself
    the end   what is under way is cancelled and waited for, so that nothing of a run is left running on any node

Before anything starts every node has to see the run folder and to have this very code, torch and Python.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import queue
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from latentbench import machine
from latentbench.running import ray_node
from latentbench.running.executor import Room
from latentbench.running.local_pool import died
from latentbench.running.unit import Listen, Unit
from latentbench.running.worker_process import worker_environment

OBJECT_STORE = 200 << 20
"""Bytes of shared memory that a cluster of our own is started with: units hand over nothing through it."""
RETRIES = 2
"""How often a unit is tried again that was lost with its worker."""
GPU_SHARE = 0.25
"""Of one GPU, for a unit that computes on it."""
LOOK = 120.0
"""Seconds in which every node has to say that it sees the run folder."""
GRACE, FORCE = 10.0, 10.0
"""Seconds for units that are cancelled to end: by themselves, then by force."""
PING, PINGS = 2.0, 4
"""Seconds between two looks whether the head is there, and how many fail in a row before it is taken to be gone."""
REACH = 5.0
"""Seconds to reach the head of a cluster."""
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
"""Nothing is sent to anybody; units of a cluster of our own are no less urgent than those of the executor ``local`` (Ray's
workers have a niceness of 15 otherwise)."""


def _ray() -> Any:
    """The package ray. Raises ValueError, one line, where it is not installed."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise ValueError(
            "executor: 'ray' is not allowed: the package ray is not installed; pip install 'latentbench[ray]'"
        ) from None
    return ray


@dataclass(frozen=True)
class OnRay:
    """Opens the executor on the cluster at ``address``: ``auto``, the one that this machine is a node of; HOST:PORT; None,
    that of the environment variable RAY_ADDRESS, or one of its own on this machine."""

    address: str | None = None

    def __post_init__(self) -> None:
        _ray()

    def room(self) -> Room:
        """What the cluster has now; where there would be one of its own, what this machine has."""
        if _address(self.address) is None:
            return Room(1, machine.cores())
        with _connected(self.address) as ray:
            nodes = _nodes(ray)
            return Room(len(nodes), sum(n.cores for n in nodes), int(sum(n.gpus for n in nodes)))

    def __call__(self, workers: int, jobs: Path, listen: Listen) -> RayExecutor:
        """See `latentbench.running.executor.Opener`. Raises ValueError, one line, where the cluster cannot be reached, or a
        node of it cannot take part."""
        return RayExecutor(self.address, workers, jobs, listen)


@dataclass(frozen=True)
class _Node:
    id: str
    name: str
    cores: int
    gpus: float


def _nodes(ray: Any) -> list[_Node]:
    """The nodes that are alive and have cores."""
    return [
        _Node(n["NodeID"], n["NodeManagerHostname"], int(n["Resources"]["CPU"]), n["Resources"].get("GPU", 0.0))
        for n in ray.nodes()
        if n["Alive"] and n["Resources"].get("CPU", 0) >= 1
    ]


def _address(asked: str | None) -> str | None:
    return asked or os.environ.get("RAY_ADDRESS") or None


@contextlib.contextmanager
def _connected(asked: str | None) -> Iterator[Any]:
    """The package ray, connected for as long as the block lasts; a connection that was there before stays. Signals go where
    they went before: Ray would take SIGTERM for itself."""
    ray, address = _ray(), _address(asked)
    before = ray.is_initialized()
    if not before:
        with _own_signals():
            _connect(ray, address)
    elif asked and asked != "auto" and asked != ray.get_runtime_context().gcs_address:
        there = ray.get_runtime_context().gcs_address
        raise ValueError(f"address: {asked!r} is not allowed: this process is connected to the cluster at {there}")
    try:
        yield ray
    finally:
        if not before:
            _leave(ray)


def _leave(ray: Any) -> None:
    """Say goodbye to the cluster. Where the head is gone that can take a minute, and then Ray ends the process: it is not
    waited for, nor said again when this process ends."""
    try:
        _reach(ray.get_runtime_context().gcs_address)
    except Exception:
        atexit.unregister(ray.shutdown)
        _at_most(GRACE, ray.shutdown)
    else:
        ray.shutdown()


def _at_most(seconds: float, work: Callable[[], None]) -> None:
    """Do something that may take for ever, and wait for it no longer than that."""
    doing = threading.Thread(target=work, daemon=True)
    doing.start()
    doing.join(seconds)


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    try:
        handlers = {number: signal.getsignal(number) for number in machine.STOPPING}
        yield
    finally:
        with contextlib.suppress(ValueError):  # not the main thread: nobody could have changed them
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _connect(ray: Any, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
    own = {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    if address is not None and address != "auto":
        _reach(address)
    try:
        with _package_found() if address is None else contextlib.nullcontext():
            ray.init(address=address or "local", **quiet, **({} if address else own))
    except Exception as error:  # ConnectionError, RuntimeError, ValueError, as it comes
        words = " ".join(str(error).split())[:300].rstrip(".")
        if address is None:
            raise ValueError(f"executor: Ray cannot be started here: {words}") from None
        hint = "; start a node here with: ray start --address=HEAD:PORT" if isinstance(error, ConnectionError) else ""
        raise ValueError(f"address: {address!r} cannot be used: {words}{hint}") from None


@contextlib.contextmanager
def _package_found() -> Iterator[None]:
    """What is started within it finds this very package, also where that is not installed."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = worker_environment(os.environ)["PYTHONPATH"]
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _reach(address: str) -> None:
    """Raises ValueError where nobody listens at an address."""
    if "://" in address:
        raise ValueError(
            f"address: {address!r} is not allowed: write HOST:PORT of the head, from a node of its cluster"
        )
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH).close()
    except (OSError, ValueError) as error:
        raise ValueError(f"address: {address!r} cannot be reached: {error}") from None


@dataclass
class _Task:
    """A unit under way: how often it was begun, and where, as far as is known."""

    unit: Unit
    tries: int = 1
    node: str = ""
    lost: list[str] = field(default_factory=list)


class RayExecutor:
    """Carries units out on a cluster; see the module. What comes from it comes through one queue: ends of tasks, what nodes
    say of their units, and that the head is gone."""

    def __init__(self, address: str | None, workers: int, jobs: Path, listen: Listen) -> None:
        self._listen, self._jobs = listen, jobs
        self._events: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._tasks: dict[str, _Task] = {}
        self._refs: dict[str, Any] = {}
        self._ended, self._gone = threading.Event(), False
        self._nodes: list[_Node] = []
        self._stack = contextlib.ExitStack()
        try:
            self._ray = self._stack.enter_context(_connected(address))
            self._threads = machine.threads()
            self._open(workers)
        except BaseException:
            self._stack.close()
            raise

    def _open(self, workers: int) -> None:
        ray = self._ray
        nodes = self._nodes = _nodes(ray)
        self._check(nodes)
        slots = {n.id: n.cores // self._threads for n in nodes}
        if not any(slots.values()):
            raise ValueError(
                f"{machine.THREADS}: {self._threads} is not allowed: no node of the cluster has so many cores"
            )
        self._workers = min(workers, sum(slots.values()))
        self._home = ray.get_runtime_context().get_node_id()
        self._post = ray.remote(num_cpus=0, scheduling_strategy=_on(self._home))(ray_node.Post).remote()
        told = {k: v for k, v in os.environ.items() if k.startswith("LATENTBENCH_") or k == "PYTHONPATH"}
        order = ray_node.Order(self._post, told, str(Path.cwd()), ray_node.fingerprint(), slots)
        self._order = ray.put(order)
        self._carry_out = ray.remote(max_retries=0)(ray_node.carry_out)
        for work in (self._hear, self._watch, self._survey):
            threading.Thread(target=work, daemon=True).start()

    def _check(self, nodes: Sequence[_Node]) -> None:
        """Raises ValueError, one line, for the first node that does not see the run folder, or is not as this machine is."""
        ray, secret, here = self._ray, secrets.token_hex(16), ray_node.fingerprint()
        if not nodes:
            raise ValueError("address: the cluster has no node with a core")
        token = self._jobs.absolute() / "token"
        token.write_text(secret, "utf-8")
        look = ray.remote(num_cpus=0, max_retries=0)(ray_node.look)
        places = {n.id: token.with_name(f"node-{n.id}") for n in nodes}
        asked = {
            n.id: look.options(scheduling_strategy=_on(n.id)).remote(str(token), secret, str(places[n.id]))
            for n in nodes
        }
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=LOOK)
        for node in nodes:
            try:
                said = ray.get(asked[node.id], timeout=0)
            except Exception as error:  # it has died, has no latentbench, or does not answer
                raise ValueError(f"executor: node {node.name} cannot take part: {_words(error)}") from None
            blind = said.get("blind", "")
            if not blind and not (places[node.id].exists() and places[node.id].read_text("utf-8") == secret):
                blind = "what it writes there is not seen here"
            if blind:
                folder = self._jobs.absolute().parents[1]
                raise ValueError(
                    f"out: node {node.name} does not share the folder {folder} ({blind}); choose one that all nodes share"
                )
            if unlike := ray_node.difference(said, here):
                raise ValueError(f"executor: node {node.name} is not like this machine: {unlike}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        try:
            if kind is not None:
                _at_most(2 * GRACE + FORCE if not self._gone else GRACE, self._cancel)
            if not self._gone:
                with contextlib.suppress(Exception):
                    self._ray.kill(self._post)
        finally:
            self._stack.close()

    def _cancel(self) -> None:
        """End what is under way on all nodes: each is told, and waited for; then by force."""
        refs = list(self._refs.values())
        for force, patience in ((False, GRACE), (True, FORCE)):
            for ref in refs:
                with contextlib.suppress(Exception):
                    self._ray.cancel(ref, force=force)
            if refs:
                with contextlib.suppress(Exception):
                    _, refs = self._ray.wait(refs, num_returns=len(refs), timeout=patience)

    @property
    def idle(self) -> bool:
        """True where the cluster has room for another unit."""
        return len(self._tasks) < self._workers

    @property
    def busy(self) -> bool:
        """True while a unit is under way."""
        return bool(self._tasks)

    def submit(self, unit: Unit) -> None:
        """Send a unit to a node."""
        self._tasks[unit.folder] = task = _Task(unit)
        self._send(task)

    def _send(self, task: _Task) -> None:
        unit, exclusive = task.unit, task.unit.kind == "time"
        asked: dict[str, Any] = {"num_cpus": self._threads, "scheduling_strategy": "SPREAD"}
        # As they were seen last: this thread must not wait for a head that is gone.
        others = [n for n in self._nodes if n.id != task.node] or self._nodes
        if exclusive and others:
            # The driver's own, where it can be: what else is said of a run's machine is said of that.
            node = min(others, key=lambda n: (n.id != self._home, -n.cores))
            asked = {"num_cpus": node.cores, "num_gpus": node.gpus, "scheduling_strategy": _on(node.id)}
        elif task.node and others:
            node = others[(task.tries + len(self._tasks)) % len(others)]
            asked["scheduling_strategy"] = _on(node.id, soft=True)
        if unit.device == "cuda" and unit.kind != "judge" and not exclusive:
            asked["num_gpus"] = GPU_SHARE
        ref = self._carry_out.options(**asked).remote(json.dumps(unit.to_json()), unit.folder, self._order, exclusive)
        self._refs[unit.folder] = ref
        ref.future().add_done_callback(partial(self._over, unit.folder))

    def _over(self, folder: str, ended: Any) -> None:
        self._events.put(("end", (folder, ended)))

    def _hear(self) -> None:
        """Thread: what the nodes say of their units, as it comes."""
        with contextlib.suppress(Exception):  # the actor has gone with its node, or with the run
            while not self._ended.is_set():
                for message in self._ray.get(self._post.take.remote()):
                    self._events.put(("said", message))

    def _watch(self) -> None:
        """Thread: whether the head is there. Ray itself would end this process when it is not."""
        address = self._ray.get_runtime_context().gcs_address
        failures = 0
        while not self._ended.wait(PING):
            try:
                _reach(address)
                failures = 0
            except ValueError:
                failures += 1
            if failures == PINGS:
                self._events.put(("gone", address))

    def _survey(self) -> None:
        """Thread: which nodes there are. Without a head nobody answers."""
        with contextlib.suppress(Exception):
            while not self._ended.wait(PING):
                self._nodes = _nodes(self._ray)

    def next_finished(self) -> tuple[Unit, str]:
        """Wait for a unit to end: the unit and, where it failed, the reason. Raises ValueError where the cluster is gone."""
        while True:
            what, about = self._events.get()
            if what == "gone":
                self._gone = True
                raise ValueError(
                    f"executor: the Ray cluster at {about} is gone; what was done is kept: with another one, --resume carries on"
                )
            if what == "end":
                folder, ended = about
                task, answer = self._tasks[folder], _answer(ended)
                del self._refs[folder]
                if "lost" in answer and task.tries <= RETRIES:
                    task.tries += 1
                    task.lost.append(answer["lost"])
                    self._send(task)
                    continue
                del self._tasks[folder]
                if "lost" in answer:
                    return task.unit, died(f"{answer['lost']}, {task.tries} times")
                return task.unit, answer.get("reason", "")
            if "begun" in about:
                if (task := self._tasks.get(about["begun"])) is not None:  # type: ignore[assignment]
                    task.node = about["node"]
            else:
                self._listen(about)


def _on(node: str, soft: bool = False) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node, soft=soft)


def _answer(ended: Any) -> Mapping[str, str]:
    """What a task gave back, or how it was lost."""
    try:
        return ended.result()  # type: ignore[no-any-return]
    except Exception as error:  # every kind of loss that Ray knows has a class of its own
        return {"lost": _words(error)}


LOSSES = {
    "NodeDiedError": "its node was lost",
    "WorkerCrashedError": "its worker was lost",
    "OutOfMemoryError": "its node was out of memory",
    "LocalRayletDiedError": "its node was lost",
    "TaskUnschedulableError": "its node was lost",
    "GetTimeoutError": f"no answer in {LOOK:.0f} s",
}
"""What Ray's errors mean, in words."""


def _words(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    name = type(cause).__name__
    if name in LOSSES:
        return LOSSES[name]
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{name}: {lines[-1] if lines else ''}"[:300]
