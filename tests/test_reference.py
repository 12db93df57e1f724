"""The judge against recorded results of Caffe, and by hand where there are none; and how it builds a net."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
import reference
import truth
from reference import CaffeAbort, run, trace
from reference.files import message_class, read_net

# A float64 run differs from Caffe's float32 by Caffe's own rounding alone, and these nets are shallow: the
# worst of their 1021 blobs takes 5.5 units in the last place of its largest magnitude (random-00023, n18).
# No net needs an exception.
ULPS = 8

# Fork layers and settings that the recorded nets do not have; tested by hand below
WITHOUT_RECORD = {
    "Axpy",
    "BN",
    "BatchToSpaceND",
    "ConvolutionDepthwise",
    "CuDNNBatchNorm",
    "DepthwiseConv",
    "DepthwiseConvolution",
    "HardSigmoid",
    "HardSwish",
    "HoleConvolution",
    "Interp",
    "Mish",
    "Normalize",
    "Permute",
    "ReLU6",
    "Reorg",
    "SpaceToBatchND",
    "ShuffleChannel",
    "Upsample",
}


@pytest.mark.parametrize("name", truth.names())
def test_equals_what_caffe_recorded(name: str) -> None:
    case = truth.load(name)
    result = trace(case.prototxt, case.weights, case.inputs)
    assert sorted(case.outputs) == sorted(result.last())
    for blob, expected in case.outputs.items():
        version = result.versions[blob][-1]
        allowed = ULPS * truth.ulp(version.magnitude)
        assert version.value is not None
        assert truth.largest_error(version.value, expected) <= allowed, blob


def test_the_records_are_all_there() -> None:
    assert len(truth.names()) == 218
    assert tuple(len(truth.names(f"{kind}-*")) for kind in ("fold", "keep", "net", "random")) == (
        50,
        18,
        5,
        40,
    )


def test_every_layer_type_has_a_record_or_is_named_as_without() -> None:
    recorded = {layer.type for name in truth.names() for layer in read_net(truth.load(name).prototxt).layer}
    assert set(reference.LAYERS) - recorded == WITHOUT_RECORD
    assert recorded <= set(reference.LAYERS)


def test_hdf5_weights_give_what_the_caffemodel_gives() -> None:
    case = truth.load("format-hdf5")
    hdf5 = (case.folder / "net.caffemodel.h5").read_bytes()
    actual = run(case.prototxt, hdf5, case.inputs)
    for blob, expected in run(case.prototxt, case.weights, case.inputs).items():
        np.testing.assert_array_equal(expected, actual[blob])


def test_shares_no_code_with_the_package() -> None:
    files = [Path(truth.__file__), *Path(reference.__file__).parent.glob("*.py")]
    imported = {
        name
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
    }
    assert "numpy" in imported
    assert not [name for name in imported if name.split(".")[0] == "caffe_fuse"]


MODELS = {
    "caffe-onnx-test": "test.prototxt",
    "cifar-densenet": "deploy.prototxt",
    "cifar-resnet20": "deploy_derived.prototxt",
    "dibco-binarize": "model.prototxt",
    "mobilefacenet-v0": "mobilefacenet-v0.prototxt",
    "mobilefacenet-v0-no_bn": "no_bn.prototxt",
    "mtcnn-det1-bn": "det1_.prototxt",
    "mtcnn-det1-relu": "det1_relu.prototxt",
    "retinaface-mnet": "mnet.prototxt",
    "siamese-mnist": "mnist_siamese.prototxt",
    "vgg68-landmark-bn": "deploy_68_new.prototxt",
    "vgg68-landmark-folded": "result.prototxt",
    "wechat-qr-sr": "sr.prototxt",
    "yoloface-100k": "yoloface-100k.prototxt",
    "yoloface-50k": "yoloface-50k.prototxt",
}


@pytest.mark.parametrize("name", MODELS)
def test_equals_caffe_on_a_real_model(shared: Path, name: str) -> None:
    """Deep nets lose more than small ones, so the bound here is that of folded nets."""
    manifest = json.loads((shared / "models" / "MANIFEST.json").read_text(encoding="utf-8"))
    entry = next(entry for entry in manifest if entry["name"] == name)
    folder = shared / "models" / name
    prototxt, weights = (folder / MODELS[name]).read_bytes(), (folder / entry["weights"]).read_bytes()
    inputs = _random_inputs(prototxt)
    exact = trace(prototxt, weights, inputs)
    rounded = run(prototxt, weights, inputs, dtype=np.float32)
    assert exact.unknown_layers == ()
    with np.load(folder / entry["caffe"][MODELS[name]]) as recorded:
        assert set(exact.versions) == {key.split(":", 1)[1] for key in recorded.files}
        for key in recorded.files:
            kind, blob = key.split(":", 1)
            version = exact.versions[blob][-1]
            assert version.value is not None
            actual = version.value if kind == "out" else _probe(version.value)
            own_error = truth.largest_error(version.value, rounded[blob])
            assert truth.largest_error(actual, recorded[key]) <= truth.bound(own_error, version.magnitude), blob


def _random_inputs(prototxt: bytes) -> Dict[str, np.ndarray]:
    """Returns the inputs of the recorded results."""
    net = read_net(prototxt)
    old = [net.input_dim[start : start + 4] for start in range(0, len(net.input_dim), 4)]
    shapes = dict(zip(net.input, [shape.dim for shape in net.input_shape] or old))
    shapes.update((layer.top[0], layer.input_param.shape[0].dim) for layer in net.layer if layer.type == "Input")
    random = np.random.RandomState(20261123)
    return {blob: (random.rand(*shape) * 255 - 120).astype(np.float32) for blob, shape in shapes.items()}


def _probe(value: np.ndarray) -> np.ndarray:
    """Returns the largest magnitude, the mean, and 16 elements spread over the blob, or all of a smaller one."""
    numbers = value.reshape(-1)
    places = np.linspace(0, numbers.size - 1, min(16, numbers.size)).astype(int)
    return np.concatenate([[np.abs(numbers).max(), numbers.mean()], numbers[places]])


X = 'input: "x" input_shape { dim: 2 dim: 4 dim: 2 dim: 3 } '
COUNTED = np.arange(48.0).reshape(2, 4, 2, 3)


def _layer(kind: str, text: str = "", bottom: str = "x", top: str = "y", name: str = "y") -> str:
    tops = " ".join(f'top: "{each}"' for each in top.split())
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {text} }} '


def _y(layers: str, weights: Any = None, x: np.ndarray = COUNTED, **options: Any) -> np.ndarray:
    return run((X + layers).encode(), weights or {}, {"x": x}, **options)["y"]


def _stored(*layers: Tuple[str, List[Any]]) -> bytes:
    net = message_class("NetParameter")()
    for name, blobs in layers:
        record = net.layer.add(name=name)
        for blob in blobs:
            record.blobs.add().CopyFrom(blob)
    return bytes(net.SerializeToString())


def _blob(numbers: List[float], shape: Tuple[int, ...]) -> Any:
    return message_class("BlobProto")(data=numbers, shape={"dim": shape})


IP = "inner_product_param { num_output: 1 bias_term: false }"
ONE_WEIGHT = np.ones((1, 24))


def test_a_bn_of_four_blobs_normalises_scales_and_shifts() -> None:
    slope, bias, mean, variance = (np.array(row).reshape(1, 4, 1, 1) for row in np.arange(16).reshape(4, 4) + 1.0)
    expected = (COUNTED - mean) / np.sqrt(variance + np.float32(1e-5)) * slope + bias
    np.testing.assert_allclose(_y(_layer("BN"), {"y": [slope, bias, mean, variance]}), expected, rtol=1e-10)


def test_a_bn_of_two_blobs_is_an_affine() -> None:
    scale, shift = np.arange(4.0).reshape(1, 4, 1, 1) + 2, np.arange(4.0).reshape(1, 4, 1, 1) - 7
    actual = _y(_layer("BN", "bn_param { bn_mode: INFERENCE }"), {"y": [scale, shift]})
    np.testing.assert_array_equal(COUNTED * scale + shift, actual)


def test_a_bn_that_learns_is_unknown() -> None:
    result = trace((X + _layer("BN")).encode(), {"y": [np.ones((1, 4, 1, 1))] * 2}, {"x": COUNTED})
    assert result.unknown_layers == ("y",)


def test_permute_appends_the_axes_that_it_does_not_name() -> None:
    actual = _y(_layer("Permute", "permute_param { order: 0 order: 3 }"))
    np.testing.assert_array_equal(COUNTED.transpose(0, 3, 1, 2), actual)


def test_normalize_gives_each_place_length_one_times_its_scale() -> None:
    text = "norm_param { across_spatial: false channel_shared: false }"
    scale = np.array([1.0, 2, 3, 4])
    length = np.sqrt((COUNTED**2).sum(1, keepdims=True) + 1e-10)
    actual = _y(_layer("Normalize", text), {"y": [scale]})
    np.testing.assert_allclose(actual, COUNTED / length * scale.reshape(4, 1, 1), rtol=1e-12)


def test_normalize_across_places_shares_one_length() -> None:
    length = np.sqrt((COUNTED**2).sum((1, 2, 3), keepdims=True) + 1e-10)
    actual = _y(_layer("Normalize"), {"y": [np.array(2.0)]})
    np.testing.assert_allclose(actual, COUNTED / length * 2, rtol=1e-12)


def test_relu6_cuts_at_six() -> None:
    assert tuple(_y(_layer("ReLU6"), x=COUNTED - 1).reshape(-1)[[0, 6, 47]]) == (0.0, 5.0, 6.0)


def test_the_hard_functions_are_lines_that_are_cut() -> None:
    few = np.array([-9, -3, -1.5, 0, 3, 9]).reshape(1, 6, 1, 1)
    hard = _y(_layer("HardSigmoid", "hard_sigmoid_param { alpha: 0.25 beta: 0.375 }"), x=few)
    assert [0, 0, 0, 0.375, 1, 1] == hard.reshape(-1).tolist()
    assert [0, 0, -0.375, 0, 3, 9] == _y(_layer("HardSwish"), x=few).reshape(-1).tolist()


def test_mish_is_x_times_the_tanh_of_softplus() -> None:
    few = np.linspace(-9, 9, 25).reshape(1, 25, 1, 1)
    np.testing.assert_allclose(_y(_layer("Mish"), x=few), few * np.tanh(np.log1p(np.exp(few))), rtol=1e-12)


def test_shuffle_channel_turns_groups_inside_out() -> None:
    actual = _y(_layer("ShuffleChannel", "shuffle_channel_param { group: 2 }"))
    np.testing.assert_array_equal(COUNTED[:, [0, 2, 1, 3]], actual)


def test_axpy_scales_each_channel_and_adds() -> None:
    prototxt = 'input: "a" input: "x" input: "b" ' + _layer("Axpy", bottom="a x b")
    inputs = {"a": np.arange(8.0).reshape(2, 4, 1, 1), "x": COUNTED, "b": COUNTED + 100}
    actual = run(prototxt.encode(), {}, inputs)["y"]
    np.testing.assert_array_equal(inputs["a"] * COUNTED + COUNTED + 100, actual)


def test_upsample_repeats_each_number() -> None:
    actual = _y(_layer("Upsample", "upsample_param { scale: 2 }"))
    np.testing.assert_array_equal(np.kron(COUNTED, np.ones((1, 1, 2, 2))), actual)


def test_upsample_with_a_mask_undoes_a_pooling() -> None:
    x = np.array([[1.0, 9, 2], [3, 4, 8]]).reshape(1, 1, 2, 3)
    pool = _layer("Pooling", "pooling_param { kernel_size: 2 stride: 1 }", top="p mask", name="p")
    up = _layer("Upsample", "upsample_param { upsample_h: 2 upsample_w: 3 }", bottom="p mask")
    np.testing.assert_array_equal([[0, 9, 0], [0, 0, 0]], _y(pool + up, x=x)[0, 0])


def test_reorg_reads_the_blob_as_darknet_does() -> None:
    x = np.arange(64.0).reshape(1, 4, 4, 4)
    actual = _y(_layer("Reorg", "reorg_param { stride: 2 }"), x=x)
    flat, expected = x.reshape(-1), np.zeros((4, 4, 4))
    for channel, row, column in np.ndindex(4, 4, 4):  # one channel of 8 x 8
        expected[channel, row, column] = flat[column * 2 + channel % 2 + 8 * (row * 2 + channel // 2)]
    np.testing.assert_array_equal(expected.reshape(1, 16, 2, 2), actual)


def test_interp_keeps_the_corners() -> None:
    actual = _y(_layer("Interp", "interp_param { height: 3 width: 5 }"))
    np.testing.assert_allclose(actual[0, 0], [[0, 0.5, 1, 1.5, 2], [1.5, 2, 2.5, 3, 3.5], [3, 3.5, 4, 4.5, 5]])


@pytest.mark.parametrize(
    ("kind", "group"),
    [
        ("ConvolutionDepthwise", ""),
        ("DepthwiseConvolution", ""),
        ("DepthwiseConv", "group: 1"),
        ("Convolution", "group: 4"),
    ],
)
def test_depthwise_layers_give_each_channel_its_kernel(kind: str, group: str) -> None:
    text = f"convolution_param {{ num_output: 4 kernel_h: 1 kernel_w: 2 bias_term: false {group} }}"
    weight = np.arange(8.0).reshape(4, 1, 1, 2)
    expected = COUNTED[..., :-1] * weight[None, :, 0, :, :1] + COUNTED[..., 1:] * weight[None, :, 0, :, 1:]
    np.testing.assert_array_equal(expected, _y(_layer(kind, text), {"y": [weight]}))


def test_a_convolution_serves_several_bottoms_with_one_weight() -> None:
    prototxt = 'input: "a" input: "b" ' + _layer(
        "Convolution", "convolution_param { num_output: 1 kernel_size: 1 bias_term: false }", "a b", "y z"
    )
    inputs = {"a": COUNTED, "b": COUNTED + 1}
    actual = run(prototxt.encode(), {"y": [np.arange(4.0).reshape(1, 4, 1, 1)]}, inputs)
    np.testing.assert_array_equal(actual["y"] + 6, actual["z"])


def test_float32_stays_float32_in_every_layer() -> None:
    for name in ("net-unet", "net-mobilenet-v2-block", "layer-lstm", "layer-lrn-within"):
        case = truth.load(name)
        assert {np.dtype(np.float32)} == {
            value.dtype for value in run(case.prototxt, case.weights, case.inputs, dtype=np.float32).values()
        }


def test_versions_keep_every_value_of_an_in_place_blob() -> None:
    layers = (
        _layer("Power", "power_param { scale: -2 }", name="a")
        + _layer("ReLU", bottom="y", name="b")
        + _layer("Power", "power_param { shift: 3 }", bottom="y", name="c")
    )
    versions = trace((X + layers).encode(), {}, {"x": COUNTED - 20}).versions["y"]
    expected = [("a", -54.0), ("b", 0.0), ("c", 3.0)]  # x is 27 at the end
    assert expected == [(each.layer, each.value[-1, -1, -1, -1]) for each in versions if each.value is not None]


def test_the_magnitude_of_a_relu_is_that_of_what_it_cut() -> None:
    layers = _layer("ReLU", top="r", name="r") + _layer("TanH", bottom="r")
    versions = trace((X + layers).encode(), {}, {"x": -COUNTED}).versions
    assert [versions[blob][-1].magnitude for blob in ("r", "y")] == [47.0, 0.0]


def test_a_layer_behind_an_unknown_one_is_absent() -> None:
    layers = _layer("Mystery", top="m", name="m") + _layer("ReLU", bottom="m") + _layer("ReLU", top="z", name="z")
    result = trace((X + layers).encode(), {}, {"x": COUNTED})
    assert result.unknown_layers == ("m",)
    assert sorted(result.last()) == ["x", "z"]


def test_tops_of_a_data_layer_are_given() -> None:
    prototxt = _layer("Data", bottom="", top="x label", name="data") + _layer("ReLU")
    result = trace(prototxt.encode(), {}, {"x": COUNTED})
    assert sorted(result.last()) == ["x", "y"]


@pytest.mark.parametrize(
    ("rule", "phase", "level", "stages", "is_there"),
    [
        ("include { phase: TRAIN }", "TEST", 0, (), False),
        ("include { phase: TRAIN }", "TRAIN", 0, (), True),
        ("exclude { phase: TEST }", "TEST", 0, (), False),
        ("exclude { phase: TEST stage: 'a' }", "TEST", 0, (), True),
        ("include { min_level: 2 }", "TEST", 1, (), False),
        ("include { min_level: 2 } include { max_level: 1 }", "TEST", 1, (), True),
        ("include { stage: 'a' stage: 'b' }", "TEST", 0, ("a",), False),
        ("include { stage: 'a' stage: 'b' }", "TEST", 0, ("b", "a"), True),
        ("include { not_stage: 'a' }", "TEST", 0, ("a",), False),
    ],
)
def test_rules_decide_which_layers_are_there(
    rule: str, phase: str, level: int, stages: Tuple[str, ...], is_there: bool
) -> None:
    result = run((X + _layer("ReLU", rule)).encode(), {}, {"x": COUNTED}, phase, level=level, stages=stages)
    assert is_there == ("y" in result)


def test_dropout_is_unknown_in_train_and_a_copy_in_test() -> None:
    prototxt = (X + _layer("Dropout")).encode()
    assert trace(prototxt, {}, {"x": COUNTED}, "TRAIN").unknown_layers == ("y",)
    np.testing.assert_array_equal(COUNTED, run(prototxt, {}, {"x": COUNTED})["y"])


def test_batch_norm_uses_the_batch_in_train() -> None:
    blobs = [np.ones(4), np.ones(4), np.ones(1)]
    assert abs(_y(_layer("BatchNorm"), {"y": blobs}, phase="TRAIN").mean()) < 1e-12
    assert pytest.approx(_y(_layer("BatchNorm"), {"y": blobs}).mean(), rel=1e-4) == 22.5


SHARED_IP = _layer("InnerProduct", IP + " param { name: 'w' }", top="a", name="a") + _layer(
    "InnerProduct", IP + " param { name: 'w' }"
)


def test_of_a_shared_blob_the_last_in_the_file_wins() -> None:
    weights = _stored(("a", [_blob([1] * 24, (1, 24))]), ("y", [_blob([2] * 24, (1, 24))]))
    result = run((X + SHARED_IP).encode(), weights, {"x": COUNTED})
    np.testing.assert_array_equal(2 * COUNTED.sum((1, 2, 3))[:, None], result["a"])
    np.testing.assert_array_equal(result["a"], result["y"])


def test_a_blob_that_is_shared_permissively_agrees_in_its_count_only() -> None:
    def net(mode: str) -> bytes:
        narrow = IP.replace("1", "2") + f" param {{ name: 'w' share_mode: {mode} }}"
        half = _layer("Slice", "slice_param { slice_point: 2 }", top="h g", name="h")
        owner = _layer("InnerProduct", IP + " param { name: 'w' }", top="a", name="a")
        return (X + half + owner + _layer("InnerProduct", narrow, bottom="h")).encode()

    assert run(net("PERMISSIVE"), {"a": [ONE_WEIGHT]}, {"x": COUNTED})["y"].shape == (2, 2)
    with pytest.raises(CaffeAbort, match="blob 0"):
        run(net("STRICT"), {"a": [ONE_WEIGHT]}, {"x": COUNTED})


def test_of_two_layers_with_one_name_the_first_gets_the_weights() -> None:
    layers = _layer("InnerProduct", IP, top="a") + _layer("InnerProduct", IP)
    result = run((X + layers).encode(), {"y": [ONE_WEIGHT]}, {"x": COUNTED})
    assert (result["a"][0, 0], result["y"][0, 0]) == (276.0, 0.0)


def test_blobs_inside_the_prototxt_count_as_weights_until_the_file_has_some() -> None:
    blob = "blobs { shape { dim: 1 dim: 24 } " + "data: 3 " * 24 + "}"
    assert _y(_layer("InnerProduct", IP + blob))[0, 0] == 3 * 276
    assert _y(_layer("InnerProduct", IP + blob), {"y": [ONE_WEIGHT]})[0, 0] == 276


def test_old_shapes_match_right_aligned() -> None:
    blob = message_class("BlobProto")(data=[1] * 24, num=1, channels=1, height=1, width=24)
    assert _y(_layer("InnerProduct", IP), _stored(("y", [blob])))[0, 0] == 276


@pytest.mark.parametrize(
    "stored",
    [
        {"double_data": [0.5] * 24},
        {"raw_data_type": 2, "raw_data": np.full(24, 0.5, "<f2").tobytes()},
        {"raw_data_type": 1, "raw_data": np.full(24, 0.5, "<f4").tobytes()},
    ],
    ids=["double", "raw-half", "raw-float"],
)
def test_other_encodings_hold_the_same_numbers(stored: Dict[str, Any]) -> None:
    blob = message_class("BlobProto")(shape={"dim": [1, 24]}, **stored)
    assert _y(_layer("InnerProduct", IP), _stored(("y", [blob])))[0, 0] == 138


def test_a_batch_norm_without_weights_divides_by_the_root_of_eps() -> None:
    actual = _y(_layer("BatchNorm", "batch_norm_param { eps: 0.25 }"))
    np.testing.assert_allclose(actual, 2 * COUNTED, rtol=1e-12)


ABORTS = {
    "more blobs than the layer has": (
        _layer("InnerProduct", IP),
        {"y": [ONE_WEIGHT, np.ones(1)]},
        "1 blobs are",
    ),
    "fewer blobs than the layer has": (
        _layer("BatchNorm"),
        {"y": [np.ones(4), np.ones(4)]},
        "3 blobs are needed",
    ),
    "another shape": (_layer("InnerProduct", IP), {"y": [np.ones((24, 1))]}, "blob 0 is"),
    "blobs for a layer without any": (_layer("ReLU"), {"y": [np.ones(1)]}, "no blobs are needed"),
    "a random filler without weights": (
        _layer("InnerProduct", "inner_product_param { num_output: 1 weight_filler { type: 'xavier' } }"),
        {},
        "filler is xavier",
    ),
    "an unknown bottom": (_layer("ReLU", bottom="z"), {}, "unknown bottom blob z"),
    "two writers of one blob": (_layer("ReLU") + _layer("TanH"), {}, "multiple sources"),
    "a reader beside an in-place layer": (
        _layer("ReLU") + _layer("TanH", bottom="y", top="z", name="z") + _layer("ReLU", bottom="y", name="r"),
        {},
        "another layer reads",
    ),
    "include and exclude": (_layer("ReLU", "include {} exclude {}"), {}, "include and exclude"),
    "groups that do not divide": (
        _layer("Convolution", "convolution_param { num_output: 4 kernel_size: 1 group: 3 }"),
        {},
        "3 groups",
    ),
    "an axis that is not there": (_layer("Softmax", "softmax_param { axis: 4 }"), {}, "axis 4"),
}


@pytest.mark.parametrize("case", ABORTS)
def test_stops_where_caffe_stops(case: str) -> None:
    layers, weights, message = ABORTS[case]
    with pytest.raises(CaffeAbort, match=message):
        _y(layers, weights)


def test_a_reader_after_an_in_place_layer_reads_what_it_wrote() -> None:
    layers = _layer("ReLU", top="a", name="a") + _layer("Power", "power_param { shift: 1 }", "a", "a", "b")
    np.testing.assert_array_equal(COUNTED + 1, _y(layers + _layer("ReLU", bottom="a")))
