"""Which channels half precision loses, and which of these losses do no harm."""

from __future__ import annotations

from typing import Dict, List, Tuple

import nets
import numpy as np
import pytest
from nets import layer, text
from pieces import Pieces

from caffe_fuse.blobs.blob import ArrayBlob
from caffe_fuse.blobs.scaled import Layout, ScaledBlob
from caffe_fuse.half.influence import Effects
from caffe_fuse.half.lost_channels import harmful, losses, overflowing
from caffe_fuse.half.rounding import GENERIC, IEEE, HalfPolicy
from caffe_fuse.net.graph import Net
from caffe_fuse.net.scale_groups import grouped

FIRST = layer("c", "Convolution", "x", "c", "convolution_param { num_output: 6 kernel_size: 3 }")
LAST = layer("d", "Convolution", "c", "d", "convolution_param { num_output: 3 kernel_size: 1 }")
PROTOTXT = text(FIRST, layer("r", "ReLU", "c", "c"), LAST)


def net_of(change: Dict[Tuple[str, int, int], float]) -> Net:
    """Returns the net with the values of some (layer, blob, channel) times a factor."""
    blobs = nets.numbers(PROTOTXT)
    for (name, blob, channel), factor in change.items():
        blobs[name][blob][channel] *= np.float32(factor)
    return nets.model(PROTOTXT, nets.caffemodel(PROTOTXT, blobs)).net


def found(
    net: Net, only_harmful: bool = False, policy: HalfPolicy = IEEE
) -> List[Tuple[str, int, List[int], List[int]]]:
    lost = losses(net.layers, policy)
    if only_harmful:
        lost = harmful(lost, Effects(net.layers, grouped(net, (), frozenset(), frozenset()), policy).of_errors)
    return [(loss.layer.name, loss.blob, loss.channels.tolist(), loss.overflow.tolist()) for loss in lost]


def test_a_healthy_net_loses_nothing() -> None:
    assert [] == found(net_of({}))


@pytest.mark.parametrize("factor", [1e6, np.inf])
def test_a_channel_that_overflows_is_lost(factor: float) -> None:
    assert [("c", 0, [2], [2])] == found(net_of({("c", 0, 2): factor}))
    assert [("c", 1, [4], [4])] == found(net_of({("c", 1, 4): factor}))


@pytest.mark.parametrize("size", [1, 5, 7, 12, 30])
@pytest.mark.parametrize("number", [65520.0, -65520.0, np.inf, -np.inf, np.nan])
def test_what_overflows_is_of_its_channel_wherever_a_chunk_ends(number: float, size: int) -> None:
    values = np.full(24, 65519, np.float32)
    values[17] = number
    # 2 groups of 2 inputs and 3 outputs with a kernel of 2: it is in the last output of the second group.
    assert [5] == overflowing(Pieces(values, size), Layout(2, 2, 3, 2)).tolist()


@pytest.mark.parametrize(("number", "lost"), [(32759.0, []), (32760.0, [2]), (-32760.0, [2])])
def test_a_recipe_that_reaches_65520_overflows(number: float, lost: List[int]) -> None:
    net = net_of({})
    weights = net.layers[0].blobs[0].array().copy()
    weights[2, 0, 0, 0] = number
    scaled = ScaledBlob(ArrayBlob(weights), Layout(1, 1, 6, weights[0].size), np.full(6, 2.0))
    first = net.layers[0]
    changed = net.with_layers([first.rewritten(first.parameter, (scaled, first.blobs[1])), *net.layers[1:]])
    assert [("c", 0, lost, lost)] * len(lost) == found(changed)


@pytest.mark.parametrize("factor", [1e-7, 1e-6])
def test_a_channel_of_tiny_weights_is_lost(factor: float) -> None:
    """Of 1e-6 the 3e-8 that a subnormal half is off are 30 dB."""
    assert [("c", 0, [5], [])] == found(net_of({("c", 0, 5): factor}))


@pytest.mark.parametrize(("name", "lost"), [("ieee", []), ("flush", [5])])
def test_what_is_lost_of_a_small_bias_is_up_to_the_device(name: str, lost: List[int]) -> None:
    """2^-15 is a half, and 0 where it is flushed; the weights beside it are 0."""
    blobs = nets.numbers(PROTOTXT)
    blobs["c"][0][5], blobs["c"][1][5] = 0, 2.0**-15
    net = nets.model(PROTOTXT, nets.caffemodel(PROTOTXT, blobs)).net
    assert [("c", 1, lost, [])] * len(lost) == found(net, policy=GENERIC[name])


@pytest.mark.parametrize("harmful", [False, True])
@pytest.mark.parametrize(
    ("name", "factor", "lost"),
    [
        ("ieee", 3e-5, []),
        ("flush", 3e-5, [5]),
        ("flush", 1e-2, []),
        ("truncate", 3e-5, []),
        ("ieee", 5e-6, []),
        ("truncate", 5e-6, [5]),
        ("saturate", 3e-5, []),
    ],
)
def test_what_is_lost_of_small_weights_is_up_to_the_device(
    name: str, factor: float, lost: List[int], harmful: bool
) -> None:
    """Weights from 0.05 to 1: flushing makes those below 6e-5 zero, truncation loses up to 6e-8 of each."""
    blobs = nets.numbers(PROTOTXT)
    shape = blobs["c"][0][5].shape
    blobs["c"][0][5] = np.linspace(0.05, 1, blobs["c"][0][5].size, dtype=np.float32).reshape(shape) * factor
    blobs["c"][1][5] = 0
    blobs["d"][0][:, 5] = 1 / np.float32(factor)
    net = nets.model(PROTOTXT, nets.caffemodel(PROTOTXT, blobs)).net
    assert [("c", 0, lost, [])] * len(lost) == [each for each in found(net, harmful, GENERIC[name]) if each[0] == "c"]


def test_a_channel_of_zeros_is_not_lost() -> None:
    assert [] == found(net_of({("c", 0, 5): 0, ("c", 1, 5): 0}))


def test_a_tiny_bias_is_lost_only_if_its_weights_are_tiny_as_well() -> None:
    assert [] == found(net_of({("c", 1, 1): 1e-7}))
    assert [("c", 0, [1], []), ("c", 1, [1], [])] == found(net_of({("c", 0, 1): 1e-7, ("c", 1, 1): 1e-7}))


def test_a_dead_channel_does_no_harm_unless_the_next_layer_makes_it_large() -> None:
    dead = {("c", 0, 5): 1e-7, ("c", 1, 5): 1e-7}
    assert [] == found(net_of(dead), only_harmful=True)
    blobs = nets.numbers(PROTOTXT)
    for blob in blobs["c"]:
        blob[5] *= np.float32(1e-7)
    blobs["d"][0][:, 5] *= np.float32(1e4)
    blobs["d"][0][:, :5] *= np.float32(1e-3)
    net = nets.model(PROTOTXT, nets.caffemodel(PROTOTXT, blobs)).net
    assert [("c", 0, [5], []), ("c", 1, [5], [])] == found(net, only_harmful=True)


def test_a_channel_of_an_output_is_never_harmless() -> None:
    assert [("d", 0, [1], [])] == found(net_of({("d", 0, 1): 1e-7}), only_harmful=True)


def test_an_overflow_is_never_harmless() -> None:
    assert [("c", 0, [2], [2])] == found(net_of({("c", 0, 2): 1e6}), only_harmful=True)
