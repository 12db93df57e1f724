"""The net as a graph: versions of blobs, consumers, producers, outputs, shapes, shared parameters."""

from __future__ import annotations

from typing import Iterable, List

import pytest
from nets import batch_norm, convolution, layer, model, numbers, text

from caffe_fuse.errors import InputError
from caffe_fuse.net.graph import Net, Value


def net(*layers: str) -> Net:
    return model(text(*layers), None).net


def written(values: Iterable[Value]) -> List[str]:
    return [str(value) for value in values]


def test_a_layer_in_place_makes_a_new_version_of_its_blob() -> None:
    found = net(convolution(), batch_norm(top="c"), layer("r", "ReLU", "c", "c"))
    assert [["c@0"], ["c@1"], ["c@2"]] == [written(found.tops(each)) for each in found.layers]


def test_a_bottom_means_the_newest_version_before_it() -> None:
    found = net(convolution(), batch_norm(top="c"), layer("p", "Sigmoid", "c", "p"), layer("e", "Eltwise", "p c", "e"))
    assert ["p@0", "c@1"] == written(found.bottoms(found.layers[3]))
    assert ["b"] == [reader.name for reader in found.consumers(Value("c", 0))]
    assert ["p", "e"] == [reader.name for reader in found.consumers(Value("c", 1))]


def test_a_layer_that_overwrites_an_input_of_the_net_makes_its_version_1() -> None:
    found = net(layer("r", "ReLU", "x", "x"), convolution())
    assert ["x@1"] == written(found.bottoms(found.layers[1]))
    assert found.producer(Value("x", 0)) is None
    assert "r" == str(getattr(found.producer(Value("x", 1)), "name", None))


def test_a_layer_that_reads_a_blob_twice_counts_twice() -> None:
    found = net(convolution(), layer("e", "Eltwise", "c c", "e"))
    assert ["e", "e"] == [reader.name for reader in found.consumers(Value("c", 0))]


def test_outputs_are_the_values_that_nobody_reads() -> None:
    found = net(convolution(), batch_norm(top="c"), layer("s", "Slice", "c", "u v"), layer("r", "ReLU", "u", "u"))
    assert ["v@0", "u@1"] == written(found.outputs)


def test_every_name_is_listed_once_inputs_first() -> None:
    found = net(convolution(), batch_norm(top="c"), layer("r", "ReLU", "c", "r"))
    assert ("x", "c", "r") == found.blob_names


def test_a_bottom_that_nothing_before_it_produces_is_an_error() -> None:
    with pytest.raises(InputError) as raised:
        net(convolution(), batch_norm(bottom="later"), layer("r", "ReLU", "c", "later"))
    expected = (
        "net.prototxt:4:1: layer b reads blob later, which no layer before it produces; check the spelling, "
        "the order of the layers, and the phase (--phase, --level, --stage)"
    )
    assert expected == str(raised.value)


def test_a_layer_that_does_not_fit_its_bottom_is_an_error_with_its_place() -> None:
    wrong = layer("d", "Convolution", "c", "d", "convolution_param { num_output: 4 kernel_size: 1 group: 4 }")
    with pytest.raises(InputError) as raised:
        assert net(convolution(), wrong).shapes
    assert "net.prototxt:4:1: layer d (Convolution): group 4 does not divide 6 input and 4 output channels" == str(
        raised.value
    )


def test_shapes_follow_the_versions() -> None:
    pooling = layer("p", "Pooling", "c", "p", "pooling_param { kernel_size: 3 stride: 2 }")
    shapes = net(convolution(), batch_norm(top="c"), pooling).shapes
    expected = {Value("x", 0): (2, 4, 5, 6), Value("c", 0): (2, 6, 3, 4), Value("c", 1): (2, 6, 3, 4)}
    assert {**expected, Value("p", 0): (2, 6, 1, 2)} == shapes


def test_behind_a_type_that_is_not_known_shapes_are_not_known() -> None:
    shapes = net(layer("m", "Mystery", "x", "m n"), batch_norm(bottom="m")).shapes
    assert [None, None, None] == [shapes[Value(name, 0)] for name in ("m", "n", "b")]


def test_sharers_are_all_that_use_a_parameter_name_with_the_place_of_the_blob() -> None:
    first = convolution("c", "x", "c", 'param { name: "w" } param { name: "v" }')
    second = convolution("d", "x", "d", 'param { lr_mult: 0 } param { name: "v" }')
    found = net(first, second)
    sharers = {name: [(each.name, place) for each, place in pairs] for name, pairs in found.sharers.items()}
    assert {"w": [("c", 0)], "v": [("c", 1), ("d", 1)]} == sharers
    assert ["d"] == [each.name for each in found.shared_with(found.layers[0])]


def test_without_weights_the_blobs_have_the_shapes_that_the_net_asks_for() -> None:
    prototxt = text(convolution(settings="group: 2"), batch_norm())
    assert [(6, 2, 3, 3), (6,)] == [blob.shape for blob in model(prototxt, None).net.layers[0].blobs]
    assert [(6,), (6,), (1,)] == [array.shape for array in numbers(prototxt)["b"]]
