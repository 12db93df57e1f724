"""Which blobs belong to which layer, and what is reported if they do not fit."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy as np
import pytest
from nets import batch_norm, caffemodel, convolution, fuse, layer, model, numbers, spread, text
from reference.files import message_class

from caffe_fuse.errors import InputError
from caffe_fuse.net.model import Model

NAMED = 'param { name: "w" } param { name: "v" }'


def bound(prototxt: bytes, weights: bytes) -> Dict[str, List[Any]]:
    layers = model(prototxt, weights).net.layers
    return {each.name: [blob.array().tolist() for blob in each.blobs] for each in layers}


def lists(arrays: Sequence[np.ndarray]) -> List[Any]:
    return [array.tolist() for array in arrays]


def message(prototxt: bytes, weights: bytes) -> str:
    with pytest.raises(InputError) as raised:
        model(prototxt, weights)
    return str(raised.value)


def records_of(*layers: Any) -> bytes:
    """Returns a weight file of these (name, arrays); names may repeat."""
    return b"".join(caffemodel(text(), {name: arrays}) for name, arrays in layers)


def test_blobs_bind_by_name_whatever_the_order() -> None:
    prototxt = text(convolution("c"), convolution("d", "x", "d"))
    blobs = numbers(prototxt)
    found = bound(prototxt, records_of(("d", blobs["d"]), ("c", blobs["c"])))
    assert {name: lists(arrays) for name, arrays in blobs.items()} == found


def test_of_two_records_with_one_name_the_last_wins() -> None:
    prototxt = text(convolution("c"))
    first, last = numbers(prototxt, 1)["c"], numbers(prototxt, 2)["c"]
    assert lists(last) == bound(prototxt, records_of(("c", first), ("c", last)))["c"]


def test_of_two_layers_with_one_name_the_first_gets_the_blobs() -> None:
    prototxt = text(convolution("c"), convolution("c", "x", "d"))
    assert "has no weights for layer c (Convolution); 1 of 2 layers" in message(
        prototxt, records_of(("c", numbers(prototxt)["c"]))
    )
    plain = text(convolution("c"), layer("c", "ReLU", "c", "d"))
    found = model(plain, records_of(("c", numbers(plain)["c"]))).net.layers
    assert [2, 0] == [len(each.blobs) for each in found]


def test_of_shared_blobs_the_record_that_was_read_last_wins() -> None:
    prototxt = text(convolution("c", rest=NAMED), convolution("d", "x", "d", NAMED))
    blobs = numbers(prototxt)
    for order, winner in ("cd", "d"), ("dc", "c"):
        found = bound(prototxt, records_of(*[(name, blobs[name]) for name in order]))
        assert {"c": lists(blobs[winner]), "d": lists(blobs[winner])} == found


def test_only_the_blobs_of_one_name_are_shared() -> None:
    rest = 'param { } param { name: "v" }'
    prototxt = text(convolution("c", rest=NAMED), convolution("d", "x", "d", rest))
    blobs = numbers(prototxt)
    found = bound(prototxt, caffemodel(prototxt, blobs))
    assert lists([blobs["c"][0], blobs["d"][1]]) == found["c"]
    assert lists(blobs["d"]) == found["d"]


def test_a_layer_without_a_record_has_what_it_shares() -> None:
    alone = convolution("a", "x", "a", 'param { } param { name: "v" }')
    prototxt = text(alone, convolution("c", rest=NAMED), convolution("d", "x", "d", NAMED))
    blobs = numbers(prototxt)
    found = bound(prototxt, records_of(("a", blobs["a"]), ("c", blobs["c"])))
    assert lists(blobs["c"]) == found["c"] == found["d"]


def embedded(*blobs: str) -> bytes:
    inner = " ".join(f"blobs {{ {blob} }}" for blob in blobs)
    return text(layer("i", "InnerProduct", "x", "i", f"inner_product_param {{ num_output: 2 }} {inner}"), shape=(1, 3))


@pytest.mark.parametrize(
    ("weights", "bias"),
    [
        ("shape { dim: 2 dim: 3 } data: [1, -2, 3, 4, 5, 6]", "shape { dim: 2 } data: 7 data: 8"),
        ("shape { dim: 2 dim: 3 } double_data: [1, -2, 3, 4, 5, 6] data: 9", "shape { dim: 2 } double_data: [7, 8]"),
    ],
)
def test_blobs_in_the_prototxt_count_where_the_file_has_none(weights: str, bias: str) -> None:
    expected = [[[1, -2, 3], [4, 5, 6]], [7, 8]]
    assert expected == bound(embedded(weights, bias), records_of(("other", [])))["i"]


def test_blobs_in_the_prototxt_may_have_the_old_shape() -> None:
    weights = "num: 1 channels: 1 height: 2 width: 3 data: [1, -2, 3, 4, 5, 6]"
    found = bound(embedded(weights, "width: 2 num: 1 channels: 1 height: 1 data: [7, 8]"), records_of(("other", [])))
    assert [[[[[1, -2, 3], [4, 5, 6]]]], [[[[7, 8]]]]] == found["i"]


def test_the_file_wins_over_blobs_in_the_prototxt() -> None:
    prototxt = embedded("shape { dim: 2 dim: 3 } data: [1, -2, 3, 4, 5, 6]", "shape { dim: 2 } data: [7, 8]")
    stored = [spread((2, 3), 1), spread((2,), 2)]
    assert lists(stored) == bound(prototxt, records_of(("i", stored)))["i"]


def test_a_blob_in_the_prototxt_with_too_few_numbers_is_an_error() -> None:
    prototxt = embedded("shape { dim: 2 dim: 3 } data: 1")
    expected = "net.prototxt:3:1: a blob of layer i has shape (2, 3), but 1 elements"
    assert expected == message(prototxt, records_of(("other", [])))


def test_missing_layers_are_named_with_how_many_matched() -> None:
    names = "cdefg"
    prototxt = text(*[convolution(name, "x", name) for name in names])
    blobs = numbers(prototxt)
    expected = (
        "net.prototxt:4:1: net.caffemodel has no weights for layer d (Convolution), e (Convolution), f (Convolution) "
        "and 1 more; 1 of 5 layers with weights matched by name: is net.caffemodel the weight file of this net?"
    )
    assert expected == message(prototxt, records_of(("c", blobs["c"])))


def test_another_number_of_blobs_is_an_error() -> None:
    prototxt = text(convolution(settings="bias_term: false"))
    expected = (
        "net.prototxt:3:1: layer c (Convolution) has 1 blob in the net and 2 in the weights; 1 of 1 layer with "
        "weights matched by name: is net.caffemodel the weight file of this net?"
    )
    assert expected == message(prototxt, records_of(("c", [spread((6, 4, 3, 3), 1), spread((6,), 2)])))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([(6, 2, 3, 3), (6,)], "blob 0 of layer c (Convolution) is 6x4x3x3 in the net and 6x2x3x3 in the weights"),
        ([(4, 6, 3, 3), (6,)], "blob 0 of layer c (Convolution) is 6x4x3x3 in the net and 4x6x3x3 in the weights"),
        ([(6, 4, 3, 3), (5,)], "blob 1 of layer c (Convolution) is 6 in the net and 5 in the weights"),
    ],
)
def test_another_shape_is_an_error(shapes: Any, expected: str) -> None:
    found = message(text(convolution()), records_of(("c", [spread(shape, 1) for shape in shapes])))
    doubt = "1 of 1 layer with weights matched by name: is net.caffemodel the weight file of this net?"
    assert f"net.prototxt:3:1: {expected}; {doubt}" == found


def test_sizes_that_the_net_does_not_say_are_not_compared() -> None:
    mystery = text(layer("m", "Mystery", "x", "m"), convolution(bottom="m"))
    assert 2 == len(bound(mystery, records_of(("c", [spread((6, 9, 3, 3), 1), spread((6,), 2)])))["c"])
    expected = "blob 0 of layer c (Convolution) is 6x?x3x3 in the net and 6x9x2x3 in the weights"
    assert expected in message(mystery, records_of(("c", [spread((6, 9, 2, 3), 1), spread((6,), 2)])))


def test_axes_of_size_1_may_be_missing_or_added() -> None:
    blobs = [spread((6, 4, 3, 3), 1), spread((1, 1, 1, 6), 2)]
    assert lists(blobs) == bound(text(convolution()), records_of(("c", blobs)))["c"]


def test_a_layer_that_does_not_fit_its_bottoms_is_named() -> None:
    nothing = layer("b", "BatchNorm", "", "b")
    expected = "net.prototxt:3:1: layer b (BatchNorm): needs 1 bottom, has 0"
    assert expected == message(text(nothing), records_of(("b", [spread((1,), 1)] * 3)))


def warned(extra: Sequence[str]) -> Model:
    prototxt = text(convolution(), layer("t", "Convolution", "c", "t", "include { phase: TRAIN }"), batch_norm())
    blobs = {**numbers(prototxt), **{name: [spread((2,), 1)] for name in extra}}
    return model(prototxt, caffemodel(prototxt, blobs))


def test_layers_that_the_net_does_not_have_are_a_warning() -> None:
    expected = (
        "net.caffemodel: 2 layers with weights not in the net (fc8, old), "
        "which fuse copies unchanged unless --prune is given"
    )
    assert (expected,) == warned(["fc8", "old"]).warnings


def test_layers_of_another_phase_are_no_strangers() -> None:
    assert () == warned(["t"]).warnings


def test_of_many_strangers_the_first_five_are_named() -> None:
    (warning,) = warned(["s1", "s2", "s3", "s4", "s5", "s6"]).warnings
    assert "6 layers with weights not in the net (s1, s2, s3, s4, s5, ...), " in warning


@pytest.mark.parametrize("rest", ["", 'param { name: "w" }'])
@pytest.mark.parametrize("settings", ["num_output: 4", "num_output: 6 group: 2", "num_output: 1"])
@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
def test_filters_along_one_axis_may_have_the_old_four(kind: str, settings: str, rest: str) -> None:
    """1x4x4x3 is 4x4x3 here: by itself it could be four filters for one input channel (Caffe: blob.cpp:419)."""
    inner = f"convolution_param {{ {settings} kernel_size: 3 pad: 1 }} {rest}"
    second = layer("d", kind, "x", "d", inner)
    prototxt = text(layer("c", kind, "x", "c", inner), batch_norm(), second, shape=(2, 4, 9))
    blobs = numbers(prototxt)
    if rest:
        blobs["d"][0] = blobs["c"][0]
    net = message_class("NetParameter").FromString(caffemodel(prototxt, blobs))
    for record in net.layer:
        for blob in record.blobs if record.name in "cd" else ():
            dims = [1] * (4 - len(blob.shape.dim)) + list(blob.shape.dim)
            blob.ClearField("shape")
            blob.num, blob.channels, blob.height, blob.width = dims
    made = fuse(prototxt, weights=net.SerializeToString())
    assert () == made.violations((2, 4, 9))
    assert ({}, bool(rest)) == (made.refused, "Scale" in "".join(made.lines))  # shared ones cannot both change
    kept = fuse(prototxt, weights=net.SerializeToString(), keep=["c", "b", "d"])
    assert kept.before == (kept.prototxt, kept.weights)
