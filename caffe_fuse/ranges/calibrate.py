"""Records the ranges of a net's activations when it is run on data, merges them, and stores them in a file.

The file is JSON. For each value it has the layer and blob, the least and largest finite value of each channel, and the
counts of elements by class (half/classes.py) and by power of two.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from ..argument_types import PATH, Kind, expect
from ..errors import InputError
from ..execution.forward import PRECISIONS, Unavailable, compute
from ..execution.run import checked, input_shapes
from ..half.classes import classify
from ..half.rounding import LARGEST, SMALLEST_NORMAL, rounded
from ..layers.ranges import Range
from ..net.graph import Net, Value
from ..net.load import PathLike
from ..net.model import MODEL, Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
BATCHES = Kind("a sequence of batches, each a dict of arrays,", (Iterable,), never=(Mapping, str))
KINDS = ("zeros", "underflow", "subnormal", "clipped", "overflow", "inf", "nan")  # CLASSES, in the order of the file
_PIECE = 1 << 18


class Recorded:
    """What was recorded of one value: `range` of the finite elements, `count` of all.

    histogram[e]: the count of magnitudes m with 2^e <= m < 2^(e+1); -127 stands for all below 2^-126. kinds: counts by
    class; see half/classes.py.
    """

    def __init__(self) -> None:
        self.count = 0
        self.range = Range(np.full(1, np.inf), np.full(1, -np.inf))
        self.histogram: Dict[int, int] = {}
        self.kinds = dict.fromkeys(KINDS, 0)

    @property
    def safe(self) -> bool:
        """Whether every recorded element rounds to a finite fp16 value."""
        return not any(self.kinds[kind] for kind in ("overflow", "inf", "nan"))

    @property
    def finite(self) -> bool:
        """Whether every recorded element is finite in float32."""
        return not (self.kinds["inf"] or self.kinds["nan"])

    def add(self, array: NDArray[Any]) -> None:
        """Adds a float32 array whose axis 1 is that of the channels; an array with fewer axes is one channel."""
        if not array.size:
            return
        array = np.atleast_1d(array)
        channels = array.shape[1] if array.ndim > 1 else 1
        rows = np.ascontiguousarray(array).reshape(
            -1, channels, array.size // (len(array) * channels) if channels else 1
        )
        lows, highs = rows.min((0, 2)).astype(np.float64), rows.max((0, 2)).astype(np.float64)
        if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
            finite = np.isfinite(rows)
            lows = rows.min((0, 2), initial=np.inf, where=finite).astype(np.float64)
            highs = rows.max((0, 2), initial=-np.inf, where=finite).astype(np.float64)
        self._widen(Range(lows, highs))
        flat = rows.reshape(-1)
        for first in range(0, flat.size, _PIECE):
            self._count_elements(flat[first : first + _PIECE])

    def merge(self, other: Recorded) -> None:
        if not other.count:  # its range is of no channels in particular
            return
        self._widen(other.range)
        self.count += other.count
        for exponent, count in other.histogram.items():
            self.histogram[exponent] = self.histogram.get(exponent, 0) + count
        for kind, count in other.kinds.items():
            self.kinds[kind] += count

    def exponents(self) -> Dict[str, int]:
        """The histogram by ascending exponent, with keys as in JSON."""
        return {str(exponent): self.histogram[exponent] for exponent in sorted(self.histogram)}

    def _widen(self, other: Range) -> None:
        """Runs on inputs of different sizes may disagree about the channels: then one pair covers all of them."""
        mine = self.range if self.count else Range(*(np.repeat(ends, other.channels) for ends in self.range))
        if mine.channels != other.channels:
            mine, other = mine.whole(), other.whole()
        self.range = Range(np.minimum(mine.lows, other.lows), np.maximum(mine.highs, other.highs))

    def _count_elements(self, piece: NDArray[np.float32]) -> None:
        self.count += piece.size
        exponents = piece.view(np.uint32) >> 23 & 255
        counts = np.bincount(exponents, minlength=256)
        zeros = piece.size - int(np.count_nonzero(piece))
        counts[0] -= zeros
        self._add_kinds(zeros=zeros)
        for biased in np.flatnonzero(counts[:255]).tolist():
            self.histogram[biased - 127] = self.histogram.get(biased - 127, 0) + int(counts[biased])
        if counts[: _biased_exponent(SMALLEST_NORMAL)].any() or counts[_biased_exponent(LARGEST) :].any():
            magnitudes = np.abs(piece)
            small = (magnitudes > 0) & (magnitudes < SMALLEST_NORMAL)
            odd = magnitudes[small | ~(magnitudes <= LARGEST)]
            classes = classify(odd, rounded(odd))
            self._add_kinds(**{kind: int(np.count_nonzero(chosen)) for kind, chosen in classes.items()})

    def _add_kinds(self, **counts: int) -> None:
        for kind, count in counts.items():
            self.kinds[kind] += count


def _biased_exponent(value: float) -> int:
    """The exponent bits of a float32."""
    return int(np.float32(value).view(np.uint32)) >> 23


Key = Tuple[str, str]  # the layer that writes a value, "" for an input of the net, and its blob


@dataclass(frozen=True, repr=False)
class Calibration:
    """Recorded ranges of a net. net: its fingerprint. samples: their count."""

    net: str
    samples: int
    values: Mapping[Key, Recorded]

    def __repr__(self) -> str:
        return f"<Calibration of {len(self.values)} values, {self.samples} samples>"

    def merged(self, other: Calibration) -> Calibration:
        """This calibration and another as one. Raises InputError if they are of different nets."""
        expect(CALIBRATION, other=other)
        if self.net != other.net:
            raise InputError("the ranges are of different nets", remedy="give ranges of one net")
        return in_order((self, other))

    def of(self, net: Net) -> Dict[Value, Recorded]:
        """The records by the values of the net. Raises InputError if it is another net."""
        if self.net != fingerprint(net):
            raise InputError(
                "the ranges were recorded with another net, or for another phase",
                remedy="record them with caffe-fuse calibrate, from the same files as these",
            )
        return {value: self.values[key] for key, value in keys(net).items() if key in self.values}

    def to_json(self) -> str:
        """Deterministic; `from_json` reads it."""
        values = [_document(*key, recorded) for key, recorded in self.values.items()]
        head = json.dumps({"schema": SCHEMA, "net": self.net, "samples": self.samples})[:-1]
        lines = ",\n  ".join(json.dumps(value, allow_nan=False) for value in values)
        return f'{head}, "values": [\n  {lines}\n]}}\n'


CALIBRATION = Kind("a Calibration, as calibrate or read_ranges returns it,", (Calibration,))


def fingerprint(net: Net) -> str:
    """A hash of the layers and blobs of a net, which does not depend on its weights and comments."""
    layers = [[layer.name, layer.type, layer.bottoms, layer.tops] for layer in net.layers]
    return hashlib.sha256(json.dumps([list(net.inputs), layers]).encode()).hexdigest()


def keys(net: Net) -> Dict[Key, Value]:
    """The values of the net by their keys in the file, in the order of the net; of two with one key the last."""
    by_key = {("", name): Value(name, 0) for name in net.inputs}
    by_key.update({(layer.name, value.blob): value for layer in net.layers for value in net.tops(layer)})
    return by_key


def calibrate(model: Model, batches: Iterable[Mapping[str, Any]]) -> Calibration:
    """Runs the model in float32 on each batch (blob name -> array) and records the ranges of its values.

    One batch is in memory at a time. Raises InputError for a batch that does not fit, and if there are no samples;
    TypeError for a wrong type.
    """
    expect(MODEL, model=model)
    expect(BATCHES, batches=batches)
    return in_order(recorded(model, batches))


def recorded(model: Model, batches: Iterable[Mapping[str, Any]]) -> Iterator[Calibration]:
    """The ranges on each batch. Raises InputError for one that does not fit."""
    net = model.net
    mark = fingerprint(net)
    names = {value: key for key, value in keys(net).items()}
    for batch in batches:
        inputs = checked(net, batch)
        missing = [name for name in input_shapes(net) if name not in inputs]
        if missing or not inputs:
            raise InputError(f"a batch has no values for input {', '.join(missing)} of the net")
        values: Dict[Key, Recorded] = {}
        for value, computed in compute(net, inputs, PRECISIONS["float32"]):
            if value in names and not isinstance(computed, Unavailable):
                values.setdefault(names[value], Recorded()).add(computed)
        yield Calibration(mark, max(len(np.atleast_1d(array)) for array in inputs.values()), values)


def in_order(parts: Iterable[Calibration]) -> Calibration:
    """The ranges of the batches of one net, in their order, as one. Raises InputError if there are no samples."""
    mark, samples = "", 0
    values: Dict[Key, Recorded] = {}
    for part in parts:
        mark, samples = part.net, samples + part.samples
        for key, each in part.values.items():
            values.setdefault(key, Recorded()).merge(each)
    if not samples:
        raise InputError("there are no samples to calibrate with", remedy="give at least one")
    return Calibration(mark, samples, values)


def _document(layer: str, blob: str, recorded: Recorded) -> Dict[str, Any]:
    return {
        "layer": layer,
        "blob": blob,
        "count": recorded.count,
        "lows": _ends(recorded.range.lows),
        "highs": _ends(recorded.range.highs),
        **recorded.kinds,
        "histogram": recorded.exponents(),
    }


def _ends(ends: NDArray[np.float64]) -> List[Optional[float]]:
    """The ends as JSON has them: null for a channel without a finite value."""
    return [end if np.isfinite(end) else None for end in ends.tolist()]


def read_ranges(path: PathLike) -> Calibration:
    """Reads a file that `calibrate` wrote. Raises InputError for any other file, TypeError for what is no path."""
    expect(PATH, path=path)
    path = os.fspath(path)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read: {error}", where=path, remedy="give a file from caffe-fuse calibrate"
        ) from error
    try:
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is {content['schema']}, not {SCHEMA}")
        values = {(str(row["layer"]), str(row["blob"])): _recorded(row) for row in content["values"]}
        return Calibration(str(content["net"]), int(content["samples"]), values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"is not a file of ranges: {type(error).__name__} {error}",
            where=path,
            remedy="record it again with caffe-fuse calibrate",
        ) from error


def _recorded(row: Mapping[str, Any]) -> Recorded:
    recorded = Recorded()
    recorded.count = int(row["count"])
    lows = np.array([np.inf if end is None else end for end in row["lows"]], np.float64)
    highs = np.array([-np.inf if end is None else end for end in row["highs"]], np.float64)
    if lows.shape != highs.shape or lows.ndim != 1 or not lows.size:
        raise ValueError("lows and highs differ in size")
    recorded.range = Range(lows, highs)
    recorded.histogram = {int(exponent): int(count) for exponent, count in row["histogram"].items()}
    recorded.kinds = {kind: int(row[kind]) for kind in KINDS}
    return recorded
