"""`verify` detects faulty folds and where they begin: faults of mutants/, each in its own copy of the package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
import reference
import truth
from mutants import MUTANTS, PROJECT, Mutant

import caffe_fuse

# Those that change values by more than rounding, and leave a net that loads.
NAMES = {
    "no square root",
    "eps outside the square root",
    "the default eps whatever the net says",
    "the moving average factor ignored",
    "the moving average factor inverted",
    "a factor of 0 taken for 1",
    "the mean added",
    "beta used twice",
    "the shift in front not scaled",
    "the old bias not scaled",
    "the shift dropped",
    "a deconvolution scaled along its inputs",
    "the groups of a deconvolution interleaved",
    "transposed weights scaled along the wrong axis",
}
FAULTY = [mutant for mutant in MUTANTS if mutant.name in NAMES]
# Folds every net without the proof, which would notice.
FOLD = """
import pathlib, sys
import caffe_fuse
from caffe_fuse.folding import save
assert save.prove_written
save.prove_written = lambda *_: None
source, target = map(pathlib.Path, sys.argv[1:])
for name in sys.stdin.read().split():
    try:
        model = caffe_fuse.load(source / name / "net.prototxt", source / name / "net.caffemodel")
        caffe_fuse.fuse(model, rescale="never", half_policy="off").save(target / name)
    except caffe_fuse.CaffeFuseError:
        pass
"""


def test_the_faults_are_those_of_the_list() -> None:
    assert {mutant.name for mutant in FAULTY} == NAMES


@pytest.mark.parametrize("mutant", FAULTY, ids=lambda mutant: mutant.name)
def test_a_faulty_fold_is_found_where_it_begins(mutant: Mutant, tmp_path: Path) -> None:
    package = tmp_path / "project" / "caffe_fuse"
    shutil.copytree(PROJECT / "caffe_fuse", package, ignore=shutil.ignore_patterns("__pycache__"))
    file = package / mutant.file
    file.write_text(file.read_text().replace(mutant.old, mutant.new))
    (tmp_path / "out").mkdir()
    names = [*truth.names("fold-*"), *truth.names("keep-*")]
    command = [sys.executable, "-c", FOLD, str(truth.FOLDER), str(tmp_path / "out")]
    environment = {"PYTHONPATH": str(package.parent), "PATH": "/usr/bin:/bin"}
    subprocess.run(command, input="\n".join(names), text=True, check=True, env=environment, cwd=tmp_path)
    written = [name for name in names if (tmp_path / "out" / f"{name}.prototxt").exists()]
    assert any(parts(name, tmp_path / "out") for name in written)


def parts(name: str, folder: Path) -> bool:
    """Returns whether the nets differ; if so, `verify` names the blob where the judge sees the first difference."""
    net = truth.load(name)
    before = caffe_fuse.load(net.prototxt_path, net.weights_path)
    after = caffe_fuse.load(folder / f"{name}.prototxt", folder / f"{name}.caffemodel")
    difference = caffe_fuse.verify(before, after, net.inputs, half_policy="off").first_difference
    if difference is not None:
        assert first_difference(net, folder / name) == difference.blob
    return difference is not None


def first_difference(net: truth.Truth, after: Path) -> Optional[str]:
    values = [
        reference.run(text.read_bytes(), weights.read_bytes(), net.inputs)
        for text, weights in (
            (net.prototxt_path, net.weights_path),
            (after.with_name(f"{after.name}.prototxt"), after.with_name(f"{after.name}.caffemodel")),
        )
    ]
    for blob, value in values[0].items():
        if blob in values[1] and blob not in net.inputs:
            error = np.max(np.abs(values[1][blob] - value), initial=0.0)
            if error > 2e-6 * max(1e-3, np.max(np.abs(value), initial=0.0)):
                return blob
    return None
