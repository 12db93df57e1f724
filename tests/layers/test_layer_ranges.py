"""How layers carry ranges: the results of Caffe lie inside, and the ends are as expected."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import nets
import numpy as np
import pytest
import truth
from hypothesis import given
from hypothesis import strategies as st

from caffe_fuse import layers
from caffe_fuse.layers.ranges import UNKNOWN, Range
from caffe_fuse.ranges.predict import _carried, predicted

Ends = Tuple[Sequence[float], Sequence[float]]
INF = float("inf")


def outside(array: np.ndarray, found: Range) -> int:
    """Returns how many elements lie outside the range by more than float32's rounding."""
    by_channel = np.moveaxis(array, 1, 0) if array.ndim > 1 else array[None]
    rows = by_channel.reshape(len(by_channel), -1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        slack = 1e-5 * np.where(np.isfinite(found.magnitudes), found.magnitudes, 0)[:, None]
    return int(np.count_nonzero((rows < found.lows[:, None] - slack) | (rows > found.highs[:, None] + slack)))


def carried(name: str) -> Tuple[Dict[str, Range], Dict[str, np.ndarray]]:
    """Returns the ranges of a recorded net's last values, from those of its inputs, and the values in Caffe."""
    recorded = truth.load(name)
    model = nets.model(recorded.prototxt, recorded.weights)
    inputs = {blob: (float(array.min()), float(array.max())) for blob, array in recorded.inputs.items()}
    known = predicted(model.net, 1e6, inputs)
    last = {value.blob: value for value in known}
    return {blob: known[value] for blob, value in last.items()}, recorded.outputs


@pytest.mark.parametrize("name", truth.names("layer-*") + truth.names("net-*") + truth.names("keep-*"))
def test_what_caffe_gave_lies_inside(name: str) -> None:
    ranges, outputs = carried(name)
    assert {} == {blob: count for blob, array in outputs.items() for count in [outside(array, ranges[blob])] if count}


UNBOUNDED = """
    argmax argmax-flat argmax-topk batchnorm-batch-stats conv-stride-dilation conv1d conv3d
    deconv-bilinear deconv-dilated-group embed im2col ip-axis-negative mvn mvn-across mvn-variance parameter
    reduction reduction-asum-axis2 reduction-mean-axis2 reduction-sum-axis2 reduction-sumsq-axis2
    spp-ave spp-max
"""


@pytest.mark.parametrize("name", truth.names("layer-*"))
def test_nothing_is_known_behind_these_layers_only(name: str) -> None:
    ranges, outputs = carried(name)
    last = list(outputs)[-1]
    assert (name[6:] in UNBOUNDED.split()) == (not ranges[last].bounded)


def tops(text: str, *bottoms: Ends, blobs: Sequence[Any] = (), shapes: Any = None) -> List[Optional[Ends]]:
    """Returns the ends of a layer's tops for inputs with these ends, one for each channel; None if unknown."""
    given_shapes = shapes or [(1, max(len(ends[0]), 1), 2, 2) for ends in bottoms]
    names = "xyz"[: len(bottoms)]
    lines = [f'input: "{n}" input_shape {{ {" ".join(f"dim: {d}" for d in s)} }}' for n, s in zip(names, given_shapes)]
    prototxt = "\n".join([*lines, text]).encode()
    weights = nets.caffemodel(prototxt, {"l": [np.asarray(blob, np.float32) for blob in blobs]})
    net = nets.model(prototxt, weights).net
    layer = net.layers[0]
    known = [Range(np.array(lows, np.float64), np.array(highs, np.float64)) for lows, highs in bottoms]
    found = [(top.lows.tolist(), top.highs.tolist()) for top in _carried(net, layer, known)]
    nothing = (UNKNOWN.lows.tolist(), UNKNOWN.highs.tolist())
    return [None if ends == nothing else ends for ends in found]


X: Ends = ([-1, 2, -4], [3, 5, -2])
Y: Ends = ([0, -1, 1], [1, 1, 2])


def layer(type_name: str, bottom: str = "x", rest: str = "", top: str = "t") -> str:
    return nets.layer("l", type_name, bottom, top, rest)


@pytest.mark.parametrize(
    ("text", "bottoms", "expected"),
    [
        (layer("ReLU"), [X], ([0, 2, 0], [3, 5, 0])),
        (layer("ReLU", rest="relu_param { negative_slope: 0.5 }"), [X], ([-0.5, 2, -2], [3, 5, -1])),
        (layer("ReLU", rest="relu_param { negative_slope: -0.5 }"), [X], ([0, 2, 1], [3, 5, 2])),
        (layer("AbsVal"), [X], ([0, 2, 2], [3, 5, 4])),
        (layer("ReLU6"), [([1, -9], [9, -8])], ([1, 0], [6, 0])),
        (layer("HardSwish"), [([-INF, -3], [-4, 0])], ([0, -0.375], [0, 0])),
        (layer("HardSwish"), [([-INF], [-2])], ([-2 / 6], [0])),
        (layer("HardSigmoid"), [([-INF, 0, 0], [-4, 0, INF])], ([0, 0.5, 0.5], [0, 0.5, 1])),
        (layer("Power", rest="power_param { power: 2 }"), [X], ([0, 4, 4], [9, 25, 16])),
        (layer("Power", rest="power_param { scale: -2 shift: 1 }"), [X], ([-5, -9, 5], [3, -3, 9])),
        (layer("Dropout"), [X], X),
        (layer("Eltwise", "x y"), [X, Y], ([-1, 1, -3], [4, 6, 0])),
        (layer("Eltwise", "x y", "eltwise_param { coeff: 1 coeff: -2 }"), [X, Y], ([-3, 0, -8], [3, 7, -4])),
        (layer("Eltwise", "x y", "eltwise_param { operation: PROD }"), [X, Y], ([-1, -5, -8], [3, 5, -2])),
        (layer("Eltwise", "x y", "eltwise_param { operation: MAX }"), [X, Y], ([0, 2, 1], [3, 5, 2])),
        (layer("Eltwise", "x y"), [X, ([-INF] * 3, [1] * 3)], ([-INF] * 3, [4, 6, -1])),
        (layer("Concat", "x y"), [X, Y], ([-1, 2, -4, 0, -1, 1], [3, 5, -2, 1, 1, 2])),
        (layer("Concat", "x y", "concat_param { axis: -2 }"), [X, Y], ([-1, -1, -4], [3, 5, 2])),
        (layer("Pooling", rest="pooling_param { kernel_size: 2 }"), [X], X),
        (layer("Pooling", rest="pooling_param { pool: AVE kernel_size: 2 }"), [X], X),
        (layer("Pooling", rest="pooling_param { pool: AVE kernel_size: 2 pad: 1 }"), [X], ([-1, 0, -4], [3, 5, 0])),
        (layer("Flatten"), [X], ([v for v in X[0] for _ in range(4)], [v for v in X[1] for _ in range(4)])),
        (layer("Reshape", rest="reshape_param { shape { dim: 0 dim: 0 dim: -1 } }"), [X], X),
        (layer("Reshape", rest="reshape_param { shape { dim: 0 dim: 2 dim: -1 } }"), [X], ([-4], [5])),
        (layer("Permute", rest="permute_param { order: 0 order: 1 order: 3 }"), [X], X),
        (layer("Permute", rest="permute_param { order: 0 order: 2 order: 3 }"), [X], ([-4], [5])),
        (layer("Tile", rest="tile_param { tiles: 2 }"), [X], ([*X[0]] * 2, [*X[1]] * 2)),
        (layer("Tile", rest="tile_param { axis: 2 tiles: 2 }"), [X], X),
        (
            layer("ShuffleChannel", rest="shuffle_channel_param { group: 2 }"),
            [([1, 2, 3, 4], [5, 6, 7, 8])],
            ([1, 3, 2, 4], [5, 7, 6, 8]),
        ),
        (layer("Softmax"), [UNKNOWN], ([0], [1])),
        (layer("Sigmoid"), [UNKNOWN], ([0], [1])),
        (layer("Power", rest="power_param { power: -1 }"), [X], None),
        (layer("Power", rest="power_param { shift: inf }"), [([-INF], [1])], None),
        (layer("Reduction"), [X], None),
        (layer("Mystery"), [X], None),
    ],
)
def test_a_layer_carries_ranges(text: str, bottoms: List[Ends], expected: Optional[Ends]) -> None:
    (found,) = tops(text, *bottoms)
    assert expected == found if expected is None else [list(ends) for ends in expected] == list(found or ())


def test_a_slice_gives_each_top_its_channels() -> None:
    text = layer("Slice", rest="slice_param { slice_point: 1 }", top="a b")
    assert [([-1], [3]), ([2, -4], [5, -2])] == tops(text, X)


def test_prelu_has_a_slope_for_each_channel() -> None:
    assert [([-0.5, 2, 2], [3, 5, 4])] == tops(layer("PReLU"), X, blobs=[[0.5, 9, -1]])


def test_a_scale_turns_ranges_with_negative_factors() -> None:
    text = layer("Scale", rest="scale_param { bias_term: true }")
    assert [([-1, 5, 14], [7, 11, 22])] == tops(text, X, blobs=[[2, -2, -4], [1, 15, 6]])


def test_a_scale_along_another_axis_has_one_range_for_all_channels() -> None:
    assert [([-40], [50])] == tops(layer("Scale", rest="scale_param { axis: 2 }"), X, blobs=[[1, 10]])


def test_a_scale_by_nan_gives_nothing() -> None:
    assert [None] == tops(layer("Scale"), X, blobs=[[1, np.nan, 1]])


def test_a_scale_by_another_layers_numbers() -> None:
    shapes = [(1, 3, 2, 2), (1, 3)]
    text = layer("Scale", "x y", "scale_param { axis: 0 }")
    assert [([-1, -5, -8], [3, 5, -2])] == tops(text, X, Y, shapes=shapes)
    shapes = [(1, 3, 2, 2), (3,)]
    assert [([-3, -5, -8], [6, 10, 4])] == tops(layer("Scale", "x y"), X, ([-1], [2]), shapes=shapes)


FUNCTIONS = {
    "ReLU": "relu_param { negative_slope: -0.25 }",
    "ELU": "elu_param { alpha: -0.7 }",
    "Swish": "swish_param { beta: -1.5 }",
    "HardSigmoid": "hard_sigmoid_param { alpha: -0.5 beta: 1 }",
    "HardSwish": "",
    "Mish": "",
    "Sigmoid": "",
    "TanH": "",
    "BNLL": "",
    "Exp": "exp_param { base: 2 scale: -0.5 shift: 1 }",
    "Log": "log_param { base: 3 scale: -0.5 shift: 5 }",
    "Power": "power_param { power: 3 scale: 0.5 shift: -1 }",
    "Clip": "clip_param { min: -1 max: 2 }",
    "Threshold": "threshold_param { threshold: 0.5 }",
    "AbsVal": "",
}


@pytest.mark.parametrize("type_name", FUNCTIONS)
@given(ends=st.lists(st.floats(-9, 9, width=32), min_size=2, max_size=2, unique=True).map(sorted))
def test_property_ranges_are_those_of_the_function_on_the_interval(type_name: str, ends: List[float]) -> None:
    """Judged by many points of the interval, and by 0, where some functions have a corner."""
    rest = FUNCTIONS[type_name]
    (found,) = tops(layer(type_name, rest=rest), ([ends[0]], [ends[1]]))
    prototxt = nets.text(layer(type_name, rest=rest))
    row = layers.find(type_name)
    assert row is not None
    assert row.forward is not None
    points = np.append(np.linspace(ends[0], ends[1], 2001), np.clip(0, ends[0], ends[1])).reshape(-1, 1)
    (image,) = row.forward(nets.model(prototxt, None).net.layers[0].parameter, [], [points])
    assert found is not None
    width = float(np.abs(image).max())
    assert found[0][0] <= image.min() + 1e-9 * width
    assert found[1][0] >= image.max() - 1e-9 * width
    np.testing.assert_allclose([found[0][0], found[1][0]], [image.min(), image.max()], atol=2e-3 * max(width, 1e-3))
