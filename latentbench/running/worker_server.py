"""A server of workers: a process that has loaded what a worker needs, and forks one whenever it is asked to.

To load torch takes longer than many a training. The program loads it once, before it looks at the data and with the
variables of its workers, and the server is a `twin` of it; where the program has loaded torch before, or has threads, the
server is a program of its own. Every worker is there a moment after it is asked for, in memory that all of them share. The
server does nothing but load modules and fork: no tensor is made in it, and where loading has started a thread (more than
one of OpenBLAS, say) it forks nobody, since a lock that another thread holds would be held in the fork for ever; workers
are then programs of their own, as they are where a system has no such forks, and where `machine.FORK` is 0.

    program                             server                           worker
    {"start": 1, environment} + pipes ->  fork ---------------------------> units from its pipe, answers into it
                                      <- {"ended": 1, "code": 0}         <- ends
    {"kill": 1}                       ->  SIGKILL to the worker's group

The channel is a socket that keeps messages apart. When it closes, for the program has ended, however it did, the server
ends its workers and itself.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from latentbench import machine
from latentbench.running.twin import Twin, single_threaded, variables

LONGEST = 1 << 17
"""Bytes of a message, at most: one holds the variables of a process."""
ROOMS = ("latentbench.metrics", "latentbench.models", "latentbench.datasets")
"""Whose modules every worker loads. What lies behind entry points each worker loads itself, as it is then."""


def possible(environment: Mapping[str, str]) -> bool:
    """Whether workers with these variables can be forked on this system. Raises ValueError, one line, where it is said with
    another word than 0 or 1 whether they may."""
    return machine.forks(environment.get(machine.FORK)) and sys.platform == "linux"


class WorkerServer:
    """The program's side of a server whose workers have the variables ``environment``. ``twin``: it is forked from this
    process, which has loaded what it needs and has one thread. Raises OSError where it cannot be started."""

    def __init__(self, environment: Mapping[str, str], twin: bool = False) -> None:
        self.environment = dict(environment)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process: Twin | subprocess.Popen[bytes] = (
                Twin(self.environment, partial(self._serve, theirs))
                if twin
                else _program(self.environment, theirs.fileno())
            )
        self._codes: dict[int, int] = {}
        self._started, self._forks, self._ended = 0, False, False
        self._news, self._ready = threading.Condition(), threading.Event()
        threading.Thread(target=self._hear, daemon=True).start()

    def _serve(self, theirs: socket.socket) -> int:
        """Be the server, in a twin of the program."""
        self._channel.close()
        return serve(theirs)

    def _hear(self) -> None:
        """Take in what the server says, until it has ended."""
        with contextlib.suppress(OSError):
            while message := self._channel.recv(LONGEST):
                told = json.loads(message)
                if "forks" in told:
                    self._forks = told["forks"]
                    self._ready.set()
                with self._news:
                    if "ended" in told:
                        self._codes[told["ended"]] = told["code"]
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
        self._ready.set()

    @property
    def forks(self) -> bool:
        """Whether it can fork: known when it has loaded everything, and waited for until then."""
        self._ready.wait()
        return self._forks and not self._ended

    def start(self, variables: Mapping[str, str]) -> Forked:
        """A new worker, with these ``variables`` besides the server's, in the folder where this process stands. Where the
        server has died meanwhile, it is a worker that has died."""
        self._started += 1
        (units, to_worker), (from_worker, answers) = os.pipe(), os.pipe()
        message = {"start": self._started, "variables": dict(variables), "folder": str(Path.cwd())}
        try:
            with contextlib.suppress(OSError):
                socket.send_fds(self._channel, [json.dumps(message).encode()], [units, answers])
        finally:
            os.close(units)
            os.close(answers)
        return Forked(self, self._started, to_worker, from_worker)

    def kill(self, number: int) -> None:
        """End a worker, with all that it has started."""
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps({"kill": number}).encode())

    def wait(self, number: int) -> int:
        """Wait until a worker has ended: its exit code, or less a signal's number; SIGKILL's where the server has."""
        with self._news:
            self._news.wait_for(lambda: number in self._codes or self._ended)
            return self._codes.get(number, -signal.SIGKILL)

    def close(self) -> None:
        """End the server, and the workers that are left."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        if not self._ready.is_set():
            self._process.kill()  # still loading, and not listening
        self._process.wait()
        self._channel.close()


def _program(environment: Mapping[str, str], channel: int) -> subprocess.Popen[bytes]:
    """A server that is a program of its own, on the socket of this number."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "latentbench.running.worker_server", str(channel)],
        stdin=subprocess.DEVNULL,
        env=environment,
        pass_fds=[channel],
        process_group=0,
    )


class Forked:
    """A worker of a server's, the one of this ``number``; see `worker_process.Child`."""

    def __init__(self, server: WorkerServer, number: int, to_worker: int, from_worker: int) -> None:
        self._server, self._number = server, number
        self.stdin: TextIO = os.fdopen(to_worker, "w", encoding="utf-8")
        self.stdout: TextIO = os.fdopen(from_worker, "r", encoding="utf-8")

    def wait(self) -> int:
        """See `worker_process.Child`."""
        return self._server.wait(self._number)

    def kill(self) -> None:
        """See `worker_process.Child`."""
        self._server.kill(self._number)


_early: list[WorkerServer] = []
"""The server that was started before anybody needed it; at most one."""


def start_early(environment: Mapping[str, str]) -> None:
    """Start a server now for whoever takes it later, see `take`; nothing where it cannot be. A program that has not loaded
    torch loads it here, with these variables: it has one thread then, as its workers have."""
    if not possible(environment) or _early:
        return
    twin = machine.threads() == 1 and "torch" not in sys.modules and single_threaded()
    if twin:
        with variables(environment):
            _load()
    with contextlib.suppress(OSError):
        _early.append(WorkerServer(environment, twin and single_threaded()))
        atexit.register(_end_early)


def _end_early() -> None:
    while _early:
        _early.pop().close()


def take(environment: Mapping[str, str]) -> WorkerServer | None:
    """A server for workers with these variables, that was started early or is now; None where none can be had, or where it
    would fork nobody."""
    if not possible(environment):
        return None
    server = _early.pop() if _early else None
    if server is not None and server.environment != dict(environment):
        server.close()
        server = None
    try:
        server = server or WorkerServer(environment)
    except OSError:
        return None
    if server.forks:
        return server
    server.close()
    return None


class _Forks:
    """The server's side: its ``channel``, and the workers that live, their numbers by process."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.workers: dict[int, int] = {}
        self._woken, self._waking = socket.socketpair()
        for end in (self._woken, self._waking):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def close(self) -> None:
        """End the workers that are left. A signal that comes later wakes nobody: it would be written where these sockets were."""
        for process in self.workers:
            _kill(process)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        self._woken.close()
        self._waking.close()

    def serve(self) -> None:
        """Do what is asked until the channel closes."""
        while True:
            ready, _, _ = select.select([self.channel, self._woken], [], [])
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    while self._woken.recv(1024):
                        pass
                self._bury()
            if self.channel in ready:
                message, pipes, _, _ = socket.recv_fds(self.channel, LONGEST, 2)
                if not message:
                    return
                self._heed(json.loads(message), pipes)

    def _heed(self, asked: Mapping[str, Any], pipes: Sequence[int]) -> None:
        if "start" in asked:
            process = os.fork()
            if process == 0:
                self._work(asked, pipes)
            with contextlib.suppress(OSError):  # so does the worker itself: whoever is first
                os.setpgid(process, process)
            self.workers[process] = asked["start"]
            for pipe in pipes:
                os.close(pipe)
        for process, number in self.workers.items():
            if number == asked.get("kill"):
                _kill(process)

    def _work(self, asked: Mapping[str, Any], pipes: Sequence[int]) -> None:
        """Be a worker, to its end."""
        from latentbench.running import worker

        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            for end in (self.channel, self._woken, self._waking):
                end.close()
            for pipe, usual in zip(pipes, (0, 1), strict=True):
                os.dup2(pipe, usual)
                os.close(pipe)
            sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it is the worker's, to its end
            os.environ.update(asked["variables"])
            os.chdir(asked["folder"])
            code = worker.main([])
        finally:
            os._exit(code)

    def _bury(self) -> None:
        """End what dead workers have started, then tell of them; until then their groups' numbers stay their own."""
        for process, number in list(self.workers.items()):
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                continue
            _kill(process)
            _, status = os.waitpid(process, 0)
            del self.workers[process]
            with contextlib.suppress(OSError):
                self.channel.send(json.dumps({"ended": number, "code": os.waitstatus_to_exitcode(status)}).encode())


def _kill(group: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)


def _load() -> None:
    """Everything that a worker needs."""
    with machine.uncollected():
        for name in ("latentbench.running.worker", "safetensors.torch", *ROOMS):
            module = importlib.import_module(name)
            if name in ROOMS:
                for part in pkgutil.iter_modules(module.__path__):
                    importlib.import_module(f"{name}.{part.name}")


def main(argv: Sequence[str]) -> int:
    """Entry point: serves on the socket whose number is the first argument."""
    for one in machine.STOPPING:
        signal.signal(one, signal.SIG_DFL)
    channel = socket.socket(fileno=int(argv[0]))
    _load()
    return serve(channel)


def serve(channel: socket.socket) -> int:
    """Be the server on this socket, with everything loaded, until it closes; returns the exit code."""
    alone = single_threaded()
    with contextlib.suppress(OSError):
        channel.send(json.dumps({"forks": alone}).encode())
        if alone:
            forks = _Forks(channel)
            try:
                forks.serve()
            finally:
                forks.close()
    return 0


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    gc.freeze()  # else its end is waited for while all that torch holds is looked through
    sys.exit(ended)
