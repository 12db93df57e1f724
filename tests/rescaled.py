"""Nets with powers of two on their channels, and checks that nothing else has changed."""

from __future__ import annotations

import dataclasses
from typing import Dict, List, Tuple

import nets
import numpy as np
from reference import trace

import caffe_fuse
from caffe_fuse.folding.result import Result
from caffe_fuse.folding.save import rendered
from caffe_fuse.net.graph import Net
from caffe_fuse.net.scale_groups import Groups, grouped
from caffe_fuse.rescale.rescale import Rescaling

Files = Tuple[bytes, bytes]
Values = Dict[str, List[np.ndarray]]


def files(result: Result, net: Net) -> Files:
    """Returns the two files of a result, with this net instead of its own."""
    model = dataclasses.replace(result.model, net=net)
    return rendered(model, result.options), nets.written(model)


def spread(
    prototxt: bytes, blobs: nets.Blobs, seed: int, reach: int
) -> Tuple[Files, Files, Dict[str, Tuple[int, ...]]]:
    """Returns a fold, the same with a random power of two on each group of channels, and the exponents by blob."""
    model = nets.model(prototxt, nets.caffemodel(prototxt, blobs))
    result = caffe_fuse.fuse(model, half_policy="off", folds="direct")  # a Scale stays one
    net = result.model.net
    groups: Groups = grouped(net, (), frozenset(), frozenset())
    powers = np.random.RandomState(seed).randint(-reach, reach + 1, groups.size)
    powers[0] = 0
    rescaling = Rescaling(net, groups, {})
    return files(result, net), files(result, rescaling.rescaled(powers)), rescaling.exponents(powers)


def values(net: Files, inputs: Dict[str, np.ndarray]) -> Values:
    """Returns all float32 values of all blobs."""
    with np.errstate(all="ignore"):
        versions = trace(*net, inputs, "TEST", np.float32).versions
    found: Values = {}
    for name, kept in versions.items():
        found[name] = [each.value for each in kept if each.value is not None]
    return found


def multiplied(value: np.ndarray, exponents: Tuple[int, ...]) -> np.ndarray:
    """Returns the value times 2^exponents along the axis that has as many channels: axis 1, or the last one."""
    axis = 1 if value.shape[1] == len(exponents) else value.ndim - 1
    shape = [1] * value.ndim
    shape[axis] = len(exponents)
    return np.ldexp(value, np.reshape(exponents, shape))


def differences(before: Values, after: Values, exponents: Dict[str, Tuple[int, ...]]) -> List[str]:
    """Returns blobs whose last value is not, to the last bit, what it was times its powers of two."""
    wrong = []
    for name, kept in before.items():
        expected = multiplied(kept[-1], exponents[name]) if name in exponents else kept[-1]
        if not np.array_equal(expected, after[name][-1], equal_nan=True):
            wrong.append(name)
    return wrong
