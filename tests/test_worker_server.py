"""Workers that are forked: they answer as those do that are programs of their own, and die as they do."""

import json
import os
import queue
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from latentbench import machine
from latentbench.running import worker_server
from latentbench.running.worker_process import Spawned, WorkerProcess, worker_environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
PATIENCE = 120


class Worker:
    """A worker and what it said."""

    def __init__(self, child):
        self.said = queue.Queue()
        self.process = WorkerProcess(self.said.put, child)

    def ask(self, unit) -> object:
        self.process.send(json.dumps(unit))
        return self.said.get(timeout=PATIENCE)

    def end(self) -> object:
        self.process.close()
        return self.said.get(timeout=PATIENCE)


@pytest.fixture(scope="module")
def server():
    server = worker_server.take(worker_environment(os.environ))
    assert server is not None, "no server of workers: it has more than one thread"
    yield server
    server.close()


def status_of(process: int, line: str) -> list[str]:
    text = Path(f"/proc/{process}/status").read_text()
    return next(row.split()[1:] for row in text.splitlines() if row.startswith(line))


def children(process: int) -> list[int]:
    return [
        int(p.name)
        for p in Path("/proc").iterdir()
        if p.name.isdigit() and (p / "status").exists() and status_of(int(p.name), "PPid:") == [str(process)]
    ]


def test_a_forked_worker_answers_as_a_program_of_its_own(server):
    """What is no unit is told in the same words; a second one too, and the end of its input ends it."""
    said = []
    for child in (server.start({}), Spawned(worker_environment(os.environ))):
        worker = Worker(child)
        said.append([worker.ask({"no": "unit"}), worker.ask([1, 2]), worker.end(), worker.process.death])
    assert said[0] == said[1]
    assert "reason" in said[0][0]
    assert said[0][2:] == [None, "SIGKILL"] or said[0][2:] == [None, "exit code 0"]


def test_two_work_side_by_side_in_groups_of_their_own(server):
    workers = [Worker(server.start({"LATENTBENCH_WORKERS": "2"})) for _ in range(2)]
    for worker in workers:
        assert "reason" in worker.ask({})
    processes = children(server._process.pid)
    assert len(processes) == 2
    assert {os.getpgid(p) for p in processes} == set(processes)
    assert workers[0].end() is None  # the other's pipes are not held open by it, nor its own by the other
    assert "reason" in workers[1].ask({})
    assert workers[1].end() is None
    assert children(server._process.pid) == []


def test_a_worker_that_is_killed_is_told_with_its_signal(server):
    worker = Worker(server.start({}))
    assert "reason" in worker.ask({})
    (process,) = children(server._process.pid)
    os.kill(process, signal.SIGTERM)
    assert worker.said.get(timeout=PATIENCE) is None
    assert worker.process.death == "SIGTERM"
    second = Worker(server.start({}))
    second.process.kill()
    assert second.said.get(timeout=PATIENCE) is None
    assert second.process.death == "SIGKILL"


def test_with_the_server_its_workers_end():
    server = worker_server.take(worker_environment(os.environ))
    worker = Worker(server.start({}))
    assert "reason" in worker.ask({})
    (process,) = children(server._process.pid)
    os.kill(server._process.pid, signal.SIGKILL)
    assert worker.said.get(timeout=PATIENCE) is None
    assert worker.process.death == "SIGKILL"
    worker.process.close()
    assert not server.forks
    late = Worker(server.start({}))
    assert late.said.get(timeout=PATIENCE) is None
    server.close()
    for _ in range(PATIENCE * 10):
        if not Path(f"/proc/{process}").exists() or status_of(process, "State:")[0] == "Z":
            break
        signal.sigtimedwait([], 0.1)
    else:
        pytest.fail("the worker outlived its server and its pipe")


def test_a_worker_that_ends_after_the_server_has_disturbs_nothing():
    """Its signal would be written to a socket that is closed, or into whatever has that number since."""
    code = """
import os, socket
from latentbench.running import worker_server
worker_server._load = lambda: None
program, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
program.shutdown(socket.SHUT_WR)
worker_server.main([str(server.detach())])
others = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
late = os.fork()
if late == 0:
    os._exit(0)
os.waitpid(late, 0)
print(program.recv(100).decode())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert (json.loads(done.stdout), done.stderr) == ({"forks": True}, "")


@pytest.mark.parametrize(("variables", "forked"), [({}, True), ({machine.FORK: "0"}, False)])
def test_whether_workers_are_forked_can_be_said(variables, forked):
    server = worker_server.take(worker_environment({**os.environ, **variables}))
    assert (server is not None) is forked
    if server is not None:
        server.close()


def test_a_server_for_other_variables_is_not_taken():
    worker_server.start_early(worker_environment({**os.environ, "LATENTBENCH_OTHER": "1"}))
    (early,) = worker_server._early
    taken = worker_server.take(worker_environment(os.environ))
    assert taken is not early
    assert early._process.returncode is not None
    taken.close()


def test_neither_the_server_nor_a_training_nor_a_measure_nor_its_cost_loads_torchs_compiler():
    """It takes longer to load than a short training does, and forward-mode derivatives do load it."""
    code = """
import sys
from latentbench import machine
from latentbench.running import worker_server
worker_server._load()
import torch
from latentbench.models.vae import VariationalAutoencoder
from latentbench.training.steps import Adam, TracedStep, traced_step
model = VariationalAutoencoder((1, 8, 8), 4, width=16)
step = traced_step(model, torch.rand(8, 1, 8, 8), torch.Generator(), Adam(model.parameters()))
assert isinstance(step, TracedStep)
from latentbench.core import Dataset, Split
from latentbench.measuring import scoring
from latentbench.metrics.geodesic import geodesic_ratio
from latentbench.metrics.jacobian import jacobian_lipschitz
from latentbench.measuring import cost_of_a_call
from latentbench.records import Record
images = torch.rand(2, 1, 8, 8)
with torch.inference_mode():
    assert cost_of_a_call.flops(lambda: model.encode(images)) > 0
    assert cost_of_a_call.peak_memory(lambda: model.encode(images), torch.device("cpu")) > 0
data = Dataset("noise", *[Split(torch.rand(64, 1, 8, 8), None)] * 3)
with torch.no_grad():  # a decoder that no training has seen hardly moves
    for weight in model.trunk.decoder.parameters():
        weight.mul_(8)
encoding = scoring.encode(model.eval(), data, 0, torch.device("cpu"))
rows = scoring.score(encoding, [geodesic_ratio, jacobian_lipschitz], Record())
assert [(r.status, r.detail.get("method")) for r in rows] == [("ok", "autograd")] * 2
print(sorted({"torch._dynamo", "torch._inductor", "sympy", "sklearn", "umap", "bokeh"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_and_its_server_load_torch_once(tmp_path):
    """The program loads it with its workers' variables and before anything else does, then forks the server from itself; two
    that load it at once, on two cores, each take half as long again."""
    code = f"""
import os, sys
from latentbench.cli.app import main
from latentbench.running import worker_server
load, took = worker_server._load, worker_server.take
def loaded():
    print(sorted({{"torch", "numpy", "scipy"}} & set(sys.modules)), os.environ["OMP_NUM_THREADS"], os.environ["NUMBA_NUM_THREADS"])
    load()
def taken(environment):
    server = took(environment)
    pid = server._process.pid
    print(type(server._process).__name__, os.getpgid(pid) == pid, os.readlink(f"/proc/{{pid}}/fd/0"))
    print(os.environ.get("OMP_NUM_THREADS"), os.environ.get("NUMBA_NUM_THREADS"), os.environ.get("MALLOC_MMAP_THRESHOLD_"))
    server.close()
    print(server._process.returncode, server.forks)
    sys.exit(0)
worker_server._load, worker_server.take = loaded, taken
main(["run", "--models", "ae", "--quiet", "--out", {str(tmp_path / "run")!r}])
"""
    unset = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MALLOC_MMAP_THRESHOLD_")
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    lines = done.stdout.splitlines()
    assert (done.returncode, lines) == (
        0, ["[] 1 1", "Twin True /dev/null", "None None None", "0 False"]
    ), done.stderr  # fmt: skip


@pytest.mark.parametrize(
    "before", ["import torch", "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"]
)
def test_a_program_that_has_threads_or_has_loaded_torch_has_a_server_of_its_own(before):
    code = f"""
import os
from latentbench.running import worker_server
from latentbench.running.worker_process import worker_environment
{before}
worker_server.start_early(worker_environment(os.environ))
print(type(worker_server._early[0]._process).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == "Popen\n"
