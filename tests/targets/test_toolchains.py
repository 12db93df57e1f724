"""The real tools, where `make toolchains` has installed them: each takes the sample net that was written for it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import PROJECT
from toolchains.run import TOOLS, VENVS, Net, Tool, ask, compared, seeded

import caffe_fuse

NEAR = {"rknn": 1e-3}  # computes in half precision


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_tool_takes_the_net_that_was_written_for_it(tool: Tool, tmp_path: Path) -> None:
    python = VENVS / tool.name / "bin" / "python"
    if tool.name == "opencv":
        python = Path(sys.executable)
    elif not python.exists():
        pytest.skip(f"{tool.name} is not installed: make toolchains TOOLS={tool.name}")
    folder = PROJECT / "sample_nets"
    model = caffe_fuse.load(folder / "digits_resnet.prototxt", folder / "digits_resnet.caffemodel")
    weights, prototxt = caffe_fuse.fuse(model, target=tool.target).save(tmp_path / "net")
    inputs = seeded(model)
    assert inputs is not None
    found = ask(tool, python, Net("digits", Path(prototxt), Path(weights)), inputs)
    result = compared(caffe_fuse.run(model, inputs), found)
    assert result.message == ""
    assert result.off is not None
    assert result.off < NEAR.get(tool.name, 1e-5)
