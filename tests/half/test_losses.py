"""Which channels half precision loses, and which of these losses do no harm."""

from __future__ import annotations

from typing import Dict, List, Tuple

import nets
import numpy as np
import pytest
from nets import layer, text

from caffe_fuse.half.influence import Effects
from caffe_fuse.half.lost_channels import losses
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


def found(net: Net, harmful: bool = False, policy: HalfPolicy = IEEE) -> List[Tuple[str, int, List[int], List[int]]]:
    effects = Effects(net.layers, grouped(net, (), frozenset(), frozenset()), policy)
    return [
        (loss.layer.name, loss.blob, loss.channels.tolist(), loss.overflow.tolist())
        for loss in losses(net.layers, effects.of_errors if harmful else None, policy)
    ]


def test_a_healthy_net_loses_nothing() -> None:
    assert [] == found(net_of({}))


@pytest.mark.parametrize("factor", [1e6, np.inf])
def test_a_channel_that_overflows_is_lost(factor: float) -> None:
    assert [("c", 0, [2], [2])] == found(net_of({("c", 0, 2): factor}))
    assert [("c", 1, [4], [4])] == found(net_of({("c", 1, 4): factor}))


def test_a_channel_of_tiny_weights_is_lost() -> None:
    assert [("c", 0, [5], [])] == found(net_of({("c", 0, 5): 1e-7}))


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
    assert [] == found(net_of(dead), harmful=True)
    blobs = nets.numbers(PROTOTXT)
    for blob in blobs["c"]:
        blob[5] *= np.float32(1e-7)
    blobs["d"][0][:, 5] *= np.float32(1e4)
    blobs["d"][0][:, :5] *= np.float32(1e-3)
    net = nets.model(PROTOTXT, nets.caffemodel(PROTOTXT, blobs)).net
    assert [("c", 0, [5], []), ("c", 1, [5], [])] == found(net, harmful=True)


def test_a_channel_of_an_output_is_never_harmless() -> None:
    assert [("d", 0, [1], [])] == found(net_of({("d", 0, 1): 1e-7}), harmful=True)


def test_an_overflow_is_never_harmless() -> None:
    assert [("c", 0, [2], [2])] == found(net_of({("c", 0, 2): 1e6}), harmful=True)
