"""Recorded results of Caffe for the nets in tests/data/caffe_truth, and the bound for folded nets.

truth.names("fold-*")                                        the nets
truth.load("fold-ip")                                        one of them
truth.compare(prototxt, weights, prototxt, weights, inputs)  a net before against the same net after
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Mapping, Tuple

import numpy as np
from reference import LAYERS, Place, Trace, Version, trace
from reference.files import Weights
from reference.weighted import inner_product_in_order

FOLDER = Path(__file__).resolve().parent / "data" / "caffe_truth"


@dataclass(frozen=True)
class Truth:
    """A net and the results of BVLC Caffe 1.0 on a CPU. Arrays are float32 and read-only."""

    name: str
    folder: Path
    prototxt: bytes
    weights: bytes
    inputs: Dict[str, np.ndarray]
    outputs: Dict[str, np.ndarray]  # the last value of every blob

    @property
    def prototxt_path(self) -> Path:
        return self.folder / "net.prototxt"

    @property
    def weights_path(self) -> Path:
        return self.folder / "net.caffemodel"


def names(pattern: str = "*") -> Tuple[str, ...]:
    """Returns the names of the nets that match, sorted."""
    return tuple(sorted(path.name for path in FOLDER.iterdir() if fnmatch.fnmatch(path.name, pattern)))


@lru_cache(maxsize=None)
def load(name: str) -> Truth:
    """Returns one net with its results. Raises FileNotFoundError for an unknown name."""
    folder = FOLDER / name
    parts: Dict[str, Dict[str, np.ndarray]] = {"in": {}, "out": {}}
    with np.load(folder / "truth.npz") as stored:
        for key in stored.files:
            side, blob = key.split(":", 1)
            array = stored[key]
            array.flags.writeable = False
            parts[side][blob] = array
    prototxt, weights = (folder / "net.prototxt").read_bytes(), (folder / "net.caffemodel").read_bytes()
    return Truth(name, folder, prototxt, weights, parts["in"], parts["out"])


@dataclass(frozen=True)
class Difference:
    """How far one blob after the fold is from the net before, and how far it may be."""

    blob: str
    error: float
    bound: float

    @property
    def share(self) -> float:
        """The error as a share of its bound."""
        return self.error / self.bound if self.error else 0.0


@dataclass(frozen=True)
class Comparison:
    """A net before against a net after, by the blobs that both have."""

    differences: Tuple[Difference, ...]
    vanished: Tuple[str, ...]  # blobs that only the net before has
    unknown: Tuple[str, ...]  # blobs after layers that the judge cannot compute
    unknown_layers: Tuple[str, ...]  # of the net before: those layers

    @property
    def violations(self) -> Tuple[Difference, ...]:
        return tuple(each for each in self.differences if each.error > each.bound)

    @property
    def worst(self) -> float:
        """The largest error as a share of its bound."""
        return max(each.share for each in self.differences)


def bound(own_error: float, magnitude: float) -> float:
    """Returns how far a blob of a folded net may be from the float64 value of the original.

    This is 4 times the error of the original net in float32, plus 4 ulp (float32) of the largest magnitude that the
    blob had, before the ReLU that ends in it if there is one. `bounds` carries it on.
    """
    return 4 * own_error + 4 * ulp(magnitude)


def ulp(magnitude: float) -> float:
    """Returns the distance between neighbouring float32 values of this magnitude."""
    return float(np.spacing(np.float32(magnitude)))


def compare(
    before_prototxt: bytes,
    before_weights: Weights,
    after_prototxt: bytes,
    after_weights: Weights,
    inputs: Mapping[str, np.ndarray],
    phase: str = "TEST",
) -> Comparison:
    """Runs both nets in float32 and the first in float64, and compares the last value of every blob.

    Decisions of the float64 run (the index of a maximum, for example) are used in the other runs: between two values as
    near as a rounding they are chance, and the values before them are compared.

    Raises ValueError if nothing is left to compare, CaffeAbort if Caffe would stop at one of the nets.
    """
    exact = trace(before_prototxt, before_weights, inputs, phase)
    decisions = exact.decisions()
    rounded = trace(before_prototxt, before_weights, inputs, phase, np.float32, decisions=decisions)
    after = trace(after_prototxt, after_weights, inputs, phase, np.float32, decisions=decisions).versions
    allowed = bounds(exact, rounded)
    shared = [blob for blob in exact.versions if blob in after]
    differences = [
        Difference(blob, _distance(exact.versions[blob][-1], after[blob][-1]), allowed[blob])
        for blob in shared
        if blob in allowed
    ]
    if not differences:
        raise ValueError("the two nets have no blob in common that can be computed")
    vanished = tuple(sorted(set(exact.versions) - set(after)))
    unknown = tuple(blob for blob in shared if blob not in allowed)
    return Comparison(tuple(differences), vanished, unknown, exact.unknown_layers)


def measured(
    prototxt: bytes, weights: Weights, inputs: Mapping[str, np.ndarray], neighbours: int = 0
) -> Tuple[Trace, Dict[str, float]]:
    """Returns the float64 run of a net, and how far a float32 run by another program may be from it in each blob.

    Such a program adds in another order. neighbours: how many inputs some roundings away are measured too, because the
    float32 error of a single input may be small by luck.
    """
    in_order = {**LAYERS, "InnerProduct": inner_product_in_order}
    found: List[Tuple[Trace, Dict[str, float]]] = []
    for seed in range(neighbours + 1):
        near = {name: _neighbour(value, seed) for name, value in inputs.items()}
        exact = trace(prototxt, weights, near)
        decisions = exact.decisions()
        rounded = (
            trace(prototxt, weights, near, dtype=np.float32, decisions=decisions, table=table)
            for table in (LAYERS, in_order)
        )
        found.append((exact, bounds(exact, *rounded)))
    return found[0][0], {blob: max(each[blob] for _, each in found) for blob in found[0][1]}


def _neighbour(value: np.ndarray, seed: int) -> np.ndarray:
    """Returns a neighbour some roundings away; for seed 0 the value itself."""
    steps = np.random.RandomState(seed).uniform(-1, 1, value.shape) * 2.0**-18 * (seed > 0)
    near: np.ndarray = (value * (1 + steps)).astype(np.float32)
    return near


@lru_cache(maxsize=None)
def recorded_bounds(name: str) -> Dict[str, float]:
    """Returns how far a float32 program may be from the record of Caffe: both may be a bound away from float64."""
    net = load(name)
    return {blob: 2 * each for blob, each in measured(net.prototxt, net.weights, net.inputs, 2)[1].items()}


def bounds(exact: Trace, *rounded: Trace) -> Dict[str, float]:
    """Returns the bound of every known blob, from a run of the original in float64 and one or more in float32.

    After a layer that only moves values, cuts them off or saturates, it is not less than the bound before the layer
    allows there. Raises ValueError if the original itself is not finite in float32.
    """
    known: Dict[Place, float] = {}

    def of(place: Place) -> float:
        if place not in known:
            blob, number = place
            version = exact.versions[blob][number]
            own = max(_distance(version, each.versions[blob][number]) for each in rounded)
            carried = (version.slope * of(bottom) for bottom in version.bottoms)
            known[place] = max([bound(own, version.magnitude), *carried])
        return known[place]

    found = {blob: of((blob, len(kept) - 1)) for blob, kept in exact.versions.items() if kept[-1].value is not None}
    for blob, allowed in found.items():
        if not np.isfinite(allowed):
            raise ValueError(f"the original net itself does not survive float32 at blob {blob}")
    return found


def _distance(exact: Version, rounded: Version) -> float:
    if exact.value is None or rounded.value is None:
        return float("inf")
    return largest_error(exact.value, rounded.value)


def largest_error(expected: np.ndarray, actual: np.ndarray) -> float:
    """Returns the largest absolute difference; infinite if shapes differ or a value is NaN or infinite."""
    if expected.shape != actual.shape:
        return float("inf")
    error = float(np.max(np.abs(expected.astype(np.float64) - actual), initial=0.0))
    return error if np.isfinite(error) else float("inf")
