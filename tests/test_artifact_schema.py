"""What writes pictures and what draws them mean the same arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_run import build

from latentbench.artifact_schema import SCHEMA, check, is_newer
from latentbench.measuring import artifacts
from latentbench.records import Record
from latentbench.report import folder as folders
from latentbench.run_folder import RunFiles


def test_only_declared_arrays_are_written(tmp_path):
    with pytest.raises(ValueError, match="'xyz' is not an array of it"):
        artifacts.write({"xyz": np.zeros((3, 2))}, {}, tmp_path, "artifacts/x", Record(), "map", "map-0")
    with pytest.raises(ValueError, match="'xy' has 1 axes"):
        check("map", {"xy": np.zeros(3)})
    assert list(tmp_path.iterdir()) == []
    arrays, detail = artifacts.latent_map(torch.rand(30, 2), 0)
    row = artifacts.write(arrays, detail, tmp_path, "artifacts/x", Record(model="ae"), "map", "map-0")
    assert row.detail == {"schema": SCHEMA, **detail}


@pytest.mark.parametrize("detail", [{}, {"schema": 1}, {"schema": SCHEMA}])
def test_layouts_that_are_read(detail):
    assert not is_newer(detail)


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, "2", None])
def test_a_layout_of_later_is_not_drawn_and_says_so(tmp_path, schema):
    files = RunFiles(build(tmp_path / "run"))
    rows = files.read_records("x")
    held = [r.metric == "map" and r.kind == "artifact" for r in rows]
    files.write_records(
        replace(r, detail={**r.detail, "schema": schema}) if later else r for r, later in zip(rows, held, strict=True)
    )
    (run,) = folders.load([files.path])
    with pytest.raises(folders.Absent, match=r"^Not drawn: .*newer version of latentbench; update it\.$"):
        run.artifact("map", "ae")
    assert run.artifact("data").need("thumbs").ndim in (3, 4)
