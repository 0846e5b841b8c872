"""torchvision beside whatever torch is installed: it works here, and the guard answers one error only."""

from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from latentbench.datasets import torchvision_guard

WORKS = """
import warnings
warnings.simplefilter("error")
from latentbench.datasets.torchvision_guard import torchvision
found = torchvision()
import torch, torchvision as again
assert again is found and torchvision() is found
from torchvision import datasets, utils
from torchvision.transforms import v2
grid = utils.make_grid(torch.rand(4, 1, 8, 8), nrow=2, padding=1)
assert grid.shape == (3, 19, 19), grid.shape
assert v2.Resize(4)(torch.rand(1, 8, 8)).shape == (1, 4, 4)
assert torch.equal(v2.functional.horizontal_flip(torch.tensor([[[0.0, 1.0]]])), torch.tensor([[[1.0, 0.0]]]))
assert datasets.MNIST.classes[3].startswith("3")
print("works")
"""


class Importer:
    """Stands in for import_module: fails with these errors in turn, then hands over a module."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls, self.module = list(errors), [], ModuleType("torchvision")

    def __call__(self, name: str) -> ModuleType:
        self.calls.append((name, sorted(n for n in sys.modules if n.startswith("torchvision"))))
        if self.errors:
            sys.modules["torchvision.half"] = ModuleType("torchvision.half")
            raise self.errors.pop(0)
        return self.module


@pytest.fixture
def guarded(monkeypatch):
    """`torchvision` under a stand-in importer, with sys.modules put back; declarations are counted, not made."""
    declared: list[int] = []
    kept = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == "torchvision"}
    for name in kept:
        del sys.modules[name]
    monkeypatch.setattr(torchvision_guard, "_declare", lambda: declared.append(1))

    def call(importer: Importer) -> tuple[ModuleType, int]:
        monkeypatch.setattr(importlib, "import_module", importer)
        return torchvision_guard.torchvision.__wrapped__(), len(declared)

    yield call
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    sys.modules.update(kept)


NMS = RuntimeError("operator torchvision::nms does not exist")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_works_in_a_fresh_process():
    assert python(WORKS) == "works"


def test_touches_nothing_where_torchvision_imports_by_itself(guarded):
    importer = Importer()
    module, declarations = guarded(importer)
    assert module is importer.module
    assert (len(importer.calls), declarations) == (1, 0)


def test_declares_and_starts_afresh_on_the_one_error(guarded):
    importer = Importer(NMS)
    module, declarations = guarded(importer)
    assert module is importer.module
    assert declarations == 1
    assert importer.calls == [("torchvision", []), ("torchvision", [])]  # the half-loaded module is gone


def test_falls_back_on_an_empty_registrations_module(guarded):
    importer = Importer(NMS, RuntimeError("operator torchvision::new_one does not exist"))
    module, _ = guarded(importer)
    assert module is importer.module
    assert importer.calls[2] == ("torchvision", ["torchvision._meta_registrations"])
    assert not hasattr(sys.modules["torchvision._meta_registrations"], "register_meta")


@pytest.mark.parametrize(
    "errors",
    [
        (ImportError("No module named 'torchvision'"),),
        (RuntimeError("Detected that PyTorch and torchvision were compiled with different CUDA major versions."),),
        (NMS, ImportError("libcudart.so")),
        (NMS, NMS, NMS),
    ],
)
def test_passes_every_other_error_on(guarded, errors):
    with pytest.raises(type(errors[-1]), match=str(errors[-1])[:20]):
        guarded(Importer(*errors))


def test_another_error_of_a_real_import_is_passed_on(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('something else')")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from latentbench.datasets.torchvision_guard import torchvision
try:
    torchvision()
except RuntimeError as error:
    print(error, "torch" in sys.modules)
"""
    assert python(code) == "something else False"


def test_importing_the_guard_loads_neither_torch_nor_torchvision():
    code = "import sys, latentbench.datasets.torchvision_guard; print([m for m in ('torch', 'torchvision') if m in sys.modules])"
    assert python(code) == "[]"
