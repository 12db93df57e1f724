"""OpenCV 4.x as a second opinion: it computes for a folded net what Caffe recorded for the net before the fold.

Fusion stays on (the path without it is wrong on some nets) and Winograd is off (it makes ten times the noise). OpenCV 5
no longer reads Caffe nets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import numpy as np
import pytest
import truth

import caffe_fuse

cv2: Any = pytest.importorskip("cv2", reason="OpenCV is not installed")
if not hasattr(cv2.dnn, "readNetFromCaffe"):
    pytest.skip("this OpenCV has no reader for Caffe models", allow_module_level=True)

NETS = truth.names("fold-*") + truth.names("net-*") + truth.names("random-*")
UNREADABLE = {
    "fold-conv3d": "it takes one kernel size for one axis, and then divides by zero",
    "fold-ip-transpose": "it reads transposed weights as if they were not",
    "fold-ip-transpose-nobias": "it reads transposed weights as if they were not",
}


def why_wrong_before_the_fold(model: caffe_fuse.Model) -> str:
    """Returns why OpenCV 4.x cannot judge a net that is not folded yet; "" if it can."""
    if model.excluded:
        return "it runs the layers of all phases"
    for layer in model.net.layers:
        if layer.type == "Bias":
            return "it has no Bias layer"
        if layer.type == "Deconvolution" and layer.parameter.convolution_param.group > 1:
            readers = model.net.consumers(model.net.tops(layer)[0])
            if any(reader.type in ("BatchNorm", "Scale") for reader in readers):
                return "its own fold into a Deconvolution with groups takes the wrong channels"
    return ""


def answers(model: caffe_fuse.Model, inputs: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Returns the outputs of the net, by blob name, as OpenCV computes them."""
    net = cv2.dnn.readNetFromCaffe(*model.paths)
    net.enableWinograd(False)
    for blob, value in inputs.items():
        net.setInput(value, blob)
    # OpenCV names an output by its layer, or by its blob where the two differ and no layer has the blob's name.
    blobs = {layer.name: value.blob for value, layer in _producers(model).items()}
    names = net.getUnconnectedOutLayersNames()
    return {blobs.get(name, name): value for name, value in zip(names, net.forward(names))}


def _producers(model: caffe_fuse.Model) -> Dict[Any, Any]:
    found = {value: model.net.producer(value) for value in model.net.outputs}
    return {value: layer for value, layer in found.items() if layer is not None}


def load_both(name: str, folder: Path) -> Tuple[caffe_fuse.Model, caffe_fuse.Model]:
    net = truth.load(name)
    before = caffe_fuse.load(net.prototxt_path, net.weights_path)
    weights, prototxt = caffe_fuse.fuse(before, half_policy="off").save(str(folder / "after"))
    return before, caffe_fuse.load(prototxt, weights)


@pytest.mark.parametrize("name", [name for name in NETS if name not in UNREADABLE])
def test_opencv_gives_for_the_folded_net_what_caffe_gave_for_the_original(name: str, tmp_path: Path) -> None:
    net = truth.load(name)
    before, after = load_both(name, tmp_path)
    actual = answers(after, net.inputs)
    assert {value.blob for value in before.net.outputs} == set(actual)
    assert {} == wrong(name, {blob: net.outputs[blob] for blob in actual}, actual)


@pytest.mark.parametrize("name", [name for name in NETS if name not in UNREADABLE])
def test_opencv_sees_no_difference_between_the_original_and_the_folded_net(name: str, tmp_path: Path) -> None:
    net = truth.load(name)
    before, after = load_both(name, tmp_path)
    if why_wrong_before_the_fold(before):
        pytest.skip(f"OpenCV cannot judge the original: {why_wrong_before_the_fold(before)}")
    assert {} == wrong(name, answers(before, net.inputs), answers(after, net.inputs))


def test_most_nets_are_judged_before_and_after() -> None:
    models = {name: truth.load(name) for name in NETS if name not in UNREADABLE}
    unjudged = [
        name
        for name, net in models.items()
        if why_wrong_before_the_fold(caffe_fuse.load(net.prototxt_path, net.weights_path))
    ]
    assert (92, 30) == (len(models), len(unjudged))


def test_a_wrong_channel_order_is_seen(tmp_path: Path) -> None:
    name = "fold-conv-g1-bias-inplace"
    net = truth.load(name)
    _, after = load_both(name, tmp_path)
    (blob,) = answers(after, net.inputs)
    assert [blob] == list(wrong(name, {blob: net.outputs[blob][:, ::-1]}, answers(after, net.inputs)))


def wrong(name: str, expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]) -> Dict[str, float]:
    """Returns the outputs of a recorded net that differ by more than two float32 programs can."""
    distances = {blob: truth.largest_error(expected[blob], actual[blob]) for blob in expected}
    return {blob: error for blob, error in distances.items() if not error <= truth.recorded_bounds(name)[blob]}
