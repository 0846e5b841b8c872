"""torchvision beside a CPU-only torch: it works, nothing is touched where it is not needed, other errors pass."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_data_sets_transforms_and_grids_work_here():
    code = (
        "from latentbench.torchvision_guard import torchvision\n"
        "tv = torchvision()\n"
        "import torch\n"
        "from torchvision.transforms import v2\n"
        "from torchvision.utils import make_grid\n"
        "x = v2.Resize(4)(torch.rand(2, 3, 8, 8))\n"
        "print(tv.datasets.MNIST.__name__, tuple(x.shape), make_grid(x).ndim, torchvision() is tv)\n"
    )
    assert run(code) == "MNIST (2, 3, 4, 4) 3 True"


def test_a_torchvision_that_imports_is_left_alone():
    code = (
        "import sys, types\n"
        "fake = types.ModuleType('torchvision'); sys.modules['torchvision'] = fake\n"
        "from latentbench.torchvision_guard import torchvision\n"
        "print(torchvision() is fake)\n"
    )
    assert run(code) == "True"


def test_another_error_is_passed_on(tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('something else')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from latentbench.torchvision_guard import torchvision\n"
        "try:\n    torchvision()\nexcept RuntimeError as error:\n    print(error)\n"
    )
    assert run(code) == "something else"
