"""The share of a channel in the sums of its consumers, against sums written out by hand."""

from __future__ import annotations

from typing import Dict, List

import nets
import numpy as np
import pytest
from nets import layer, text

from caffe_fuse.half.influence import Effects
from caffe_fuse.net.graph import Layer, Net
from caffe_fuse.net.scale_groups import Groups, grouped
from caffe_fuse.rescale.rescale import Rescaling

POINTWISE = "convolution_param { num_output: %d kernel_size: 1 %s }"
FIRST = layer("c", "Convolution", "x", "c", POINTWISE % (3, ""))
LAST = layer("d", "Convolution", "c", "d", POINTWISE % (2, ""))
DEPTHWISE = layer("w", "Convolution", "c", "w", POINTWISE % (3, "group: 3 bias_term: %s"))
Arrays = Dict[str, List[np.ndarray]]


def net_of(prototxt: bytes, blobs: Arrays) -> Net:
    arrays = {name: [np.asarray(blob, np.float32) for blob in each] for name, each in blobs.items()}
    return nets.model(prototxt, nets.caffemodel(prototxt, arrays)).net


def groups_of(net: Net) -> Groups:
    return grouped(net, (), frozenset(), frozenset())


def named(net: Net, name: str) -> Layer:
    return next(layer for layer in net.layers if layer.name == name)


def chain(bias: float = 0.0) -> Net:
    """x of two channels -> c of three -> d of two."""
    weights = np.array([[1, 2 + 2.0**-12], [3, 0], [1e-9, 0]]).reshape(3, 2, 1, 1)
    last = np.array([[1, 2, 1], [0, 4, 1]]).reshape(2, 3, 1, 1)
    blobs = {"c": [weights, np.zeros(3)], "d": [last, np.array([bias, 0])]}
    return net_of(text(FIRST, LAST, shape=(1, 2, 3, 3)), blobs)


@pytest.mark.parametrize("bias", [0.0, 10.0])
def test_the_errors_of_a_channel_are_a_share_of_the_sums_that_read_it(bias: float) -> None:
    net = chain(bias)
    effects = Effects(net.layers, groups_of(net))
    # 2 + 2^-12 is off by 2^-12, 1e-9 by all of itself; inputs have energy 1.
    energies = np.array([1 + (2 + 2.0**-12) ** 2, 9, 1e-18])
    sums = np.array([[1, 4, 1], [0, 16, 1]]) @ energies + [bias**2, 0]
    expected = [2.0**-24 / sums[0], 0, 1e-18 / sums.min()]
    np.testing.assert_allclose(effects.of_errors(named(net, "c"), np.arange(3)), expected, rtol=1e-6)


def test_an_output_of_the_net_has_an_effect_that_nobody_knows() -> None:
    net = chain()
    effects = Effects(net.layers, groups_of(net))
    assert [np.inf, np.inf] == effects.of_errors(named(net, "d"), np.arange(2)).tolist()


def test_a_channel_without_effect_is_dead() -> None:
    net = chain()
    groups = groups_of(net)
    assert [False, False, False, True] == Effects(net.layers, groups).dead.tolist()


def test_what_the_net_reads_is_never_dead() -> None:
    """However little it adds: all inputs of a net, and what no power of two passes through, are one group."""
    weights, bias = np.full((3, 2, 1, 1), 1e-6), np.full(3, 10.0)
    blobs = {"c": [weights, bias], "d": [np.ones((2, 3, 1, 1)), np.zeros(2)]}
    net = net_of(text(FIRST, LAST, shape=(1, 2, 3, 3)), blobs)
    assert [False] * 4 == Effects(net.layers, groups_of(net)).dead.tolist()


@pytest.mark.parametrize("bias", ["true", "false"])
def test_a_channel_that_only_a_dead_one_reads_is_dead(bias: str) -> None:
    prototxt = text(FIRST, DEPTHWISE % bias, LAST.replace('"c"', '"w"'), shape=(1, 2, 3, 3))
    blobs: Arrays = {name: list(arrays) for name, arrays in nets.numbers(prototxt).items()}
    blobs["w"][0] = np.array([1, 1e-14, 1]).reshape(3, 1, 1, 1)
    if bias == "true":
        blobs["w"][1] = np.array([0, 1e-12, 1])
    net = net_of(prototxt, blobs)
    groups = groups_of(net)
    dead = Effects(net.layers, groups).dead
    of = {value.blob: groups.of[channels.labels] for value, channels in groups.values.items()}
    assert [False, True, False] == dead[of["c"]].tolist() == dead[of["w"]].tolist()


def test_powers_of_two_change_nothing_about_what_is_dead() -> None:
    prototxt = text(FIRST, DEPTHWISE % "false", LAST.replace('"c"', '"w"'), shape=(1, 2, 3, 3))
    net = net_of(prototxt, {name: list(arrays) for name, arrays in nets.numbers(prototxt).items()})
    groups = groups_of(net)
    powers = np.array([0, 20, -20, 13, -18, 22, 1])
    moved = Rescaling(net, groups, {}).rescaled(powers)
    assert not Effects(net.layers, groups).dead.any()
    assert not Effects(moved.layers, groups).dead.any()
    for before, after in zip(net.layers[:2], moved.layers):
        asked = np.arange(3)
        expected = Effects(moved.layers, groups).of_errors(after, asked)
        np.testing.assert_allclose(expected, Effects(net.layers, groups).of_errors(after, asked, powers), rtol=1e-12)
        assert before.name == after.name
