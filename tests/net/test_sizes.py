"""Sizes that do not agree: an error where Caffe would stop, a warning after what is not understood."""

from __future__ import annotations

from typing import List

import nets
import numpy as np
import pytest

import caffe_fuse
from caffe_fuse.errors import InputError
from caffe_fuse.net.graph import Value

LARGE = "convolution_param { num_output: 6 kernel_size: 9 }"


def net(*lines: str) -> bytes:
    return nets.text(*lines, shape=(1, 4, 8, 8))


def warnings_of(*lines: str) -> List[str]:
    return list(nets.model(net(*lines), None).warnings)


def pooling(rest: str) -> str:
    return nets.layer("p", "Pooling", "x", "p", f"pooling_param {{ kernel_size: 3 stride: 2 {rest} }}")


@pytest.mark.parametrize(
    ("first", "doubt"),
    [
        (pooling("pad_mode: 0"), "field pooling_param.pad_mode of Pooling p in line 3"),
        (
            nets.layer("p", "Reorg", "x", "p", "reorg_param { stride: 2 }"),
            "Reorg p in line 3, a type that BVLC Caffe does not have,",
        ),
    ],
)
def test_a_conflict_behind_what_is_not_read_is_a_warning(first: str, doubt: str) -> None:
    lines = [first, nets.layer("r", "ReLU", "p", "r"), nets.layer("c", "Convolution", "r", "c", LARGE)]
    found = nets.model(net(*lines, nets.batch_norm(), nets.convolution("d", "b", "d")), None)
    conflict = next(warning for warning in found.warnings if "leaves nothing" in warning)
    assert conflict.startswith("net.prototxt:5:1: layer c (Convolution): a window of 9")
    assert f"because {doubt} may change them" in conflict
    assert found.net.shapes[Value("c", 0)] is None
    assert found.net.shapes[Value("r", 0)] is not None


def test_the_same_conflict_is_an_error_where_all_is_read() -> None:
    with pytest.raises(InputError, match="leaves nothing of a bottom of size 4"):
        nets.model(net(pooling(""), nets.layer("c", "Convolution", "p", "c", LARGE)), None)


def test_what_no_size_could_mend_is_an_error() -> None:
    lines = [pooling("pad_mode: 0"), nets.layer("c", "Convolution", "p", "c", "convolution_param { kernel_size: 3 }")]
    with pytest.raises(InputError, match="num_output is missing"):
        nets.model(net(*lines), None)


def test_a_net_with_a_conflict_folds_and_the_numbers_tell_the_sizes() -> None:
    """The layer c has the filters of nine rows that fit the real sizes."""
    lines = [
        pooling("pad_mode: 0"),
        nets.layer("c", "Convolution", "p", "c", LARGE),
        nets.batch_norm(),
        nets.layer("i", "InnerProduct", "b", "i", "inner_product_param { num_output: 3 }"),
    ]
    numbers = {
        "c": [nets.spread((6, 4, 9, 9), 1), nets.spread((6,), 2)],
        "b": [nets.spread((6,), 3), nets.spread((6,), 4, 0.1, 2), np.ones(1, np.float32)],
        "i": [nets.spread((3, 54), 5), nets.spread((3,), 6)],
    }
    answer = nets.fuse(net(*lines), numbers)
    assert ["c"] == [rewrite.layer for rewrite in answer.result.report.folded]
    found = caffe_fuse.run(answer.result.model, {"x": nets.spread((1, 4, 8, 8), 7)}, blobs="all")
    assert {"x", "p"} == found.keys()


def test_an_unknown_type_is_told_with_the_one_that_was_meant() -> None:
    first, second = warnings_of(
        *(nets.layer("c", "Convolutoin", "x", "c"), nets.layer("d", "Convolutoin", "c", "d")),
        nets.layer("e", "Foreign", "d", "e"),
    )
    assert first.startswith("net.prototxt:3:1: type Convolutoin of 2 layers is not known (did you mean Convolution?)")
    assert second.startswith("net.prototxt:5:1: type Foreign of 1 layer is not known: ")


def test_a_layer_without_a_type_is_an_error() -> None:
    with pytest.raises(InputError, match="3:1: layer c has no type"):
        nets.model(net('layer { name: "c" bottom: "x" top: "c" }'), None)


def test_a_misspelt_field_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(
        InputError, match=r"num_output is missing; field convolution_param.num_ouput \(did you mean num_ou"
    ):
        nets.model(net(nets.layer("c", "Convolution", "x", "c", LARGE.replace("output", "ouput"))), None)
    (warning,) = warnings_of(pooling("strde: 1"))
    assert "3:1: field pooling_param.strde (did you mean stride?) of Pooling p is not known" in warning
