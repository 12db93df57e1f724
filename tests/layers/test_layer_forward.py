"""Each layer's forward function against the independent judge, OpenCV, or values computed by hand."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import nets
import numpy as np
import pytest
import truth
from hypothesis import given
from hypothesis import strategies as st
from layer_texts import layer

from caffe_fuse import layers
from caffe_fuse.errors import InputError
from caffe_fuse.execution.forward import PRECISIONS, run_net

FLOAT64_NOISE = 1e-12  # relative to the largest magnitude: some thousand roundings


def random_inputs(shapes: Mapping[str, Sequence[int]], seed: int = 3) -> Dict[str, np.ndarray]:
    return {name: nets.spread(shape, seed + place) for place, (name, shape) in enumerate(shapes.items())}


def definition(shapes: Mapping[str, Sequence[int]], *lines: str) -> bytes:
    dims = {name: " ".join(f"dim: {dim}" for dim in shape) for name, shape in shapes.items()}
    return "\n".join([*(f'input: "{name}" input_shape {{ {text} }}' for name, text in dims.items()), *lines]).encode()


def check(prototxt: bytes, inputs: Mapping[str, np.ndarray]) -> None:
    """Compares package and judge, both in float64, and the package in float32 within its rounding."""
    blobs = nets.numbers(prototxt)
    expected, bounds = truth.measured(prototxt, blobs, inputs, neighbours=2)
    assert () == expected.unknown_layers
    net = nets.model(prototxt, nets.caffemodel(prototxt, blobs)).net
    for precision in ("float64", "float32"):
        outcome = run_net(net, inputs, PRECISIONS[precision], net.blob_names)
        assert {} == outcome.unavailable
        for name, value in expected.last().items():
            noise = FLOAT64_NOISE * max(1.0, float(np.max(np.abs(value), initial=0)))
            bound = noise if precision == "float64" else bounds[name]
            assert truth.largest_error(value, outcome.values[name]) <= bound, (name, precision)
            assert np.dtype(precision) == outcome.values[name].dtype


IMAGE = (2, 4, 5, 6)
# Synopsys: the padding of TensorFlow's SAME.
SAME_WINDOWS = [
    f"pad_type: 1 kernel_h: {height} kernel_w: {width} stride: {stride}"
    for height, width, stride in [(3, 2, 1), (2, 5, 2), (1, 3, 3), (2, 2, 3)]
]

ONE_BOTTOM = [
    ("ReLU", "relu_param { negative_slope: 0.3 }", (2, 4)),
    ("ReLU", "", IMAGE),
    ("ReLU6", "", IMAGE),
    ("PReLU", "", IMAGE),
    ("PReLU", "", (3, 4)),
    ("PReLU", "prelu_param { channel_shared: true }", IMAGE),
    ("ELU", "elu_param { alpha: 0.7 }", IMAGE),
    ("Sigmoid", "", IMAGE),
    ("Swish", "swish_param { beta: 1.7 }", IMAGE),
    ("HardSigmoid", "", IMAGE),
    ("HardSigmoid", "hard_sigmoid_param { alpha: 0.7 beta: 0.3 }", IMAGE),
    ("HardSwish", "", IMAGE),
    ("Mish", "", IMAGE),
    ("TanH", "", IMAGE),
    ("AbsVal", "", IMAGE),
    ("BNLL", "", IMAGE),
    ("Exp", "exp_param { base: 2 scale: 0.5 shift: 0.25 }", IMAGE),
    ("Exp", "exp_param { shift: 0.25 }", IMAGE),
    ("Log", "log_param { base: 10 scale: 0.5 shift: 3 }", IMAGE),
    ("Log", "log_param { shift: 3 }", IMAGE),
    ("Threshold", "threshold_param { threshold: 0.4 }", IMAGE),
    ("Clip", "clip_param { min: -0.5 max: 1.25 }", IMAGE),
    ("Softmax", "", (3, 5)),
    ("Softmax", "softmax_param { axis: -1 }", IMAGE),
    ("LRN", "lrn_param { local_size: 3 alpha: 0.4 beta: 0.6 k: 2 }", (2, 7, 3, 4)),
    ("LRN", "lrn_param { local_size: 9 alpha: 0.4 }", (2, 4, 3, 4)),
    ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.4 k: 2 }", IMAGE),
    ("LRN", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 7 alpha: 0.4 }", IMAGE),
    ("MVN", "", IMAGE),
    ("MVN", "mvn_param { across_channels: true eps: 0.1 }", IMAGE),
    ("MVN", "mvn_param { normalize_variance: false }", IMAGE),
    ("Normalize", "norm_param { across_spatial: false channel_shared: false }", IMAGE),
    ("Normalize", "norm_param { eps: 0.5 }", IMAGE),
    ("Normalize", "norm_param { across_spatial: false }", (3, 5)),
    ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", IMAGE),
    ("Permute", "permute_param { order: 3 }", IMAGE),
    ("Flatten", "", IMAGE),
    ("Flatten", "flatten_param { axis: -3 end_axis: 2 }", IMAGE),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 2 dim: -1 } }", IMAGE),
    ("Reshape", "reshape_param { shape { dim: 1 dim: 1 } axis: -1 num_axes: 0 }", IMAGE),
    ("Tile", "tile_param { axis: -2 tiles: 3 }", IMAGE),
    ("Reduction", "reduction_param { operation: ASUM axis: 1 coeff: 0.5 }", IMAGE),
    ("Reduction", "reduction_param { operation: SUMSQ axis: -1 }", IMAGE),
    ("Reduction", "reduction_param { operation: MEAN axis: 2 }", IMAGE),
    ("Reduction", "", IMAGE),
    ("ArgMax", "argmax_param { top_k: 3 out_max_val: true }", IMAGE),
    ("ArgMax", "argmax_param { top_k: 3 }", (2, 9)),
    ("ArgMax", "argmax_param { axis: 1 top_k: 2 }", IMAGE),
    ("ArgMax", "argmax_param { axis: -1 out_max_val: true }", IMAGE),
    ("ShuffleChannel", "shuffle_channel_param { group: 2 }", (2, 6, 3, 4)),
    ("Upsample", "upsample_param { scale: 3 }", IMAGE),
    ("Interp", "interp_param { height: 9 width: 4 }", IMAGE),
    ("Interp", "interp_param { zoom_factor: 3 }", IMAGE),
    ("Interp", "interp_param { shrink_factor: 2 }", (2, 3, 9, 7)),
    ("Interp", "interp_param { zoom_factor: 2 pad_beg: -1 pad_end: -2 }", (1, 2, 7, 8)),
    ("Interp", "interp_param { height: 1 width: 1 }", IMAGE),
    ("Reorg", "reorg_param { stride: 2 }", (2, 8, 4, 6)),
    ("BatchToSpaceND", "batch_to_space_nd_param { block_shape: 2 block_shape: 3 }", (12, 2, 3, 4)),
    (
        "BatchToSpaceND",
        "batch_to_space_nd_param { block_shape: 2 block_shape: 3 crops: 1 crops: 0 crops: 2 crops: 1 }",
        (12, 2, 3, 4),
    ),
    (
        "SpaceToBatchND",
        "space_to_batch_nd_param { block_shape: 2 block_shape: 3 paddings: 1 paddings: 0 paddings: 2 paddings: 1 }",
        (2, 5, 6, 4),
    ),
    ("SpaceToBatchND", "space_to_batch_nd_param { block_shape: 2 }", (2, 4, 6, 3)),
    ("Reshape", "reshape_param { pixelshuffler: 2 }", (2, 12, 3, 4)),
    *(("Convolution", f"convolution_param {{ num_output: 4 {window} }}", (2, 4, 7, 8)) for window in SAME_WINDOWS),
    *(("Pooling", f"pooling_param {{ {window} }}", (2, 3, 7, 8)) for window in SAME_WINDOWS),
    *(("Pooling", f"pooling_param {{ pool: AVE {window} }}", (2, 3, 7, 8)) for window in SAME_WINDOWS),
    ("HoleConvolution", "convolution_param { num_output: 4 kernel_size: 3 pad: 2 hole: 2 }", IMAGE),
    ("HoleConvolution", "convolution_param { num_output: 4 kernel_size: 2 hole_h: 2 hole_w: 3 }", IMAGE),
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 2 dilation_h: 3 dilation_w: 1 }", IMAGE),
    ("SPP", "spp_param { pyramid_height: 3 }", (2, 3, 7, 9)),
    ("SPP", "spp_param { pyramid_height: 3 pool: AVE }", (2, 3, 7, 9)),
    ("Im2col", "convolution_param { kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 dilation: 2 }", (2, 3, 7, 9)),
    ("Im2col", "convolution_param { kernel_size: 2 axis: 2 }", (2, 3, 7, 9)),
    ("InnerProduct", "inner_product_param { num_output: 3 }", IMAGE),
    ("InnerProduct", "inner_product_param { num_output: 3 axis: -1 bias_term: false }", IMAGE),
    ("InnerProduct", "inner_product_param { num_output: 3 axis: 2 transpose: true }", IMAGE),
    ("Scale", "scale_param { axis: 0 num_axes: -1 bias_term: true }", IMAGE),
    ("Bias", "bias_param { axis: -2 num_axes: 2 }", IMAGE),
    ("BatchNorm", "batch_norm_param { eps: 0.01 }", IMAGE),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }", IMAGE),
    ("Power", "power_param { power: 2 scale: 0.5 shift: 0.25 }", IMAGE),
]


@pytest.mark.parametrize(("kind", "settings", "shape"), ONE_BOTTOM)
def test_a_layer_with_one_bottom(kind: str, settings: str, shape: Tuple[int, ...]) -> None:
    check(definition({"x": shape}, nets.layer("l", kind, "x", "y", settings)), random_inputs({"x": shape}))


MORE_BOTTOMS = [
    ("Concat", "", {"a": IMAGE, "b": (2, 1, 5, 6), "c": (2, 2, 5, 6)}),
    ("Concat", "concat_param { axis: -2 }", {"a": IMAGE, "b": (2, 4, 1, 6)}),
    ("Eltwise", "", {"a": IMAGE, "b": IMAGE, "c": IMAGE}),
    ("Eltwise", "eltwise_param { coeff: 2 coeff: -0.5 coeff: 1 }", {"a": IMAGE, "b": IMAGE, "c": IMAGE}),
    ("Eltwise", "eltwise_param { operation: PROD }", {"a": IMAGE, "b": IMAGE, "c": IMAGE}),
    ("Eltwise", "eltwise_param { operation: MAX }", {"a": IMAGE, "b": IMAGE, "c": IMAGE}),
    ("Axpy", "", {"a": (2, 4, 1, 1), "b": IMAGE, "c": IMAGE}),
    ("Crop", "crop_param { offset: 1 }", {"a": IMAGE, "b": (1, 1, 3, 4)}),
    ("Crop", "crop_param { axis: 1 offset: 2 offset: 0 offset: 3 }", {"a": IMAGE, "b": (9, 2, 5, 3)}),
    ("Interp", "interp_param { pad_beg: -1 }", {"a": IMAGE, "b": (2, 3, 7, 4)}),
    ("Scale", "scale_param { axis: 0 bias_term: true }", {"a": IMAGE, "b": (2, 4)}),
    ("Bias", "bias_param { axis: 1 }", {"a": IMAGE, "b": (4, 5)}),
]


@pytest.mark.parametrize(("kind", "settings", "shapes"), MORE_BOTTOMS)
def test_a_layer_with_several_bottoms(kind: str, settings: str, shapes: Dict[str, Tuple[int, ...]]) -> None:
    check(definition(shapes, nets.layer("l", kind, " ".join(shapes), "y", settings)), random_inputs(shapes))


@pytest.mark.parametrize(
    ("kind", "tops", "settings"),
    [
        ("Slice", "p q", "slice_param { slice_dim: 1 slice_point: 3 }"),
        ("Slice", "p q r", "slice_param { axis: -1 }"),
        ("Split", "p q r", ""),
        ("Silence", "", ""),
    ],
)
def test_a_layer_with_several_tops_or_none(kind: str, tops: str, settings: str) -> None:
    check(definition({"x": IMAGE}, nets.layer("l", kind, "x", tops, settings)), random_inputs({"x": IMAGE}))


@pytest.mark.parametrize(
    ("kind", "settings", "shapes", "second"),
    [
        ("BatchReindex", "", {"a": IMAGE, "b": (5,)}, [1, 0, 0, 1, 1]),
        ("Filter", "", {"a": IMAGE, "b": (2, 1, 1, 1)}, [0, 1]),
        ("Filter", "", {"a": (3, 2), "b": (3,)}, [1, 0, -2]),
        ("LSTM", "recurrent_param { num_output: 4 }", {"a": (5, 3, 6), "b": (5, 3)}, [0, 0, 0] + [1, 1, 0] * 4),
        ("RNN", "recurrent_param { num_output: 4 }", {"a": (5, 3, 2, 3), "b": (5, 3)}, [0, 0, 0] + [1, 0, 1] * 4),
    ],
)
def test_a_layer_whose_second_bottom_chooses(
    kind: str, settings: str, shapes: Dict[str, Tuple[int, ...]], second: List[float]
) -> None:
    inputs = random_inputs(shapes)
    inputs["b"] = np.array(second, np.float32).reshape(shapes["b"])
    check(definition(shapes, nets.layer("l", kind, "a b", "y", settings)), inputs)


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_a_recurrent_layer_with_an_input_that_stays(kind: str) -> None:
    shapes = {"a": (5, 3, 6), "b": (5, 3), "c": (3, 2, 2)}
    inputs = random_inputs(shapes)
    inputs["b"] = np.array([0] * 3 + [1] * 12, np.float32).reshape(5, 3)
    check(definition(shapes, nets.layer("l", kind, "a b c", "y", "recurrent_param { num_output: 4 }")), inputs)


def test_embed_looks_rows_up() -> None:
    net = definition({"x": (2, 3)}, nets.layer("l", "Embed", "x", "y", "embed_param { input_dim: 5 num_output: 4 }"))
    check(net, {"x": np.array([[0, 4, 2], [1, 1, 3]], np.float32)})


@pytest.mark.parametrize(
    ("pads", "settings"), [(False, ""), (True, "upsample_param { pad_out_h: true pad_out_w: true }")]
)
def test_segnets_upsample_undoes_a_pooling(pads: bool, settings: str) -> None:
    shape = (2, 3, 7 if pads else 8, 5 if pads else 6)
    lines = [
        nets.layer("p", "Pooling", "x", "p mask", "pooling_param { kernel_size: 2 stride: 2 }"),
        nets.layer("u", "Upsample", "p mask", "u", settings),
    ]
    check(definition({"x": shape}, *lines), random_inputs({"x": shape}))


@st.composite
def windowed(draw: Any) -> Tuple[Tuple[int, ...], str, int]:
    """Draws a bottom, the settings of a window that fits it, and the groups of its channels."""
    rank = draw(st.integers(1, 3))
    kernel, stride, pad, dilation = (
        [draw(st.integers(low, high)) for _ in range(rank)] for low, high in ((1, 3), (1, 3), (0, 2), (1, 2))
    )
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels = groups * draw(st.integers(1, 3))
    extents = [(size - 1) * step + 1 for size, step in zip(kernel, dilation)]
    space = [draw(st.integers(max(1, extent - 2 * before), extent + 6)) for extent, before in zip(extents, pad)]
    text = " ".join(
        f"{name}: {value}"
        for name, values in (("kernel_size", kernel), ("stride", stride), ("pad", pad), ("dilation", dilation))
        for value in values
    )
    return (draw(st.integers(1, 3)), channels, *space), text, groups


@given(windowed(), st.integers(1, 3), st.booleans())
def test_a_convolution(drawn: Tuple[Tuple[int, ...], str, int], outputs: int, bias: bool) -> None:
    shape, window, groups = drawn
    settings = f"num_output: {outputs * groups} group: {groups} bias_term: {str(bias).lower()} {window}"
    line = nets.layer("l", "Convolution", "x", "y", f"convolution_param {{ {settings} }}")
    check(definition({"x": shape}, line), random_inputs({"x": shape}))


@given(windowed(), st.integers(1, 3))
def test_a_deconvolution(drawn: Tuple[Tuple[int, ...], str, int], outputs: int) -> None:
    shape, window, groups = drawn
    settings = f"num_output: {outputs * groups} group: {groups} {window.replace('pad: 2', 'pad: 0')}"
    prototxt = definition(
        {"x": shape}, nets.layer("l", "Deconvolution", "x", "y", f"convolution_param {{ {settings} }}")
    )
    try:
        nets.model(prototxt, None).net.shapes  # noqa: B018
    except InputError:
        return  # its padding leaves nothing
    check(prototxt, random_inputs({"x": shape}))


@given(windowed(), st.integers(1, 2))
def test_a_depthwise_convolution(drawn: Tuple[Tuple[int, ...], str, int], outputs: int) -> None:
    shape, window, _ = drawn
    settings = f"num_output: {outputs * shape[1]} group: {shape[1]} {window}"
    line = nets.layer("l", "Convolution", "x", "y", f"convolution_param {{ {settings} }}")
    check(definition({"x": shape}, line), random_inputs({"x": shape}))


@pytest.mark.parametrize(("columns", "block"), [(1, 1), (64, 64)])
def test_a_large_image_is_done_in_parts(columns: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caffe_fuse.layers.sliding.COLUMNS", columns)
    monkeypatch.setattr("caffe_fuse.layers.sliding.BLOCK", block)
    shape = (2, 6, 9, 8)
    for groups in (1, 2, 6):
        settings = f"convolution_param {{ num_output: 12 kernel_size: 3 pad: 1 stride: 2 group: {groups} }}"
        check(definition({"x": shape}, nets.layer("l", "Convolution", "x", "y", settings)), random_inputs({"x": shape}))


def test_a_convolution_on_another_axis_and_of_several_bottoms() -> None:
    shapes = {"a": (2, 3, 4, 5, 6), "b": (2, 3, 4, 5, 6)}
    settings = "convolution_param { num_output: 3 kernel_size: 2 axis: 2 }"
    line = nets.layer("l", "Convolution", "a b", "y z", settings)
    check(definition(shapes, line), random_inputs(shapes))


def test_the_depthwise_type_has_a_group_for_each_channel() -> None:
    settings = "convolution_param { num_output: 4 kernel_size: 3 }"
    check(
        definition({"x": IMAGE}, nets.layer("l", "ConvolutionDepthwise", "x", "y", settings)),
        random_inputs({"x": IMAGE}),
    )


@st.composite
def pooled(draw: Any) -> Tuple[Tuple[int, ...], str]:
    kernel = [draw(st.integers(1, 4)) for _ in range(2)]
    # With a stride above the kernel an average window may hold nothing, not even padding: 0 / 0, as in Caffe.
    stride = [draw(st.integers(1, size)) for size in kernel]
    pad = [draw(st.integers(0, size - 1)) for size in kernel]
    space = [draw(st.integers(max(1, size - before), size + 6)) for size, before in zip(kernel, pad)]
    parts = [
        f"{name}_{side}: {value}"
        for name, values in (("kernel", kernel), ("stride", stride), ("pad", pad))
        for side, value in zip("hw", values)
    ]
    mode = draw(st.sampled_from(["", "round_mode: FLOOR"]))
    return (draw(st.integers(1, 2)), 2, *space), " ".join([*parts, mode])


@given(pooled(), st.sampled_from(["MAX", "AVE"]))
def test_a_pooling(drawn: Tuple[Tuple[int, ...], str], method: str) -> None:
    shape, settings = drawn
    tops = "y mask" if method == "MAX" else "y"
    prototxt = definition(
        {"x": shape}, nets.layer("l", "Pooling", "x", tops, f"pooling_param {{ pool: {method} {settings} }}")
    )
    try:
        nets.model(prototxt, None).net.shapes  # noqa: B018
    except InputError:
        return  # the floor leaves nothing
    check(prototxt, random_inputs({"x": shape}))


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_a_global_pooling(method: str) -> None:
    settings = f"pooling_param {{ pool: {method} global_pooling: true }}"
    check(definition({"x": IMAGE}, nets.layer("l", "Pooling", "x", "y", settings)), random_inputs({"x": IMAGE}))


def forward(text: str, blobs: Sequence[Any], *bottoms: Any, tops: int = 1) -> List[np.ndarray]:
    parameter = layer(text, tops=tops)
    row = layers.find(parameter.type)
    assert row is not None
    assert row.forward is not None
    return row.forward(parameter, [np.asarray(blob, float) for blob in blobs], [np.asarray(b, float) for b in bottoms])


@pytest.mark.parametrize(("method", "reduce"), [("MAX", np.max), ("AVE", np.mean)])
def test_a_pooling_over_three_axes_of_space(method: str, reduce: Any) -> None:
    sizes = "kernel_size: 1 kernel_size: 2 kernel_size: 3 stride: 1 stride: 2 stride: 1"
    bottom = nets.spread((2, 3, 2, 4, 5), 1)
    (top,) = forward(f'type: "Pooling" pooling_param {{ pool: {method} {sizes} }}', [], bottom)
    assert (2, 3, 2, 2, 3) == top.shape
    for t, y, x in np.ndindex(2, 2, 3):
        under = bottom[:, :, t, 2 * y : 2 * y + 2, x : x + 3].astype(float)
        np.testing.assert_allclose(reduce(under, axis=(2, 3)), top[:, :, t, y, x], rtol=FLOAT64_NOISE)


def test_a_maximum_of_nothing_but_nan_is_caffes_first_value() -> None:
    settings = 'type: "Pooling" pooling_param { kernel_size: 2 stride: 2 }'
    bottom = np.array([[np.nan, 1, np.nan, np.nan], [0, 2, np.nan, np.nan]]).reshape(1, 1, 2, 4)
    top, mask = forward(settings, [], bottom, tops=2)
    assert [2, -float(np.finfo(np.float32).max)] == top.reshape(-1).tolist()
    assert [5, -1] == mask.reshape(-1).tolist()


def test_a_maximum_passes_over_nan_also_where_the_window_is_the_image() -> None:
    bottom = np.array([[np.nan, 1], [2, np.nan]]).reshape(1, 1, 2, 2)
    (top,) = forward('type: "Pooling" pooling_param { global_pooling: true }', [], bottom)
    assert [2.0] == top.reshape(-1).tolist()


def test_of_equal_maxima_the_first_has_the_place() -> None:
    """Caffe: pooling_layer.cpp, only a larger one takes its place."""
    bottom = np.array([[3, 3, 0, 5], [3, 1, 5, 5]]).reshape(1, 1, 2, 4)
    _, mask = forward('type: "Pooling" pooling_param { kernel_size: 2 stride: 2 }', [], bottom, tops=2)
    assert [0, 3] == mask.reshape(-1).tolist()


def test_of_equal_scores_the_last_comes_first() -> None:
    """Caffe: argmax_layer.cpp sorts pairs of a number and its place, the largest first."""
    text = 'type: "ArgMax" argmax_param { top_k: 3 %s }'
    (flat,) = forward(text % "", [], [[1, 3, 3, 2, 3]])
    (along,) = forward(text % "axis: 1", [], [[1, 3, 3, 2, 3]])
    assert [4, 2, 1] == flat.reshape(-1).tolist() == along.reshape(-1).tolist()


def test_a_threshold_is_passed_and_not_reached() -> None:
    """Caffe: threshold_layer.cpp."""
    bottom = [0.5, np.nextafter(0.5, 1), np.nextafter(0.5, 0)]
    (top,) = forward('type: "Threshold" threshold_param { threshold: 0.5 }', [], bottom)
    assert [0, 1, 0] == top.tolist()


def test_a_softmax_of_large_numbers_does_not_overflow() -> None:
    (top,) = forward('type: "Softmax"', [], [[1000, 1001, -1000]])
    np.testing.assert_allclose([[1 / (1 + np.e), np.e / (1 + np.e), 0]], top, rtol=FLOAT64_NOISE)


def test_a_deconvolution_is_cut_by_the_padding_of_each_side() -> None:
    text = 'type: "Deconvolution" convolution_param { num_output: 2 kernel_size: 3 bias_term: false %s }'
    weights, bottom = nets.spread((3, 2, 3, 3), 1), nets.spread((1, 3, 4, 5), 2)
    (whole,) = forward(text % "", [weights], bottom)
    (cut,) = forward(text % "pad_t: 1 pad_l: 0 pad_b: 2 pad_r: 1", [weights], bottom)
    assert whole[:, :, 1:-2, :-1].tolist() == cut.tolist()


def test_a_window_that_is_a_little_too_large_is_laid_once() -> None:
    """Caffe: conv_layer.cpp divides as C does, towards zero: (2 - 3) / 2 is 0. What is outside counts as 0."""
    text = 'type: "Convolution" convolution_param { num_output: 1 kernel_size: 3 stride: 2 bias_term: false }'
    weights = np.arange(1, 10).reshape(1, 1, 3, 3)
    (top,) = forward(text, [weights], [[[[1, 10], [100, 1000]]]])
    assert [[[[1 + 20 + 400 + 5000]]]] == top.tolist()


def test_reorg_in_reverse_spreads_channels_over_the_places_between() -> None:
    bottom = nets.spread((2, 8, 3, 4), 1).astype(float)
    (top,) = forward('type: "Reorg" reorg_param { stride: 2 reverse: true }', [], bottom)
    expected = np.empty((2, 2, 6, 8))
    for image, channel, row, column in np.ndindex(bottom.shape):
        offset, target = divmod(channel, 2)
        expected[image, target, 2 * row + offset // 2, 2 * column + offset % 2] = bottom[image, channel, row, column]
    assert expected.tolist() == top.tolist()


def test_an_upsample_with_a_mode_takes_the_size_of_its_second_bottom() -> None:
    (top,) = forward('type: "Upsample" upsample_param { mode: NEAREST }', [], [[[[1, 2]]]], np.zeros((1, 9, 2, 5)))
    assert [[1, 1, 1, 2, 2]] * 2 == top[0, 0].tolist()


def test_a_recurrent_layer_that_exposes_its_states_goes_on_where_it_was() -> None:
    """A sequence run in two parts, with the states handed over, is the same as the whole."""
    for kind, states, numbers in (
        ("LSTM", 2, [(8, 3), (8,), (8, 2)]),
        ("RNN", 1, [(2, 3), (2,), (2, 2), (2, 2), (2,)]),
    ):
        text = f'type: "{kind}" recurrent_param {{ num_output: 2 expose_hidden: %s }}'
        blobs = [nets.spread(shape, place) for place, shape in enumerate(numbers)]
        x, cont = nets.spread((6, 2, 3), 9), np.ones((6, 2))
        (whole,) = forward(text % "false", blobs, x, cont)
        first, *handed = forward(
            text % "true", blobs, x[:3], cont[:3], *[np.zeros((1, 2, 2))] * states, tops=1 + states
        )
        second, *_ = forward(text % "true", blobs, x[3:], cont[3:], *handed, tops=1 + states)
        assert whole.tolist() == np.concatenate([first, second]).tolist()


def test_an_lstm_unit_is_one_step() -> None:
    cell, gates = np.array([[[0.5, -1.0]]]), np.array([[[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]]])
    new, state = forward('type: "LSTMUnit"', [], cell, gates, [[1.0]], tops=2)
    sigmoid = 1 / (1 + np.exp(-gates[0, 0, :6]))
    expected = sigmoid[2:4] * cell[0, 0] + sigmoid[:2] * np.tanh(gates[0, 0, 6:])
    assert truth.largest_error(expected, new[0, 0]) < FLOAT64_NOISE
    assert truth.largest_error(sigmoid[4:] * np.tanh(expected), state[0, 0]) < FLOAT64_NOISE
    forgot, _ = forward('type: "LSTMUnit"', [], cell, gates, [[0.0]], tops=2)
    assert truth.largest_error(sigmoid[:2] * np.tanh(gates[0, 0, 6:]), forgot[0, 0]) < FLOAT64_NOISE


def test_roi_pooling_takes_the_maximum_of_overlapping_bins() -> None:
    """A region of 3 by 5 positions in 2 by 2 bins: rows 1..2 and 2..3, columns 0..2 and 2..4 of image 1."""
    image = np.arange(2 * 1 * 5 * 6).reshape(2, 1, 5, 6)
    region = [[1, 0, 2, 8, 6]]  # at half the scale: left 0, top 1, right 4, bottom 3
    settings = "roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.5 }"
    (top,) = forward(f'type: "ROIPooling" {settings}', [], image, region)
    assert [[30 + 2 * 6 + 2, 30 + 2 * 6 + 4], [30 + 3 * 6 + 2, 30 + 3 * 6 + 4]] == top[0, 0].tolist()


def test_roi_pooling_rounds_half_away_from_zero() -> None:
    """As C's round: columns 1 and 5 of the picture are 0.5 and 2.5 of the bottom, 1 and 3."""
    settings = "roi_pooling_param { pooled_h: 1 pooled_w: 1 spatial_scale: 0.5 }"
    image = np.arange(6).reshape(1, 1, 1, 6)
    (last,) = forward(f'type: "ROIPooling" {settings}', [], image, [[0, 1, 0, 5, 0]])
    (first,) = forward(f'type: "ROIPooling" {settings}', [], -image, [[0, 1, 0, 5, 0]])
    assert [3, -1] == [last.item(), first.item()]


def test_roi_pooling_of_nothing_is_zero() -> None:
    (top,) = forward(
        'type: "ROIPooling" roi_pooling_param { pooled_h: 1 pooled_w: 2 }',
        [],
        np.full((1, 1, 2, 2), 7),
        [[0, 1, 0, 2, 1]],
    )
    assert [[7, 0]] == top[0, 0].tolist()


def test_prior_boxes_by_hand() -> None:
    """One position in the middle of an image 100 wide and 50 high: a square, one between the sizes, two of ratio 4."""
    variances = "variance: 0.1 variance: 0.2 variance: 0.3 variance: 0.4"
    settings = f"prior_box_param {{ min_size: 10 max_size: 40 aspect_ratio: 4 {variances} }}"
    (top,) = forward(f'type: "PriorBox" {settings}', [], np.zeros((1, 3, 1, 1)), np.zeros((1, 3, 50, 100)))
    expected = []
    for width, height in ((10, 10), (20, 20), (20, 5), (5, 20)):
        expected += [0.5 - width / 200, 0.5 - height / 100, 0.5 + width / 200, 0.5 + height / 100]
    assert (1, 2, 16) == top.shape
    assert truth.largest_error(np.array(expected), top[0, 0]) < 1e-7
    assert truth.largest_error(np.array([0.1, 0.2, 0.3, 0.4] * 4), top[0, 1]) < 1e-7


def test_prior_boxes_with_steps_and_widths_of_their_own() -> None:
    settings = "prior_box_param { width: 10 width: 20 height: 6 height: 8 step: 16 offset: 0.5 clip: true }"
    (top,) = forward(f'type: "PriorBoxClustered" {settings}', [], np.zeros((1, 3, 1, 2)), np.zeros((1, 3, 20, 40)))
    boxes = [(3, 5, 13, 11), (-2, 4, 18, 12), (19, 5, 29, 11), (14, 4, 34, 12)]
    expected = np.clip(np.array(boxes) / [40, 20, 40, 20], 0, 1)
    assert truth.largest_error(expected.reshape(-1), top[0, 0]) < 1e-7
    assert [np.float32(0.1)] * 16 == top[0, 1].astype(np.float32).tolist()


DETECTION = "num_classes: 2 confidence_threshold: 0.1 nms_param { nms_threshold: 0.5 }"


def detections(settings: str, location: Any, confidence: Any, prior: Any) -> List[List[float]]:
    priors = np.stack([np.asarray(prior, float).reshape(-1), np.tile([0.1, 0.1, 0.2, 0.2], len(prior))])[np.newaxis]
    text = f'type: "DetectionOutput" detection_output_param {{ {settings} }}'
    (top,) = forward(text, [], location, confidence, priors)
    return [[round(float(number), 6) for number in row] for row in top[0, 0]]


BOXES = [[0.0, 0.0, 0.4, 0.4], [0.0, 0.0, 0.4, 0.5], [0.5, 0.5, 0.9, 0.9]]


def test_of_boxes_that_overlap_the_best_is_kept() -> None:
    found = detections(DETECTION, np.zeros((1, 12)), [[0.3, 0.7, 0.2, 0.8, 0.6, 0.4]], BOXES)
    assert [[0, 1, 0.8, 0, 0, 0.4, 0.5], [0, 1, 0.4, 0.5, 0.5, 0.9, 0.9]] == found


@pytest.mark.parametrize(("keep", "expected"), [(1, [0.8]), (2, [0.8, 0.4]), (-1, [0.8, 0.4])])
def test_only_the_best_of_all_classes_are_kept(keep: int, expected: List[float]) -> None:
    found = detections(f"{DETECTION} keep_top_k: {keep}", np.zeros((1, 12)), [[0.3, 0.7, 0.2, 0.8, 0.6, 0.4]], BOXES)
    assert expected == [row[2] for row in found]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("CORNER", [0.1, 0.2, 0.5, 0.7]),
        (
            "CENTER_SIZE",
            [0.24 - 0.2 * np.exp(0.6), 0.28 - 0.2 * np.exp(0.8), 0.24 + 0.2 * np.exp(0.6), 0.28 + 0.2 * np.exp(0.8)],
        ),
        ("CORNER_SIZE", [0.04, 0.08, 0.4 + 0.24, 0.4 + 0.32]),
    ],
)
def test_how_locations_code_boxes(code: str, expected: List[float]) -> None:
    location = [[1.0, 2.0, 3.0, 4.0]]
    if code == "CORNER":
        location, expected = [[1.0, 2.0, 0.5, 1.5]], [0.1, 0.2, 0.5, 0.7]
    found = detections(f"{DETECTION} code_type: {code}", location, [[0.3, 0.7]], [[0.0, 0.0, 0.4, 0.4]])
    assert [round(number, 6) for number in expected] == found[0][3:]


def test_each_image_without_anything_found_has_a_row() -> None:
    found = detections(DETECTION, np.zeros((2, 4)), [[0.99, 0.01], [0.95, 0.05]], [[0, 0, 1, 1]])
    assert [[image, *[-1] * 6] for image in (0, 1)] == found


@pytest.mark.parametrize(
    ("text", "bottoms", "message"),
    [
        ('type: "Dropout"', None, "random in the TRAIN phase"),
        ('type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 }', [np.zeros((1, 1, 2, 2))], "STOCHASTIC"),
        ('type: "BatchReindex"', [np.zeros((2, 1)), [2.0]], "selects image 2, but there are 2"),
        ('type: "Filter"', [np.zeros((2, 1)), [1.0]], "1 elements for 2 images"),
        ('type: "Axpy"', [[1.0], np.zeros((1, 2, 1, 1)), np.zeros((1, 2, 1, 1))], "does not fit the channels"),
        ('type: "Eltwise" eltwise_param { coeff: 1 }', [[1.0], [2.0]], "1 values of coeff"),
        ('type: "ArgMax" argmax_param { top_k: 3 }', [np.zeros((1, 2))], "top_k 3 has to be from 1 to 2"),
        ('type: "Upsample" upsample_param { mode: BILINEAR }', [np.zeros((1, 1, 2, 2))], "bilinear Upsample"),
        ('type: "Upsample"', [np.zeros((1, 1, 1, 1)), np.full((1, 1, 1, 1), 4)], "outside of its top of 2x2"),
        ('type: "Upsample"', [np.zeros((1, 1, 1, 1)), np.zeros((1, 1, 1, 2))], "its mask 1x1x1x2"),
        ('type: "Interp" interp_param { height: 2 width: 2 pad_beg: 1 }', [np.zeros((1, 1, 2, 2))], "can only crop"),
        ('type: "Reorg" reorg_param { stride: 2 }', [np.zeros((1, 2, 2, 2))], "does not divide 2 channels"),
        (
            'type: "ROIPooling" roi_pooling_param { pooled_h: 1 pooled_w: 1 }',
            [np.zeros((1, 1, 2, 2)), np.zeros((1, 4))],
            "5 values",
        ),
        (
            'type: "ROIPooling" roi_pooling_param { pooled_h: 1 pooled_w: 1 }',
            [np.zeros((1, 1, 2, 2)), [[1, 0, 0, 1, 1]]],
            "image 1, but there are 1",
        ),
    ],
)
def test_what_a_layer_cannot_take_is_a_clear_error(text: str, bottoms: Optional[List[Any]], message: str) -> None:
    parameter = layer(text, phase="TRAIN" if bottoms is None else "TEST")
    row = layers.find(parameter.type)
    assert row is not None
    assert row.forward is not None
    with pytest.raises(InputError, match=message):
        row.forward(parameter, [], [np.asarray(bottom, float) for bottom in bottoms or [[1.0]]])


SETTINGS = {
    "DetectionOutput": "detection_output_param { num_classes: 2 }",
    "Embed": "embed_param { input_dim: 3 num_output: 2 }",
    "Im2col": "convolution_param { kernel_size: 1 }",
    "InnerProduct": "inner_product_param { num_output: 2 }",
    "Interp": "interp_param { zoom_factor: 2 }",
    "Normalize": "norm_param { channel_shared: false across_spatial: false }",
    "Pooling": "pooling_param { kernel_size: 1 }",
    "PriorBox": "prior_box_param { min_size: 2 }",
    "ROIPooling": "roi_pooling_param { pooled_h: 2 pooled_w: 2 }",
    "Reorg": "reorg_param { stride: 1 }",
    "Reshape": "reshape_param { shape { dim: -1 } }",
    "SPP": "spp_param { pyramid_height: 2 }",
    "Tile": "tile_param { tiles: 2 }",
}
CONVOLUTIONS = ("Convolution", "ConvolutionDepthwise", "Deconvolution")
SETTINGS.update(dict.fromkeys(CONVOLUTIONS, "convolution_param { num_output: 2 kernel_size: 1 }"))
SETTINGS.update(dict.fromkeys(("LSTM", "RNN"), "recurrent_param { num_output: 2 }"))
COUNTED = sorted(name for name, row in layers.LAYERS.items() if row.most is not None)
ANY_NUMBER = ("Concat", "Eltwise", "Filter", "Silence", "Split")
DIMS = st.lists(st.integers(1, 3), max_size=5)


@given(st.sampled_from([*COUNTED, *ANY_NUMBER, *SETTINGS]), DIMS, st.lists(DIMS, max_size=3), st.integers(0, 2))
def test_whatever_its_bottoms_a_layer_runs_or_is_named_or_refused(
    kind: str, first: List[int], others: List[List[int]], tops: int
) -> None:
    shapes = {f"b{place}": tuple(shape or first) for place, shape in enumerate([first, *others])}
    names = " ".join(f"t{place}" for place in range(tops))
    prototxt = definition(shapes, nets.layer("l", kind, " ".join(shapes), names, SETTINGS.get(kind, "")))
    refusal = ""
    left: Set[str] = set()
    try:
        net = nets.model(prototxt, None).net
        outcome = run_net(net, random_inputs(shapes), PRECISIONS["float32"], net.blob_names)
        left = set(net.blob_names) - set(outcome.values) - set(outcome.unavailable)
    except InputError as error:
        refusal = str(error)
    assert (set(), True) == (left, refusal == "" or refusal.startswith("net.prototxt:"))


def test_a_bottom_too_many_is_named() -> None:
    shapes = {"a": IMAGE, "b": IMAGE}
    net = nets.model(definition(shapes, nets.layer("l", "Softmax", "a b", "y")), None).net
    outcome = run_net(net, random_inputs(shapes), PRECISIONS["float32"], ["y"])
    assert {"y": "layer l (Softmax): it has 2 bottoms, but takes 1"} == outcome.unavailable
