"""The forward pass: against recorded results of Caffe, in what order it runs, what it keeps, and what it cannot run."""

from __future__ import annotations

import weakref
from typing import Any, List, Optional, Tuple

import nets
import numpy as np
import pytest
import reference
import truth

import caffe_fuse
from caffe_fuse.blobs.blob import CHUNK
from caffe_fuse.errors import InputError
from caffe_fuse.execution.forward import PRECISIONS, Precision, Unavailable, compute, is_source, run_net
from caffe_fuse.half.rounding import HalfPolicy
from caffe_fuse.half.targets import POLICIES
from caffe_fuse.net.graph import Net, Value
from caffe_fuse.net.state import State

FLOAT32, FLOAT64 = PRECISIONS["float32"], PRECISIONS["float64"]


def loaded(name: str) -> caffe_fuse.Model:
    net = truth.load(name)
    return caffe_fuse.load(net.prototxt_path, net.weights_path)


def relative_error(expected: np.ndarray, actual: np.ndarray) -> float:
    return truth.largest_error(expected, actual) / (float(np.max(np.abs(expected), initial=0)) or 1.0)


@pytest.mark.parametrize("name", [name for name in truth.names() if name != "format-v1"])
def test_every_blob_is_what_caffe_gave(name: str) -> None:
    net = truth.load(name)
    outcome = run_net(loaded(name).net, net.inputs, FLOAT32, list(net.outputs))
    assert {} == outcome.unavailable
    assert {*net.outputs} == {*outcome.values}
    bounds = truth.recorded_bounds(name)
    errors = {blob: truth.largest_error(expected, outcome.values[blob]) for blob, expected in net.outputs.items()}
    assert {} == {blob: (error, bounds[blob]) for blob, error in errors.items() if not error <= bounds[blob]}
    assert {np.dtype(np.float32)} == {value.dtype for value in outcome.values.values()}


@pytest.mark.parametrize("name", ["net-unet", "net-resnet-bottleneck", "keep-preact-resnet", "random-00021"])
def test_float64_is_what_the_judge_gives(name: str) -> None:
    net = truth.load(name)
    exact = reference.run(net.prototxt, net.weights, net.inputs)
    outcome = run_net(loaded(name).net, net.inputs, FLOAT64, list(exact))
    assert dict.fromkeys(exact, 0.0) == {
        blob: round(relative_error(exact[blob], outcome.values[blob]), 12) for blob in exact
    }
    assert {np.dtype(np.float64)} == {value.dtype for value in outcome.values.values()}


CHAIN = nets.text(
    nets.convolution(),
    nets.batch_norm(top="c"),
    nets.layer("r", "ReLU", "c", "c"),
    nets.layer("p", "Pooling", "c", "p", "pooling_param { global_pooling: true pool: AVE }"),
)
X = {"x": nets.spread((2, 4, 5, 6), 5)}


def net_of(prototxt: bytes) -> Net:
    blobs = nets.numbers(prototxt)
    return nets.model(prototxt, nets.caffemodel(prototxt, blobs)).net


def test_each_value_comes_once_and_in_order() -> None:
    values = [value for value, _ in compute(net_of(CHAIN), X, FLOAT32)]
    assert [Value("x", 0), Value("c", 0), Value("c", 1), Value("c", 2), Value("p", 0)] == values


def test_the_last_value_of_a_name_counts() -> None:
    outcome = run_net(net_of(CHAIN), X, FLOAT32, ["c"])
    assert 0 == outcome.values["c"].min()


def test_an_in_place_layer_behind_a_split_changes_what_its_twins_read() -> None:
    """As in Caffe, whose Split shares its memory; the caller's array stays."""
    lines = [
        nets.layer("s", "Split", "x", "a b"),
        nets.layer("r", "ReLU", "a", "a"),
        nets.layer("v", "AbsVal", "b", "v"),
    ]
    before = X["x"].copy()
    outcome = run_net(net_of(nets.text(*lines)), X, FLOAT32, ["a", "v"])
    positive = np.maximum(before, 0).tolist()
    assert (positive, positive) == (outcome.values["a"].tolist(), outcome.values["v"].tolist())
    assert before.tolist() == X["x"].tolist()


def test_a_blob_is_freed_when_nobody_reads_it_any_more() -> None:
    lines = [nets.layer(f"l{place}", "Power", f"b{place}" if place else "x", f"b{place + 1}") for place in range(6)]
    alive: List[Any] = []
    most = 0
    for value, computed in compute(net_of(nets.text(*lines)), X, FLOAT32):
        alive = [each for each in alive if each() is not None]
        if value.version == 0 and value.blob != "x":
            alive.append(weakref.ref(computed))
        del computed
        most = max(most, sum(each() is not None for each in alive))
    assert 2 >= most


def test_only_what_is_wanted_is_computed() -> None:
    values = [value for value, _ in compute(net_of(CHAIN), X, FLOAT32, ["c"])]
    assert Value("p", 0) not in values
    assert Value("c", 2) in values


MYSTERY = nets.text(
    nets.layer("m", "Mystery", "x", "m"),
    nets.layer("r", "ReLU", "m", "r"),
    nets.layer("v", "AbsVal", "x", "v"),
    nets.layer("e", "Eltwise", "r v", "e"),
    nets.layer("l", "SoftmaxWithLoss", "v x", "l"),
)


def test_what_cannot_be_run_is_named_and_the_rest_runs() -> None:
    outcome = run_net(net_of(MYSTERY), X, FLOAT32, ["m", "r", "v", "e", "l"])
    unknown = "layer m (Mystery): the type is not known"
    assert {
        "m": unknown,
        "r": unknown,
        "e": unknown,
        "l": "layer l (SoftmaxWithLoss): the type cannot be run",
    } == outcome.unavailable
    assert ["v"] == list(outcome.values)


def test_a_layer_in_place_that_cannot_be_run_leaves_no_value() -> None:
    prototxt = nets.text(nets.convolution(), nets.layer("m", "Mystery", "c", "c"), nets.layer("r", "ReLU", "c", "c"))
    outcome = run_net(net_of(prototxt), X, FLOAT32, ["x", "c"])
    assert (["x"], {"c": "layer m (Mystery): the type is not known"}) == (list(outcome.values), outcome.unavailable)


def test_weights_of_more_than_a_chunk_are_all_used() -> None:
    prototxt = nets.text(
        nets.layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 3 }"), shape=(1, CHUNK // 2)
    )
    x = np.random.RandomState(0).standard_normal((1, CHUNK // 2)).astype(np.float32)
    weights, bias = nets.numbers(prototxt)["i"]
    found = run_net(net_of(prototxt), {"x": x}, FLOAT64, ["i"]).values["i"]
    np.testing.assert_allclose(found, x.astype(float) @ weights.T.astype(float) + bias, rtol=1e-9)


def test_a_layer_that_refuses_is_named() -> None:
    net = nets.model(nets.text(nets.layer("d", "Dropout", "x", "d")), None, State("TRAIN")).net
    outcome = run_net(net, X, FLOAT32, ["d"])
    assert "layer d (Dropout): Dropout is random in the TRAIN phase" in outcome.unavailable["d"]


def test_a_top_too_many_is_named() -> None:
    outcome = run_net(net_of(nets.text(nets.layer("r", "ReLU", "x", "r q"))), X, FLOAT32, ["r", "q"])
    assert (["r"], {"q": "layer r (ReLU): it writes 1 top, not 2"}) == (list(outcome.values), outcome.unavailable)


def test_an_input_that_is_not_given_is_named() -> None:
    prototxt = nets.text(nets.layer("e", "Eltwise", "x y", "e"), nets.layer("v", "AbsVal", "x", "v"))
    prototxt = b'input: "y" ' + prototxt
    outcome = run_net(net_of(prototxt), X, FLOAT32, ["e", "v"])
    assert ["v"] == list(outcome.values)
    assert "input y is not given, and neither is its shape (--input-shape y=1,3,224,224)" == outcome.unavailable["e"]


def test_a_data_layer_s_tops_are_inputs() -> None:
    lines = 'layer { name: "d" type: "Data" top: "x" top: "label" } ' + nets.layer("v", "AbsVal", "x", "v")
    net = nets.model(lines.encode(), None).net
    assert [True, False] == [is_source(layer) for layer in net.layers]
    outcome = run_net(net, X, FLOAT32, ["v"])
    assert np.abs(X["x"]).tolist() == outcome.values["v"].tolist()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 5, 5, 6), "blob 0 of layer c .Convolution. is 6x4x3x3, but bottoms of 2x5x5x6 need 6x5x3x3"),
        ((2, 3, 5, 6), "blob 0 of layer c .Convolution. is 6x4x3x3, but bottoms of 2x3x5x6 need 6x3x3x3"),
        ((2, 4, 2, 6), "layer c .Convolution.: a window of 3"),
    ],
)
def test_an_input_that_does_not_fit_the_weights_is_a_clear_error(shape: Tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        run_net(net_of(CHAIN), {"x": np.zeros(shape)}, FLOAT32, ["p"])
    assert caught.value.where == "net.prototxt:3:1"


def test_another_batch_and_a_larger_image_are_run() -> None:
    outcome = run_net(net_of(CHAIN), {"x": np.zeros((7, 4, 9, 8))}, FLOAT32, ["c", "p"])
    assert [(7, 6, 7, 6), (7, 6, 1, 1)] == [outcome.values[name].shape for name in "cp"]


HALF = PRECISIONS["half"]


def test_in_half_inputs_weights_and_results_are_halves() -> None:
    for _, computed in compute(net_of(CHAIN), X, HALF):
        assert not isinstance(computed, Unavailable)
        assert computed.astype(np.float16).astype(np.float32).tolist() == computed.tolist()
        assert np.dtype(np.float32) == computed.dtype


def test_in_half_a_variance_that_overflows_makes_its_channel_dead() -> None:
    prototxt = nets.text(nets.batch_norm(bottom="x"))
    variance = np.array([1e3, 7e4, 5.9e7, 1e3], np.float32)
    blobs = {"b": [np.zeros(4, np.float32), variance, np.array([999.98], np.float32)]}
    net = nets.model(prototxt, nets.caffemodel(prototxt, blobs)).net
    single, half = (run_net(net, X, precision, ["b"]).values["b"] for precision in (FLOAT32, HALF))
    assert [True] * 4 == np.abs(single).max((0, 2, 3)).astype(bool).tolist()
    assert [True, False, False, True] == np.abs(half).max((0, 2, 3)).astype(bool).tolist()


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (HalfPolicy("n"), [np.inf, 2.0**-20, 2050]),
        (HalfPolicy("s", overflow="saturate"), [65504, 2.0**-20, 2050]),
        (HalfPolicy("f", subnormals="flushed"), [np.inf, 0, 2050]),
        (HalfPolicy("t", rounding="truncate"), [np.inf, 2.0**-20, 2048]),
    ],
)
def test_a_policy_says_how_inputs_and_results_are_rounded(policy: HalfPolicy, expected: List[float]) -> None:
    prototxt = nets.text(nets.layer("p", "Power", "x", "p", "power_param { scale: 2 }"), shape=(1, 3))
    inputs = {"x": np.array([[60000, 2.0**-21, 1024.75]])}
    outcome = run_net(net_of(prototxt), inputs, Precision("p", half=policy), ["p"])
    assert expected == outcome.values["p"][0].tolist()


def in_blocks(block: Optional[int]) -> Precision:
    return Precision("p", half=HalfPolicy("n"), block=block)


def test_sums_in_half_lose_what_a_sum_in_float32_keeps() -> None:
    """2048 and then ones: 2049 is not an fp16 value, so single ones are lost; four at a time are not."""
    prototxt = nets.text(
        nets.layer("i", "InnerProduct", "x", "i", "inner_product_param { num_output: 1 bias_term: false }"),
        shape=(1, 9),
    )
    blobs = {"i": [np.array([[2048, *[1] * 8]], np.float32)]}
    net = nets.model(prototxt, nets.caffemodel(prototxt, blobs)).net
    found = {
        block: run_net(net, {"x": np.ones((1, 9))}, Precision("p", half=HalfPolicy("n"), block=block), ["i"]).values[
            "i"
        ]
        for block in (1, 4, None)
    }
    # By fours: 2051 is rounded to 2052, then 2056, then 2057 to 2056.
    assert {1: 2048, 4: 2056, None: 2056} == {block: value.item() for block, value in found.items()}


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_sums_in_half_in_one_block_are_sums_in_float32(kind: str, group: int) -> None:
    settings = f"convolution_param {{ num_output: 4 kernel_size: 3 group: {group} }}"
    net = net_of(nets.text(nets.layer("c", kind, "x", "c", settings)))
    whole, blocks, singly = (run_net(net, X, in_blocks(block), ["c"]).values["c"] for block in (None, 1000, 1))
    # The bias is added to a sum that is rounded already: once more half a step.
    assert truth.largest_error(whole, blocks) <= 2.0**-10 * np.abs(whole).max()
    losses = [np.abs(whole - each).sum() for each in (singly, blocks)]
    is_sum = (kind, group) != ("Deconvolution", 4)
    assert is_sum == (losses[0] > losses[1])


def test_a_batch_norm_of_two_bottoms_is_said_to_take_one() -> None:
    prototxt = nets.text(nets.layer("b", "BatchNorm", "x x", "b"))
    model = nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt)))
    outcome = run_net(model.net, {"x": nets.spread((2, 4, 5, 6), 1)}, FLOAT32, ["b"])
    assert {"b": "layer b (BatchNorm): it has 2 bottoms, but takes 1"} == outcome.unavailable


PICKING = [
    nets.layer("p", "ReLU", "x", "p"),
    nets.layer("p", "ReLU", "x", "p", "relu_param { negative_slope: 0.3 }"),
    nets.layer("p", "Concat", "x x", "p"),
]


@pytest.mark.parametrize("line", PICKING)
@pytest.mark.parametrize(
    "policy", [policy for policy in POLICIES.values() if policy.checked], ids=lambda each: each.name
)
def test_the_top_of_a_layer_that_only_picks_is_as_the_device_stores_it(line: str, policy: HalfPolicy) -> None:
    values = nets.spread((2, 4, 5, 6), 3).astype(np.float32)
    values[0, :, 0, 0] = 1e-5, -7e4, np.inf, np.nan
    precision = Precision("p", half=policy)
    top = run_net(net_of(nets.text(line)), {"x": values}, precision, ["p"]).values["p"]
    assert np.array_equal(precision.kept(top), top, equal_nan=True)
