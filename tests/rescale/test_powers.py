"""Which channels of a net may be multiplied by a power of two, which form a group, and why others may not."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Sequence

import nets
import numpy as np
import pytest
from nets import layer, text

from caffe_fuse.net.scale_groups import Groups, grouped

CONVOLUTION = "convolution_param { num_output: 4 kernel_size: 1 }"
FIRST = layer("c", "Convolution", "x", "c", CONVOLUTION)
SECOND = layer("d", "Convolution", "c", "d", CONVOLUTION)
LAST = layer("e", "Convolution", "d", "e", CONVOLUTION)


def groups_of(*lines: str, kept: Sequence[str] = (), keep_blobs: FrozenSet[str] = frozenset()) -> Groups:
    built = nets.model(text(*lines), None)
    return grouped(built.net, built.excluded, frozenset(kept), keep_blobs)


def of(groups: Groups) -> Dict[str, np.ndarray]:
    return {value.blob: groups.of[channels.labels] for value, channels in groups.values.items()}


def reason(groups: Groups, blob: str) -> str:
    labels = next(channels.labels for value, channels in groups.values.items() if value.blob == blob)
    return groups.reason(int(labels[0]))


def test_each_channel_between_two_convolutions_has_a_group_of_its_own() -> None:
    found = of(groups_of(FIRST, SECOND, LAST))
    assert [[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]] == [found[blob].tolist() for blob in "cde"]


def test_a_residual_sum_ties_both_branches() -> None:
    found = of(groups_of(FIRST, SECOND, layer("s", "Eltwise", "c d", "s"), LAST.replace('"d"', '"s"')))
    assert [1, 2, 3, 4] == found["c"].tolist() == found["d"].tolist() == found["s"].tolist()


def test_families_are_disjoint_and_hold_every_group_but_0() -> None:
    groups = groups_of(FIRST, SECOND, layer("s", "Concat", "c d", "s"), LAST.replace('"d"', '"s"'))
    assert [[1, 2, 3, 4], [5, 6, 7, 8]] == [family.tolist() for family in groups.families()]
    assert 9 == groups.size


PINS: Dict[str, Dict[str, Any]] = {
    "c is an output of the net": {"lines": [FIRST]},
    "--keep-blob names c": {"lines": [FIRST, SECOND], "keep_blobs": frozenset({"c"})},
    "--keep names Convolution c": {"lines": [FIRST, SECOND], "kept": ["c"]},
    "--keep names Convolution d": {"lines": [FIRST, SECOND], "kept": ["d"]},
    "Sigmoid g reads it, and no power of two passes through it": {"lines": [FIRST, layer("g", "Sigmoid", "c", "g")]},
    "Convolution c shares its weights with another layer": {
        "lines": [
            FIRST.replace("convolution_param", 'param { name: "w" } convolution_param'),
            layer("d", "Convolution", "x", "d", f'param {{ name: "w" }} {CONVOLUTION}'),
            layer("e", "Convolution", "c", "e", CONVOLUTION),
        ]
    },
    "Convolution t, a layer of another phase, works on c": {
        "lines": [FIRST, SECOND, layer("t", "Convolution", "c", "t", f"include {{ phase: TRAIN }} {CONVOLUTION}")]
    },
}


@pytest.mark.parametrize("expected", PINS)
def test_what_pins_a_blob_is_the_reason(expected: str) -> None:
    options = dict(PINS[expected])
    groups = groups_of(*options.pop("lines"), **options)
    assert [0, 0, 0, 0] == of(groups)["c"].tolist()
    assert expected == reason(groups, "c")


def test_a_field_that_is_not_understood_pins() -> None:
    odd = FIRST.replace("kernel_size: 1", "kernel_size: 1 quantized_to: 8")
    assert "c" not in of(groups_of(odd, SECOND))


def test_a_layer_without_numbers_may_be_kept() -> None:
    relu = layer("r", "ReLU", "c", "r")
    assert of(groups_of(FIRST, relu, SECOND.replace('"c"', '"r"'), kept=["r"]))["r"].all()
