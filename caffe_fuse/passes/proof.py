"""Proves each rewrite: the old layers, by their definitions, must equal the new weights as read back from the file.

At most SAMPLES weights of every output channel are drawn and multiplied by a random vector. The result runs through the
chain's layers by their forward functions, in float64, and must equal the result of the new weights.
Nothing here uses the affines or the layouts that the new weights were computed with.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Optional, Sequence

import numpy as np

from ..blobs.blob import FLOAT16, FLOAT32, Blob
from ..errors import InternalError
from ..half.measures import Measures
from ..half.sampling import SAMPLES, Chance, sampled_weights, weights_at
from ..net.graph import Layer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_powers import LayerPowers
    from .rewrite import Rewrite

    Vector = NDArray[np.float64]

# Of a stored type: half a unit in the last place, relative to the value, and the smallest value above 0.
ROUNDINGS = {FLOAT32: (2.0**-24, 2.0**-149), FLOAT16: (2.0**-11, 2.0**-24)}
FLOAT64_NOISE = 2.0**-44  # of some hundred roundings, relative to the magnitudes of their operands


class Outputs(NamedTuple):
    """For each channel: its value, and the sum of the magnitudes of its terms."""

    values: Vector
    size: Vector


class Written(NamedTuple):
    """A rewrite as it was written to the file.

    blobs: of the rewritten layer, read back. powers: the powers of two by which its bottoms and tops are now
    multiplied, for each channel. known: the measures of the blobs before.
    """

    blobs: Sequence[Blob]
    powers: Optional[LayerPowers]
    known: Measures


class Start(NamedTuple):
    """The first outputs of the old layers and of the new one, and the old layers that still have to be applied."""

    old: Outputs
    new: Outputs
    chain: Sequence[Layer]


def from_weights(rewrite: Rewrite, written: Written) -> Start:
    """The start for a layer with weights that absorbed the others: sampled weights of each channel, the same inputs."""
    layer, places = rewrite.target, sampled_weights(rewrite.target, written.known)
    assert places is not None
    chance = _chance(rewrite)
    inputs = chance.random((1, places.shape[1])) + 0.5  # not near 0, which would hide the weight
    new_inputs = inputs if written.powers is None else inputs * written.powers.of_inputs(layer, places)
    old, new = (
        _weighted(blobs, places, vector, written.known)
        for blobs, vector in ((layer.blobs, inputs), (written.blobs, new_inputs))
    )
    return Start(old, new, rewrite.before[rewrite.before.index(layer) + 1 :])


def from_values(rewrite: Rewrite, written: Written) -> Start:
    """The start for layers that became one with a factor for each channel: the same values go through both."""
    values = _chance(rewrite).random((written.blobs[0].count,)) + 0.5
    new_values = values if written.powers is None else np.ldexp(values, written.powers.inputs)
    after = replace(rewrite.after, blobs=tuple(written.blobs))
    new = _through([after], Outputs(new_values, np.abs(new_values)), rewrite)
    return Start(Outputs(values, np.abs(values)), new, rewrite.before)


def from_inputs(rewrite: Rewrite, written: Written) -> Start:
    """The start for a layer with weights that absorbed a chain before it: all its weights, the same inputs.

    For each input channel, and each place of the kernel, one random value goes through the chain. Both sums take in all
    weights: the new bias holds a sum of them all.
    """
    layer = rewrite.target
    position = rewrite.before.index(layer)
    assert layer.layer_type is not None
    absorb = layer.layer_type.absorb
    assert absorb is not None
    shape = absorb.inputs_shape(layer.parameter, layer.blobs[0].shape, rewrite.bottom)
    inputs = _chance(rewrite).random(shape) + 0.5
    chained = inputs.reshape(-1)
    for link in rewrite.before[:position]:
        (chained,) = _forward(link, [chained], shape)
    new_inputs = inputs.reshape(-1)
    if written.powers is not None:
        kernel = shape[-1] if absorb.has_space else 1
        new_inputs = new_inputs * np.repeat(np.ldexp(1.0, written.powers.inputs), kernel)
    old, new = _summed(layer, layer.blobs, chained), _summed(layer, written.blobs, new_inputs)
    return Start(old, new, rewrite.before[position + 1 :])


def _summed(layer: Layer, blobs: Sequence[Blob], inputs: Vector) -> Outputs:
    """The sums of all weights times the inputs, of which there is one for each place of the kernel, and the bias."""
    assert layer.layer_type is not None
    absorb, shape = layer.layer_type.absorb, layer.blobs[0].shape
    assert absorb is not None
    kernel = math.prod(shape[2:]) if absorb.has_space else 1
    bias = blobs[1].array().astype(np.float64).reshape(-1) if len(blobs) > 1 else 0.0
    values, size = (np.zeros(absorb.channels(layer.parameter)) + part for part in (bias, np.abs(bias)))
    first = 0
    for chunk in blobs[0].chunks():
        places = np.arange(first, first + len(chunk))
        terms = chunk * inputs[absorb.inputs(layer.parameter, shape, places) * kernel + places % kernel]
        outputs = absorb.outputs(layer.parameter, shape, places)
        values += np.bincount(outputs, terms, len(values))
        size += np.bincount(outputs, np.abs(terms), len(values))
        first += len(chunk)
    return Outputs(values, size)


def _chance(rewrite: Rewrite) -> Chance:
    return Chance(~rewrite.after.index & 0xFFFFFF)


def prove(
    rewrite: Rewrite,
    blobs: Sequence[Blob],
    powers: Optional[LayerPowers] = None,
    measures: Optional[Measures] = None,
) -> None:
    """Raises InternalError where the written blobs do not compute what the old layers did.

    powers, measures: as in Written.
    """
    old, new, chain = rewrite.rule.start(rewrite, Written(blobs, powers, measures or Measures()))
    expected = _through(chain, old, rewrite)
    if powers is not None:
        expected = Outputs(*(np.ldexp(vector, powers.outputs) for vector in expected))
    # The new values are rounded once: by half a unit in the last place of each term, or of the smallest value.
    unit, smallest = ROUNDINGS[blobs[0].dtype]
    bound = new.size * unit + SAMPLES * smallest + expected.size * FLOAT64_NOISE
    wrong = np.flatnonzero(~(np.abs(expected.values - new.values) < bound))  # so that inf always counts as wrong
    if wrong.size:
        channel = wrong[0]
        raise InternalError(
            f"the proof of layer {rewrite.after.name} failed: channel {channel} is {new.values[channel]:.9g}, "
            f"expected {expected.values[channel]:.9g}",
            remedy="nothing was written; please report this with the two files",
        )


def _weighted(
    blobs: Sequence[Blob], places: NDArray[np.int64], inputs: NDArray[np.float64], known: Measures
) -> Outputs:
    """The sums of the weights at `places` (channels, samples) times inputs of the same shape, plus the bias."""
    weights = weights_at(blobs[0], places, known)
    bias = blobs[1].array().astype(np.float64).reshape(-1) if len(blobs) > 1 else np.zeros(len(places))
    inputs = np.broadcast_to(inputs, weights.shape)
    # As sums of products along the short axis, einsum takes a fraction of the time.
    values, size = (np.einsum("cn,cn->c", *both) for both in ((inputs, weights), (np.abs(inputs), np.abs(weights))))
    return Outputs(values + bias, size + np.abs(bias))


def _through(chain: Sequence[Layer], start: Outputs, rewrite: Rewrite) -> Outputs:
    """The outputs of the chain's layers, applied one by one; `size` is carried along as if each layer were linear."""
    shape = [1] * rewrite.rank
    shape[rewrite.axis] = start.values.size
    values, size = start
    for layer in chain:
        constant, size, values = _forward(layer, (np.zeros_like(values), size, values), shape)
        size = np.abs(size - constant) + np.abs(constant)
    return Outputs(values, size)


def _forward(layer: Layer, bottoms: Sequence[Vector], shape: Sequence[int]) -> Sequence[Vector]:
    """The layer on each bottom alone: a Scale along axis 0 fits one batch size."""
    return [np.ravel(layer.run([bottom.reshape(shape)])[0]) for bottom in bottoms]
