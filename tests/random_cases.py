"""Random models with random options of `fuse`, for oracle.py. The same seed yields the same case."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

import nets
import numpy as np
from old_forms import V1_NAMES, as_v1, as_v1_weights
from random_nets import Seeded, WideBuilder
from reference.files import message_class, read_net
from reference.net import is_included

Files = Tuple[bytes, bytes]


@dataclass(frozen=True)
class Case:
    """A model as V2 prototxt and caffemodel, and the same in the form that the command reads."""

    seed: int
    model: Files
    given: Files
    form: str  # V2, V1, or V2 with HDF5 weights
    inputs: Mapping[str, np.ndarray]
    options: Mapping[str, Any]  # of caffe_fuse.fuse


def random_case(seed: int) -> Case:
    choices = Seeded(seed)
    random = np.random.RandomState(seed % 2**32)
    shape = tuple(choices.number(*ends) for ends in ((1, 3), (2, 6), (4, 8), (4, 8)))
    prototxt = WideBuilder(choices, shape=shape).net(choices.number(1, 6))
    spread = choices.one_of([0, 0, 3, 10])
    blobs = {name: scattered(arrays, random, spread) for name, arrays in nets.numbers(prototxt, seed % 1000).items()}
    model = prototxt, nets.caffemodel(prototxt, blobs)
    form = choices.one_of(["V2", "V2", "V2", "HDF5", "V1"])
    types = {layer.type for layer in read_net(prototxt).layer}
    if form == "V1" and not types <= set(V1_NAMES):
        form = "V2"
    inputs = {"x": nets.spread(shape, seed % 1000 + 7)}
    return Case(seed, model, _in_form(form, model, blobs), form, inputs, _options(choices, prototxt))


def scattered(arrays: List[np.ndarray], random: np.random.RandomState, spread: int) -> List[np.ndarray]:
    """Multiplies rows of weights, means and variances by powers of two, up to 2^spread either way.

    Some values then overflow half precision, and some lose precision. One factor of a BatchNorm in eight becomes 0.
    """
    first, *rest = arrays
    powers = random.randint(-spread, spread + 1, (len(first), *[1] * (first.ndim - 1))) if first.ndim else np.int64(0)
    if first.ndim == 1 and len(rest) == 2:  # BatchNorm
        factor = rest[1] if random.randint(8) else np.zeros_like(rest[1])
        return [np.ldexp(first, powers), np.ldexp(rest[0], 2 * powers), factor]
    return [np.ldexp(first, powers), *rest] if first.ndim > 1 else arrays


def _in_form(form: str, model: Files, blobs: Mapping[str, List[np.ndarray]]) -> Files:
    if form == "V1":
        return as_v1(model[0]), as_v1_weights(model[1])
    return (model[0], nets.hdf5(_owned(model[0], blobs))) if form == "HDF5" else model


def _owned(prototxt: bytes, blobs: Mapping[str, List[np.ndarray]]) -> Dict[str, Dict[int, np.ndarray]]:
    """Returns the blobs as Caffe writes HDF5: a group for each layer that takes part, shared blobs in the first.

    Of shared blobs Caffe keeps the last one in a caffemodel.
    """
    layers = [layer for layer in read_net(prototxt).layer if is_included(layer, "TEST", 0, ())]
    found: Dict[str, Dict[int, np.ndarray]] = {layer.name: {} for layer in layers}
    owners: Dict[str, Tuple[str, int]] = {}
    for layer in layers:
        for place, array in enumerate(blobs.get(layer.name, ())):
            named = layer.param[place].name if place < len(layer.param) else ""
            owner, index = owners.setdefault(named, (layer.name, place)) if named else (layer.name, place)
            found[owner][index] = array
    return found


def _options(choices: Seeded, prototxt: bytes) -> Dict[str, Any]:
    names = [layer.name for layer in read_net(prototxt).layer if is_included(layer, "TEST", 0, ())]
    return {
        "rescale": choices.one_of(["needed", "needed", "always", "never"]),
        "half_policy": choices.one_of(["ieee", "ieee", "flush", "off"]),
        "keep": [name for name in names if choices.number(0, 9) == 0] if choices.number(0, 3) == 0 else [],
        "blob_type": choices.one_of(["float32", "float32", "float16"]),
        "weights_format": choices.one_of([None, "caffemodel", "hdf5"]),
        "prune": choices.coin(),
        "folds": choices.one_of(["direct", "all"]),
        "simplify": choices.one_of([False, False, True]),
    }


def caffe_reads(prototxt: bytes) -> bool:
    """Returns whether real Caffe knows all types of the net: its V1 types do not include BatchNorm and Scale."""
    labels = message_class("V1LayerParameter").DESCRIPTOR.enum_types_by_name["LayerType"].values_by_name
    return all(
        name in labels and labels[name].number < 40 for name in re.findall(r"type: ([A-Z_]\w+)", prototxt.decode())
    )
