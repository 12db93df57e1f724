"""Builds a net as Caffe's Net::Init does and runs it layer by layer, keeping every value of every blob."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .files import Record, Weights, read_net, read_weights, stored_blob
from .rules import LAYERS, LEARNING, CaffeAbort, Forward, Layer, NotComputed, Stored

Owner = Tuple[int, int]  # a layer's place in the net, a blob's place in the layer
Place = Tuple[str, int]  # a blob, and which of its values
Decisions = Mapping[Tuple[str, str], np.ndarray]  # by layer and blob

# Which tops of a layer are decisions.
_DECIDED = {"ArgMax": (0,), "Threshold": (0,), "Accuracy": (0, 1), "Pooling": (1,)}
# Layers that move values, cut them off or saturate: whether a float32 run shows its error after them is chance.
# The largest sum of |d top / d bottom|; of a Softmax it is 2p(1 - p).
_SLOPES = {
    "Softmax": 0.5,
    "Sigmoid": 0.25,
    **dict.fromkeys(("AbsVal", "Clip", "ReLU", "ReLU6", "TanH"), 1.0),
    **dict.fromkeys(("Concat", "Crop", "Dropout", "Flatten", "Permute", "Reshape", "Slice", "Split"), 1.0),
}

# A net runs in float64 and in float32, and reading a long text takes longer than a small picture.
_parsed = lru_cache(maxsize=2)(read_net)


@dataclass(frozen=True)
class Version:
    """One value that a blob had. `value` is None after an unknown layer."""

    blob: str
    layer: str  # the layer that wrote it, "" for an input of the net
    value: Optional[np.ndarray]
    magnitude: float  # the largest |value|; of a ReLU's top, the largest |value| of its bottom
    decided: bool = False  # it jumps where its bottom moves by a rounding: a place, a class, a 0 or a 1
    slope: float = 0.0  # how much of a difference in `bottoms` comes out at most, where that is known
    bottoms: Tuple[Place, ...] = ()


@dataclass(frozen=True)
class Trace:
    """The results of one forward pass."""

    versions: Dict[str, List[Version]]
    unknown_layers: Tuple[str, ...]

    def last(self) -> Dict[str, np.ndarray]:
        """Returns the last value of every blob that is known."""
        return {name: kept[-1].value for name, kept in self.versions.items() if kept[-1].value is not None}

    def decisions(self) -> Decisions:
        """Returns the values that jump if their bottoms move by a rounding."""
        every = (each for kept in self.versions.values() for each in kept)
        return {(each.layer, each.blob): each.value for each in every if each.decided and each.value is not None}


def run(
    prototxt: bytes,
    weights: Weights,
    inputs: Mapping[str, np.ndarray],
    phase: str = "TEST",
    dtype: Any = np.float64,
    level: int = 0,
    stages: Sequence[str] = (),
) -> Dict[str, np.ndarray]:
    """Returns the last value of every blob: `trace(...).last()`."""
    return trace(prototxt, weights, inputs, phase, dtype, level, stages).last()


def trace(
    prototxt: bytes,
    weights: Weights,
    inputs: Mapping[str, np.ndarray],
    phase: str = "TEST",
    dtype: Any = np.float64,
    level: int = 0,
    stages: Sequence[str] = (),
    decisions: Optional[Decisions] = None,
    table: Mapping[str, Forward] = LAYERS,
) -> Trace:
    """Runs a net once.

    `weights`: a caffemodel, an HDF5 file, or arrays by layer. `inputs`: a value for each input of the net;
    tops of data layers are taken from here too. `dtype`: the type that every layer computes in. `decisions`: those of
    another run, which are kept: two runs that differ by roundings can be compared after them. `table`: the function of
    each layer type.
    Raises CaffeAbort where Caffe would stop.
    """
    net = _parsed(prototxt)
    stages = (*stages, *net.state.stage)  # Caffe: net.cpp, the constructor adds to those of the file
    parameters = [layer for layer in net.layer if is_included(layer, phase, level, stages)]
    _check_wiring(net.input, parameters)
    layers = _bind(parameters, weights, phase == "TEST", np.dtype(dtype))
    versions: Dict[str, List[Version]] = {}
    unknown: List[str] = []
    owners: Dict[str, str] = {}
    for name in net.input:
        versions[name] = [_version(name, "", inputs[name].astype(dtype))]
    for layer in layers:
        _step(layer, inputs, versions, unknown, decisions or {}, table)
        _share(layer.parameter, versions, owners)
    return Trace(versions, tuple(unknown))


def is_included(layer: Any, phase: str, level: int, stages: Sequence[str]) -> bool:
    """Caffe: net.cpp:261-353."""
    if layer.include and layer.exclude:
        raise CaffeAbort(f"layer {layer.name} has include and exclude rules")
    if layer.include:
        return any(_meets(rule, phase, level, stages) for rule in layer.include)
    return not any(_meets(rule, phase, level, stages) for rule in layer.exclude)


def _meets(rule: Any, phase: str, level: int, stages: Sequence[str]) -> bool:
    return not (
        (rule.HasField("phase") and rule.phase != {"TRAIN": 0, "TEST": 1}[phase])
        or (rule.HasField("min_level") and level < rule.min_level)
        or (rule.HasField("max_level") and level > rule.max_level)
        or not set(rule.stage) <= set(stages)
        or set(rule.not_stage) & set(stages)
    )


def _check_wiring(inputs: Sequence[str], parameters: Sequence[Any]) -> None:
    """Caffe: net.cpp:366-373, a blob is written again only in place.

    The layer then has to be the only consumer of what it overwrites: for several consumers Caffe inserts a Split and
    renames the bottoms, and the layer is no longer in place (insert_splits.cpp).
    """
    newest: Dict[str, int] = dict.fromkeys(inputs, 0)
    readers: Dict[Tuple[str, int], int] = Counter()
    overwritten: Dict[Tuple[str, int], str] = {}
    for parameter in parameters:
        for name in parameter.bottom:
            if name not in newest:
                raise CaffeAbort(f"layer {parameter.name}: unknown bottom blob {name}")
            readers[name, newest[name]] += 1
        for index, name in enumerate(parameter.top):
            if name in newest:
                if parameter.bottom[index : index + 1] != [name]:
                    raise CaffeAbort(f"layer {parameter.name}: top blob {name} is produced by multiple sources")
                overwritten[name, newest[name]] = parameter.name
            newest[name] = newest.get(name, -1) + 1
    for version, layer in overwritten.items():
        if readers[version] > 1:
            raise CaffeAbort(f"layer {layer} overwrites blob {version[0]}, which another layer reads")


def _bind(parameters: Sequence[Any], weights: Weights, is_test: bool, dtype: np.dtype) -> List[Layer]:
    """Assigns each layer its blobs. Shared ones have one memory, so the last in the file wins."""
    owners = _owners(parameters)
    memory: Dict[Owner, Stored] = {}
    for place, parameter in enumerate(parameters):
        for index, blob in enumerate(parameter.blobs):  # Caffe: layer.hpp:44-50, blobs inside the prototxt
            if owners.get((place, index), (place, index)) == (place, index):
                memory[place, index] = stored_blob(blob)
    records, is_hdf5 = read_weights(weights)
    counts: Dict[int, int] = {}
    for place, blobs in _targets(parameters, records, is_hdf5):
        # HDF5 files hold a shared blob only at its owner (Caffe: net.cpp:821-829, 892-896)
        shared = {index for owner, index in owners if owner == place} if is_hdf5 else set()
        counts[place] = len(shared | set(blobs))
        for index, stored in blobs.items():
            memory[owners.get((place, index), (place, index))] = stored
    stored_by_place: Dict[int, Dict[int, Stored]] = {}
    for place, index in {*memory, *owners}:
        owner = owners.get((place, index), (place, index))
        if owner in memory:
            stored_by_place.setdefault(place, {})[index] = memory[owner]
    return [
        Layer(parameter, is_test, dtype, stored_by_place.get(place, {}), counts.get(place))
        for place, parameter in enumerate(parameters)
    ]


def _owners(parameters: Sequence[Any]) -> Dict[Owner, Owner]:
    """Returns the blob whose memory a named blob shares. Caffe: net.cpp:443-515, the first of a name owns it."""
    first: Dict[str, Owner] = {}
    owners: Dict[Owner, Owner] = {}
    for place, parameter in enumerate(parameters):
        for index, spec in enumerate(parameter.param):
            if spec.name:
                owners[place, index] = first.setdefault(spec.name, (place, index))
    return owners


def _targets(
    parameters: Sequence[Any], records: Sequence[Record], is_hdf5: bool
) -> Iterator[Tuple[int, Dict[int, Stored]]]:
    """Caffe: net.cpp:735-770, the first layer of the name; HDF5, net.cpp:253 and 790-842: the last."""
    places: Dict[str, int] = {}
    for place, parameter in enumerate(parameters):
        if is_hdf5 or parameter.name not in places:
            places[parameter.name] = place
    for name, blobs in records:
        if name in places:
            yield places[name], blobs


def _step(
    layer: Layer,
    inputs: Mapping[str, np.ndarray],
    versions: Dict[str, List[Version]],
    unknown: List[str],
    decisions: Decisions,
    table: Mapping[str, Forward],
) -> None:
    """Runs one layer; the tops of an unknown layer are None."""
    parameter = layer.parameter
    places = tuple((name, len(versions[name]) - 1) for name in parameter.bottom)
    bottoms = [versions[name][-1] for name in parameter.bottom]
    tops = _tops(layer, [bottom.value for bottom in bottoms], inputs, unknown, table)
    for index, (name, value) in enumerate(zip(parameter.top, tops)):
        # The rounding of a ReLU's top is that of the values before they were cut
        before = bottoms[0].magnitude if parameter.type == "ReLU" else None
        made = _version(name, parameter.name, decisions.get((parameter.name, name), value), before)
        if index in _DECIDED.get(parameter.type, ()):
            made = replace(made, decided=True)
        if parameter.type in _SLOPES:
            made = replace(made, slope=_SLOPES[parameter.type], bottoms=places)
        versions.setdefault(name, []).append(made)


def _share(parameter: Any, versions: Dict[str, List[Version]], owners: Dict[str, str]) -> None:
    """Writes the result of an in-place layer to every blob of that memory.

    Caffe: ShareData in reshape_layer.cpp, flatten_layer.cpp and split_layer.cpp. owners: for each blob, the
    one whose memory it uses.
    """
    for name, bottom in zip(parameter.top, parameter.bottom):
        if name == bottom:
            for other, owner in owners.items():
                if other != name and owner == owners.get(name, name):
                    _change(versions, other, versions[name][-1])
    if parameter.type in ("Reshape", "Flatten", "Split"):
        first = parameter.bottom[0]
        owner = owners.setdefault(first, first)
        owners.update(dict.fromkeys(parameter.top, owner))


def _change(versions: Dict[str, List[Version]], name: str, written: Version) -> None:
    before = versions[name][-1].value
    value = None if before is None or written.value is None else written.value.reshape(before.shape)
    versions[name].append(replace(written, blob=name, value=value))


def _tops(
    layer: Layer,
    bottoms: Sequence[Optional[np.ndarray]],
    inputs: Mapping[str, np.ndarray],
    unknown: List[str],
    table: Mapping[str, Forward],
) -> Sequence[Optional[np.ndarray]]:
    parameter = layer.parameter
    nothing: List[Optional[np.ndarray]] = [None] * len(parameter.top)
    if not parameter.bottom and any(name in inputs for name in parameter.top):
        return [inputs[name].astype(layer.dtype) if name in inputs else None for name in parameter.top]
    if parameter.type not in table:
        unknown.append(parameter.name)
        return nothing
    if layer.file_count and parameter.type not in LEARNING:  # Caffe: net.cpp:752
        raise CaffeAbort(f"layer {parameter.name}: no blobs are needed, {layer.file_count} are stored")
    known = [value for value in bottoms if value is not None]
    if len(known) < len(bottoms):
        return nothing
    try:
        tops = table[parameter.type](layer, known)
    except NotComputed:
        unknown.append(parameter.name)
        return nothing
    return [np.asarray(top, layer.dtype) for top in tops]


def _version(name: str, layer: str, value: Optional[np.ndarray], before: Optional[float] = None) -> Version:
    magnitude = before
    if magnitude is None:
        magnitude = float(np.max(np.abs(value))) if value is not None and value.size else 0.0
    if value is not None:
        value.flags.writeable = False
    return Version(name, layer, value, magnitude)
