"""`caffe_fuse.run`: inputs, names of blobs, precisions, and its errors."""

from __future__ import annotations

from typing import Any, Dict

import nets
import numpy as np
import pytest
import truth

import caffe_fuse
from caffe_fuse import HalfPolicy, InputError, Precision
from caffe_fuse.execution.run import input_shapes, seeded

NET = nets.text(
    nets.convolution(),
    nets.layer("r", "ReLU", "c", "c"),
    nets.layer("a", "AbsVal", "c", "a"),
    nets.layer("m", "Mystery", "c", "m"),
)
X = nets.spread((2, 4, 5, 6), 5)


@pytest.fixture(scope="module")
def model() -> caffe_fuse.Model:
    return nets.model(NET, nets.caffemodel(NET, nets.numbers(NET)))


def test_the_outputs_that_can_be_computed_are_given(model: caffe_fuse.Model) -> None:
    assert ["a"] == list(caffe_fuse.run(model, {"x": X}))


def test_all_blobs_are_given_in_the_order_of_the_net(model: caffe_fuse.Model) -> None:
    assert ["x", "c", "a"] == list(caffe_fuse.run(model, {"x": X}, blobs="all"))


@pytest.mark.parametrize(("blobs", "expected"), [("c", ["c"]), (["a", "x"], ["a", "x"])])
def test_blobs_can_be_named(model: caffe_fuse.Model, blobs: Any, expected: Any) -> None:
    assert expected == list(caffe_fuse.run(model, {"x": X}, blobs=blobs))


@pytest.mark.parametrize("precision", ["float32", "float64", "half", Precision("p", half=HalfPolicy("t", "truncate"))])
def test_a_precision_is_a_name_or_made(model: caffe_fuse.Model, precision: Any) -> None:
    value = caffe_fuse.run(model, {"x": X}, precision=precision)["a"]
    assert np.dtype("float64" if precision == "float64" else "float32") == value.dtype
    assert (value.shape, True) == ((2, 6, 3, 4), bool(np.isfinite(value).all()))


def test_without_inputs_they_are_random_and_always_the_same(model: caffe_fuse.Model) -> None:
    first, again, other = (caffe_fuse.run(model, blobs=["x"], seed=seed)["x"] for seed in (7, 7, 8))
    expected = (np.random.RandomState(7).rand(2, 4, 5, 6) * 255 - 120).astype(np.float32)
    assert expected.tolist() == first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes_is_an_error_of_the_input(model: caffe_fuse.Model, seed: int) -> None:
    with pytest.raises(InputError, match=f"^seed {seed} is not valid; give a whole number from 0 to 4294967295$"):
        caffe_fuse.run(model, seed=seed)


def test_one_generator_serves_all_inputs_in_their_order() -> None:
    net = nets.model(
        b'input: "b" input_shape { dim: 2 } input: "a" input_shape { dim: 3 } '
        b'layer { name: "d" type: "Input" top: "c" input_param { shape { dim: 1 } } } '
        b'layer { name: "e" type: "Data" top: "l" }',
        None,
    ).net
    assert {"b": (2,), "a": (3,), "c": (1,)} == {
        name: shape for name, shape in input_shapes(net).items() if name != "l"
    }
    numbers = (np.random.RandomState(1).rand(6) * 255 - 120).astype(np.float32)
    found = seeded(net, 1)
    assert ["b", "a", "c"] == list(found)
    assert numbers.tolist() == np.concatenate(list(found.values())).tolist()


def test_numbers_of_any_type_are_inputs(model: caffe_fuse.Model) -> None:
    ones: Dict[str, Any] = {"ints": np.ones((2, 4, 5, 6), int), "list": np.ones((2, 4, 5, 6)).tolist()}
    first, second = (caffe_fuse.run(model, {"x": value})["a"].tolist() for value in ones.values())
    assert first == second


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ({"y": X}, {}, "no input y; its inputs are: x"),
        ({"x": X[0]}, {}, "input x is 4x5x6, the net expects 2x4x5x6"),
        ({"x": X[:0]}, {}, "input x is 0x4x5x6"),
        ({"x": [["a"]]}, {}, "is of type <U1, expected numbers"),
        ({"x": X.astype(complex)}, {}, "is of type complex128, expected numbers"),
        (None, {"seed": -1}, "seed -1 is not valid; give a whole number from 0"),
        ({"x": X}, {"precision": "int8"}, "precision 'int8' is not known; choose from float32, float64, half"),
        ({"x": X}, {"blobs": ["q"]}, "the net has no blob q"),
        ({"x": X}, {"blobs": ["m"]}, "blob m cannot be computed: layer m .Mystery.: the type is not known"),
        ({"x": X}, {"blobs": ["a", "m"]}, "blob m cannot be computed: layer m .Mystery.: the type is not known"),
        ({}, {}, "blob a cannot be computed: input x is not given"),
        ({"x": X[:, :3]}, {}, "blob 0 of layer c .Convolution. is 6x4x3x3, but bottoms of 2x3x5x6 need 6x3x3x3"),
    ],
)
def test_what_cannot_be_run_is_a_clear_error(
    model: caffe_fuse.Model, inputs: Any, options: Dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        caffe_fuse.run(model, inputs, **options)


def test_a_net_without_its_weights_is_a_clear_error() -> None:
    with pytest.raises(InputError, match=r"net\.prototxt: no weights to run with"):
        caffe_fuse.run(nets.model(NET, None))


def test_a_net_that_needs_no_weights_runs_without() -> None:
    net = nets.model(nets.text(nets.layer("a", "AbsVal", "x", "a")), None)
    assert np.abs(X).tolist() == caffe_fuse.run(net, {"x": X})["a"].tolist()


def test_a_folded_model_runs_before_it_is_saved(model: caffe_fuse.Model) -> None:
    prototxt = nets.text(nets.convolution(), nets.batch_norm(top="c"), nets.scale(bottom="c", top="c"))
    before = nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt)))
    after = caffe_fuse.fuse(before).model
    assert ["Convolution"] == [layer.type for layer in after.net.layers]
    exact, bounds = truth.measured(prototxt, nets.numbers(prototxt), {"x": X})
    errors = [truth.largest_error(exact.last()["c"], caffe_fuse.run(each, {"x": X})["c"]) for each in (before, after)]
    assert max(errors) <= bounds["c"]
