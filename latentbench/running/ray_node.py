"""What the executor ``ray`` runs on the nodes of a cluster: a unit handed to a worker process there, and heard to its end.

A Ray worker loads neither torch nor the catalog. It keeps one `WorkerProcess` of its own, the same that the executor
``local`` starts, and hands it one unit after another: so a unit is computed in the same way everywhere, and what it has
started ends with the Ray worker, whatever ends that.
"""

from __future__ import annotations

import asyncio
import os
import queue
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version_tuple
from typing import Any

from latentbench import machine, run_folder
from latentbench.running.sources import package_code
from latentbench.running.worker_process import Spawned, WorkerProcess, worker_environment

CANCELLED = 0.2
"""Seconds after which a unit that was cancelled is ended: what interrupts a thread does not wake it."""
TOLD_EVERY = 1.0
"""Seconds between two messages of progress of a unit: the driver hears of all units of the cluster."""


@dataclass(frozen=True)
class Order:
    """How units are to be carried out on a node: who is to hear of them (``post``, an actor), the driver's ``environment``
    variables that count, the ``folder`` it stands in, what the node has to be ``alike`` in (`fingerprint`), how many units
    each node has room for (``slots``, by the node's id)."""

    post: Any
    environment: Mapping[str, str]
    folder: str
    alike: Mapping[str, str]
    slots: Mapping[str, int]


@cache
def fingerprint() -> dict[str, str]:
    """What has to be the same on all nodes for a unit's numbers to be those of its key, in words."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "none"
    return {"python": ".".join(python_version_tuple()[:2]), "torch": torch, "latentbench": package_code()[:12]}


def difference(there: Mapping[str, str], here: Mapping[str, str]) -> str:
    """In which point a node is not as the driver is; empty where it is."""
    return next((f"it has {k} {there.get(k)}, this machine {v}" for k, v in here.items() if there.get(k) != v), "")


class Post:
    """An actor on the driver's node that hands on what the nodes say of their units, as it comes."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._come = asyncio.Event()

    async def put(self, message: dict[str, Any]) -> None:
        """Leave a message."""
        self._messages.append(message)
        self._come.set()

    async def take(self) -> list[dict[str, Any]]:
        """Wait for messages, and take all there are."""
        await self._come.wait()
        self._come.clear()
        taken, self._messages = self._messages, []
        return taken


class _Servant:
    """The worker process of this Ray worker, for one way of sharing the node."""

    def __init__(self, order: Order, variables: Mapping[str, str]) -> None:
        self.variables = dict(variables)
        self.answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        folder = Path(order.folder)
        environment = worker_environment({**os.environ, **order.environment, **variables})
        child = Spawned(environment, folder if folder.is_dir() else None)
        self.process = WorkerProcess(self.answers.put, child)

    def end(self) -> None:
        self.process.kill()
        self.process.close()
        self.process.join()


_servants: list[_Servant] = []
"""At most one; it outlives the task."""


def carry_out(unit: str, folder: str, order: Order, exclusive: bool) -> dict[str, str]:
    """Have a unit computed: nothing where it lies in its place now, else ``reason`` (it failed) or ``lost`` (its worker
    did, in these words). ``unit``: its JSON; ``folder``: what it is called; ``exclusive``: it has the node to itself."""
    import ray

    if unlike := difference(fingerprint(), order.alike):
        return {"lost": f"node {run_folder.host()} is not like the driver's: {unlike}"}
    node = ray.get_runtime_context().get_node_id()
    _tell(order, {"begun": folder, "node": node})
    servant = _servant(order, _variables(exclusive, order.slots.get(node, 2)))
    try:
        servant.process.send(unit)
        return _hear(servant, order)
    except BaseException:  # cancelled: nothing of the unit is left running when this task has ended
        _dismiss()
        raise


def _variables(exclusive: bool, slots: int) -> dict[str, str]:
    """What a worker process is told of its place: how many share the node, and that in words; which GPU it was given."""
    beside = "alone there, all of its cores kept free" if exclusive else f"one of at most {slots} units there"
    where = f"{run_folder.host()} ({machine.processor()}), {beside}"
    gpu = {"CUDA_VISIBLE_DEVICES": os.environ["CUDA_VISIBLE_DEVICES"]} if "CUDA_VISIBLE_DEVICES" in os.environ else {}
    return {machine.WORKERS: "1" if exclusive else str(slots), machine.PLACEMENT: where, **gpu}


def _servant(order: Order, variables: Mapping[str, str]) -> _Servant:
    if _servants and _servants[0].variables != dict(variables):
        _dismiss()
    if not _servants:
        _servants.append(_Servant(order, variables))
    return _servants[0]


def _dismiss() -> None:
    while _servants:
        _servants.pop().end()


def _hear(servant: _Servant, order: Order) -> dict[str, str]:
    """The answer of the worker process; its progress is handed on, the latest of each cell once in a while."""
    told: dict[tuple[Any, Any], float] = {}
    while True:
        try:
            message = servant.answers.get(timeout=CANCELLED)
        except queue.Empty:
            continue
        if message is None:
            how = servant.process.death
            _servants.clear()
            return {"lost": how}
        if "progress" not in message:
            return {k: str(v) for k, v in message.items() if k == "reason"}
        cell, now = message["progress"], time.monotonic()
        key = (cell.get("model"), cell.get("seed"))
        if "epoch" not in cell or now - told.get(key, -TOLD_EVERY) >= TOLD_EVERY:
            told[key] = now
            _tell(order, message)


def _tell(order: Order, message: dict[str, Any]) -> None:
    order.post.put.remote(message)


def look(token: str, secret: str, mine: str) -> dict[str, str]:
    """What this node is like, and whether it sees the run folder: the ``secret`` in the file ``token``; it leaves its own name
    in the file ``mine``."""
    out = {**fingerprint(), "host": run_folder.host()}
    try:
        if Path(token).read_text("utf-8") != secret:
            return {**out, "blind": "it sees another one"}
        Path(mine).write_text(secret, "utf-8")
    except OSError as error:
        return {**out, "blind": error.strerror or str(error)}
    return out
