"""Each new weight and bias is the exact value rounded once to float32.

The exact values are computed here in long double, from the original blobs and Caffe's definitions of the layers; `size`
is the sum of the magnitudes that make up an exact value, for the rounding of the package's float64.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence

import numpy as np
import pytest
import truth
from hypothesis import given
from nets import Fused, fuse, numbers
from reference.files import read_net
from strategies_nets import nets

from caffe_fuse.passes import Rewrite

EXACT = np.longdouble
NETS = [name for pattern in ("fold-*", "net-*", "random-*", "keep-*") for name in truth.names(pattern)]


class Affine(NamedTuple):
    """y = scale * x + shift; each of shape (channels,) or (1,)."""

    scale: np.ndarray
    shift: np.ndarray
    size: np.ndarray


def of_layer(parameter: Any, blobs: Sequence[np.ndarray]) -> Affine:
    flat = [blob.astype(EXACT).reshape(-1) for blob in blobs]
    one, zero = np.ones(1, EXACT), np.zeros(1, EXACT)
    if parameter.type == "BatchNorm":
        mean, variance, factor = flat
        divisor = factor[0]
        mean, variance = (blob / divisor if divisor else blob * 0 for blob in (mean, variance))
        scale = 1 / np.sqrt(variance + EXACT(np.float32(parameter.batch_norm_param.eps)))
        return Affine(scale, -mean * scale, np.abs(mean * scale))
    if parameter.type == "Scale":
        shift = flat[1] if len(flat) > 1 else zero
        return Affine(flat[0], shift, np.abs(shift))
    if parameter.type == "Bias":
        return Affine(one, flat[0], np.abs(flat[0]))
    if parameter.type == "Power":
        settings = parameter.power_param
        shift = one * EXACT(np.float32(settings.shift))
        return Affine(one * EXACT(np.float32(settings.scale)), shift, np.abs(shift))
    assert parameter.type == "Dropout"
    return Affine(one, zero, zero)


def of_chain(layers: Sequence[Affine]) -> Affine:
    scale, shift, size = np.ones(1, EXACT), np.zeros(1, EXACT), np.zeros(1, EXACT)
    for each in layers:
        scale, shift = scale * each.scale, shift * each.scale + each.shift
        size = size * np.abs(each.scale) + each.size
    return Affine(scale, shift, size)


def per_weight(parameter: Any, shape: Sequence[int], scale: np.ndarray) -> np.ndarray:
    """Returns the factor of each weight, that of its output channel (base_conv_layer.cpp, inner_product_layer.cpp)."""
    factors = np.empty(shape, EXACT)
    if parameter.type == "InnerProduct":
        for output in range(parameter.inner_product_param.num_output):
            where = (Ellipsis, output) if parameter.inner_product_param.transpose else (Ellipsis, output, slice(None))
            factors[where] = scale[output]
        return factors
    outputs, group = parameter.convolution_param.num_output, parameter.convolution_param.group
    for output in range(outputs):
        if parameter.type == "Convolution":
            factors[output] = scale[output]
        else:
            inputs, own = shape[0] // group, outputs // group
            first = output // own * inputs
            factors[first : first + inputs, output % own] = scale[output]
    return factors


def is_rounded_once(written: np.ndarray, exact: np.ndarray, size: np.ndarray) -> bool:
    half_unit = np.spacing(np.abs(exact).astype(np.float32)).astype(EXACT) / 2
    allowed = half_unit * (1 + EXACT(1e-6)) + np.broadcast_to(size, exact.shape) * EXACT(2) ** -49
    return bool(np.all(np.abs(written.reshape(exact.shape).astype(EXACT) - exact) <= allowed))


def check(rewrite: Rewrite, parameters: Dict[str, Any], written: Sequence[np.ndarray]) -> None:
    members = [(parameters[each.name], [blob.array() for blob in each.blobs]) for each in rewrite.before]
    first, blobs = members[0]
    if rewrite.rule.name == "merge":
        affine = of_chain([of_layer(*member) for member in members])
        exact = np.broadcast_arrays(affine.scale, affine.shift, affine.size)
        assert is_rounded_once(written[0], exact[0], np.abs(exact[0]))
        assert is_rounded_once(written[1], exact[1], exact[2])
        return
    affine = of_chain([of_layer(*member) for member in members[1:]])
    outputs = written[1].size
    scale, shift, size = (np.broadcast_to(values, (outputs,)) for values in affine)
    bias = blobs[1].astype(EXACT).reshape(-1) if len(blobs) > 1 else np.zeros(outputs, EXACT)
    weights = blobs[0].astype(EXACT) * per_weight(first, blobs[0].shape, scale)
    assert is_rounded_once(written[0], weights, np.abs(weights))
    assert is_rounded_once(written[1], bias * scale + shift, np.abs(bias * scale) + size)


def check_all(fused: Fused, prototxt: bytes) -> int:
    """Checks each rewrite, and returns how many there were."""
    parameters = {each.name: each for each in read_net(prototxt).layer}
    rewrites: List[Rewrite] = list(fused.result.facts.progress.rewrites)
    for rewrite in rewrites:
        check(rewrite, parameters, fused.arrays[rewrite.after.name])
    return len(rewrites)


@pytest.mark.parametrize("name", NETS)
def test_every_number_of_a_recorded_net_is_rounded_once(name: str) -> None:
    net = truth.load(name)
    count = check_all(fuse(net.prototxt, weights=net.weights, folds="direct"), net.prototxt)
    assert (count > 0) == (name not in UNTOUCHED)


UNTOUCHED = {
    "keep-batch-stats",
    "keep-lone-scale",
    "keep-power-nonlinear",
    "keep-scale-spatial",
    "keep-scale-two-bottoms",
}


@given(nets())
def test_every_number_of_any_net_is_rounded_once(prototxt: bytes) -> None:
    check_all(fuse(prototxt, numbers(prototxt), folds="direct"), prototxt)


def test_numbers_that_differ_by_a_unit_in_the_last_place_are_told_apart() -> None:
    exact = np.array([1 / EXACT(3), -(EXACT(2) ** -140), EXACT(7)])
    right = exact.astype(np.float32)
    assert is_rounded_once(right, exact, np.abs(exact))
    for place in range(3):
        wrong = right.copy()
        wrong[place] = np.nextafter(wrong[place], np.float32(np.inf))
        assert not is_rounded_once(wrong, exact, np.abs(exact))
