"""Arguments of the library: choices are Literal types, a wrong type is a TypeError that says what was expected.

That a type checker refuses another choice is checked by mypy: a `type: ignore` in tests that nothing needs is an error.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple, get_args

import numpy as np
import pytest
import truth

import caffe_fuse
from caffe_fuse.execution.forward import PRECISIONS, PrecisionName
from caffe_fuse.folding import options
from caffe_fuse.half.targets import POLICIES, HalfPolicyName
from caffe_fuse.net.bn_dialect import NAMES, BnDialect
from caffe_fuse.net.state import Phase
from caffe_fuse.passes import FOLDS, Folds
from caffe_fuse.targets import TARGETS, TargetName
from caffe_fuse.weights import FORMATS

BLOCK = truth.FOLDER / "net-resnet-bottleneck"
NET, WEIGHTS = BLOCK / "net.prototxt", BLOCK / "net.caffemodel"


def choices(literal: Any) -> List[str]:
    return [literal] if isinstance(literal, str) else [name for each in get_args(literal) for name in choices(each)]


@pytest.mark.parametrize(
    ("literal", "known"),
    [
        (Phase, ("TEST", "TRAIN")),
        (BnDialect, NAMES),
        (Folds, FOLDS),
        (options.Strict, options.STRICT),
        (options.Rescale, options.RESCALE),
        (options.BlobType, options.BLOB_TYPES),
        (options.WeightsFormat, [format.name for format in FORMATS]),
        (PrecisionName, PRECISIONS),
        (HalfPolicyName, POLICIES),
        (TargetName, TARGETS),
    ],
    ids=lambda each: "",
)
def test_a_type_has_the_choices_that_are_known(literal: Any, known: Any) -> None:
    assert sorted(known) == sorted(choices(literal))


TEXT = NET.read_text()
MODEL = caffe_fuse.load(NET, WEIGHTS)
library: Any = caffe_fuse  # a type checker refuses all of these
WRONG: Dict[str, Tuple[Callable[[], Any], str]] = {
    "net": (lambda: library.load(5), "net is of type int, but a path is expected"),
    "bytes": (lambda: library.load(b"net.prototxt"), "net is of type bytes"),
    "file": (lambda: library.load(io.StringIO(TEXT), WEIGHTS), "net is of type StringIO, but a path"),
    "weights": (lambda: library.load(NET, 5), "weights is of type int, but a path, or None is expected"),
    "phase": (lambda: library.load(NET, phase=1), "phase is of type int, but a name is expected"),
    "level": (lambda: library.load(NET, level="1"), "level is of type str, but an integer"),
    "stages": (lambda: library.load(NET, stages=1), "stages is of type int, but a name or several"),
    "a stage": (lambda: library.load(NET, stages=[1]), "each of stages is of type int, but a name"),
    "shapes": (lambda: library.load(NET, input_shapes=[1, 3]), "input_shapes is of type list, but a dict, or None"),
    "dialect": (lambda: library.load(NET, bn_dialect=1), "bn_dialect is of type int, but a name, or None"),
    "model": (lambda: library.fuse("net.prototxt"), "model is of type str, but a Model, as caffe_fuse.load returns"),
    "result": (lambda: library.fuse(library.fuse(MODEL)), "model is of type Result, but a Model"),
    "keep": (lambda: library.fuse(MODEL, keep=5), "keep is of type int, but a name or several"),
    "a layer": (lambda: library.fuse(MODEL, keep=[MODEL.net.layers[0]]), "each of keep is of type Layer"),
    "flag": (lambda: library.fuse(MODEL, allow_bn="no"), "allow_bn is of type str, but True or False"),
    "simplify": (lambda: library.fuse(MODEL, simplify=1), "simplify is of type int, but True or False"),
    "statistics": (lambda: library.fuse(MODEL, use_global_stats="no"), "use_global_stats is of type str"),
    "half sums": (lambda: library.fuse(MODEL, half_sums=None), "half_sums is of type NoneType"),
    "policy": (lambda: library.fuse(MODEL, half_policy=16), "half_policy is of type int, but the name of a half"),
    "target": (lambda: library.fuse(MODEL, target=1), "target is of type int, but a name, or None"),
    "rescale": (lambda: library.fuse(MODEL, rescale=True), "rescale is of type bool, but a name"),
    "folds": (lambda: library.fuse(MODEL, folds=None), "folds is of type NoneType, but a name"),
    "blob type": (lambda: library.fuse(MODEL, blob_type=np.float16), "blob_type is of type type, but a name"),
    "format": (lambda: library.fuse(MODEL, weights_format=5), "weights_format is of type int"),
    "sigmas": (lambda: library.fuse(MODEL, sigmas="6"), "sigmas is of type str, but a number"),
    "ranges": (lambda: library.fuse(MODEL, ranges="r.json"), "ranges is of type str, but a Calibration, as calib"),
    "check": (lambda: library.check_half(NET), "model is of type PosixPath, but a Model"),
    "predict": (lambda: library.predict(NET), "model is of type PosixPath, but a Model"),
    "run": (lambda: library.run(NET), "model is of type PosixPath, but a Model"),
    "inputs": (lambda: library.run(MODEL, np.ones(3)), "inputs is of type ndarray, but a dict with an array for"),
    "precision": (lambda: library.run(MODEL, precision=np.float16), "precision is of type type, but the name of a"),
    "blobs": (lambda: library.run(MODEL, blobs=3), "blobs is of type int, but a name or several"),
    "seed": (lambda: library.run(MODEL, seed="a"), "seed is of type str, but an integer"),
    "no seed": (lambda: library.run(MODEL, seed=None), "seed is of type NoneType, but an integer"),
    "second": (lambda: library.verify(MODEL, NET), "second is of type PosixPath, but a Model"),
    "snr": (lambda: library.verify(MODEL, MODEL, min_snr="40"), "min_snr is of type str, but a number, or None"),
    "rescaled": (lambda: library.verify(MODEL, MODEL, rescaled=[1]), "rescaled is of type list, but a dict"),
    "batches": (lambda: library.calibrate(MODEL, {"data": []}), "batches is of type dict, but a sequence of"),
    "a batch": (lambda: library.calibrate(MODEL, [np.ones(3)]), "inputs is of type ndarray, but a dict"),
    "file of ranges": (lambda: library.read_ranges(5), "path is of type int, but a path"),
    "other ranges": (lambda: library.Calibration("", 1, {}).merged({}), "other is of type dict, but a Calibration"),
    "rounding": (lambda: library.HalfPolicy("x", rounding=1), "rounding is of type int, but a name"),
    "checked": (lambda: library.HalfPolicy("x", checked="no"), "checked is of type str, but True or False"),
    "dtype": (lambda: library.Precision("x", np.float32), "dtype is of type type, but a name"),
    "half": (lambda: library.Precision("x", half="ieee"), "half is of type str, but a HalfPolicy, or None"),
    "block": (lambda: library.Precision("x", block=2.5), "block is of type float, but an integer, or None"),
    "prefix": (lambda: library.fuse(MODEL).save(5), "prefix is of type int, but a path"),
    "force": (lambda: library.fuse(MODEL).save("x", force="no"), "force is of type str, but True or False"),
    "outputs": (lambda: library.fuse(MODEL).report.to_json("x"), "outputs is of type str, but a sequence of paths"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_type_is_a_type_error_that_says_what_was_expected(name: str) -> None:
    call, message = WRONG[name]
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value).startswith(message)


def test_a_choice_that_is_none_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="'int8' is neither float32 nor float64"):
        library.Precision("x", "int8")
    with pytest.raises(ValueError, match="'up' is neither nearest nor truncate"):
        library.HalfPolicy("x", "up")


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    model = library.load(str(NET), WEIGHTS, level=np.int64(0))
    library.fuse(model, sigmas=np.float32(6), keep=iter(()), strict=iter(()))
    library.run(model, seed=np.int32(1))


@pytest.mark.parametrize("text", [TEXT, 'layer { name: "x" }', "layer{input_param{}}", '\n\nname: "x"', 'name: "x"'])
def test_the_text_of_a_net_is_told_from_its_path(text: str) -> None:
    with pytest.raises(caffe_fuse.InputError) as caught:
        caffe_fuse.load(text)
    assert "is the text of a net (" in str(caught.value)
    assert str(caught.value).endswith('pathlib.Path("net.prototxt").write_text(text)')
    assert len(str(caught.value)) < 250


def test_a_path_with_braces_is_a_path(tmp_path: Path) -> None:
    odd = tmp_path / "{a}\nb.prototxt"
    odd.write_text(TEXT)
    assert len(MODEL.net.layers) == len(caffe_fuse.load(odd).net.layers)
    with pytest.raises(caffe_fuse.InputError, match="there is no such file"):
        caffe_fuse.load("models/{name}/deploy{1}.prototxt")
