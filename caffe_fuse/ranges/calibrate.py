"""Between which numbers the activations of a net lay when it was run on data: recorded, merged, kept in a file.

The file is JSON. It says of each value its layer and blob, the least and the largest finite number of each channel, how
many numbers there were of each kind that half.py tells apart, and how many of each power of two.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from ..errors import InputError
from ..execution.forward import PRECISIONS, Unavailable, compute
from ..execution.run import checked, input_shapes
from ..half.classes import classify
from ..half.rounding import LARGEST, SMALLEST_NORMAL, rounded
from ..layers.ranges import Range
from ..net.graph import Net, Value
from ..net.load import PathLike
from ..net.model import Model

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = 1
KINDS = ("zeros", "underflow", "subnormal", "clipped", "overflow", "inf", "nan")  # CLASSES, as the file has them
_PIECE = 1 << 18


class Recorded:
    """What was seen of one value: `range` of the finite numbers, `count` of all.

    histogram[e]: how many magnitudes m there were with 2^e <= m < 2^(e+1); -127 stands for all below 2^-126. kinds: how
    many numbers half precision treats so; see half.py.
    """

    def __init__(self) -> None:
        self.count = 0
        self.range = Range(np.full(1, np.inf), np.full(1, -np.inf))
        self.histogram: Dict[int, int] = {}
        self.kinds = dict.fromkeys(KINDS, 0)

    @property
    def safe(self) -> bool:
        """Whether every number that was seen rounds to a finite half."""
        return not any(self.kinds[kind] for kind in ("overflow", "inf", "nan"))

    @property
    def finite(self) -> bool:
        """Whether every number that was seen is finite in float32."""
        return not (self.kinds["inf"] or self.kinds["nan"])

    def add(self, array: NDArray[Any]) -> None:
        """Take in one float32 array whose axis 1 is that of the channels; one without axes has one."""
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
            self._count_numbers(flat[first : first + _PIECE])

    def merge(self, other: Recorded) -> None:
        self._widen(other.range)
        self.count += other.count
        for exponent, number in other.histogram.items():
            self.histogram[exponent] = self.histogram.get(exponent, 0) + number
        for kind, number in other.kinds.items():
            self.kinds[kind] += number

    def exponents(self) -> Dict[str, int]:
        """The histogram in order, as JSON has it."""
        return {str(exponent): self.histogram[exponent] for exponent in sorted(self.histogram)}

    def _widen(self, found: Range) -> None:
        """Runs on inputs of other sizes may not agree about the channels: then one pair serves all."""
        mine = self.range if self.count else Range(*(np.repeat(ends, found.channels) for ends in self.range))
        if mine.channels != found.channels:
            mine, found = mine.whole(), found.whole()
        self.range = Range(np.minimum(mine.lows, found.lows), np.maximum(mine.highs, found.highs))

    def _count_numbers(self, piece: NDArray[np.float32]) -> None:
        self.count += piece.size
        exponents = piece.view(np.uint32) >> 23 & 255
        counts = np.bincount(exponents, minlength=256)
        zeros = piece.size - int(np.count_nonzero(piece))
        counts[0] -= zeros
        self._add_kinds(zeros=zeros)
        for place in np.flatnonzero(counts[:255]).tolist():
            self.histogram[place - 127] = self.histogram.get(place - 127, 0) + int(counts[place])
        if counts[: _place(SMALLEST_NORMAL)].any() or counts[_place(LARGEST) :].any():
            magnitudes = np.abs(piece)
            small = (magnitudes > 0) & (magnitudes < SMALLEST_NORMAL)
            odd = magnitudes[small | ~(magnitudes <= LARGEST)]
            classes = classify(odd, rounded(odd))
            self._add_kinds(**{kind: int(np.count_nonzero(chosen)) for kind, chosen in classes.items()})

    def _add_kinds(self, **found: int) -> None:
        for kind, number in found.items():
            self.kinds[kind] += number


def _place(number: float) -> int:
    """The bits of the exponent of a float32."""
    return int(np.float32(number).view(np.uint32)) >> 23


Key = Tuple[str, str]  # the layer that writes a value, "" for an input of the net, and its blob


@dataclass(frozen=True, repr=False)
class Calibration:
    """What was recorded of a net. samples: how many. net: its fingerprint."""

    net: str
    samples: int
    values: Mapping[Key, Recorded]

    def __repr__(self) -> str:
        return f"<Calibration of {len(self.values)} values, {self.samples} samples>"

    def merged(self, other: Calibration) -> Calibration:
        """Both together. InputError if they are not of one net."""
        if self.net != other.net:
            raise InputError("the ranges are of different nets", remedy="give those of one net")
        values: Dict[Key, Recorded] = {}
        for key in dict.fromkeys((*self.values, *other.values)):
            values[key] = Recorded()
            for part in (self.values, other.values):
                if key in part:
                    values[key].merge(part[key])
        return Calibration(self.net, self.samples + other.samples, values)

    def of(self, net: Net) -> Dict[Value, Recorded]:
        """What was recorded, by the values of the net. InputError if it is another net."""
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


def fingerprint(net: Net) -> str:
    """The same for nets of the same layers and blobs, whatever their numbers and comments."""
    layers = [[layer.name, layer.type, layer.bottoms, layer.tops] for layer in net.layers]
    return hashlib.sha256(json.dumps([list(net.inputs), layers]).encode()).hexdigest()


def keys(net: Net) -> Dict[Key, Value]:
    """The values of the net by their names in the file, in the order of the net; of two with one name the last."""
    found = {("", name): Value(name, 0) for name in net.inputs}
    found.update({(layer.name, value.blob): value for layer in net.layers for value in net.tops(layer)})
    return found


def calibrate(model: Model, batches: Iterable[Mapping[str, Any]]) -> Calibration:
    """Runs the model in float32 on each batch (blob name -> array) and records what its values are.

    One batch is held at a time. Raises InputError for batches that do not fit, and for none.
    """
    net = model.net
    names = {value: key for key, value in keys(net).items()}
    values: Dict[Key, Recorded] = {}
    samples = 0
    for batch in batches:
        inputs = checked(net, batch)
        missing = [name for name in input_shapes(net) if name not in inputs]
        if missing or not inputs:
            raise InputError(f"there are no numbers for input {', '.join(missing)} of the net")
        samples += max(len(np.atleast_1d(array)) for array in inputs.values())
        for value, computed in compute(net, inputs, PRECISIONS["float32"]):
            if value in names and not isinstance(computed, Unavailable):
                values.setdefault(names[value], Recorded()).add(computed)
    if not samples:
        raise InputError("there is nothing to calibrate with", remedy="give it at least one sample")
    return Calibration(fingerprint(net), samples, values)


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
    """null for a channel without any finite number."""
    return [end if np.isfinite(end) else None for end in ends.tolist()]


def read_ranges(path: PathLike) -> Calibration:
    """A file that `calibrate` wrote. InputError for any other."""
    path = os.fspath(path)
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read: {error}", where=path, remedy="give a file of caffe-fuse calibrate"
        ) from error
    try:
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is {content['schema']}, not {SCHEMA}")
        values = {(str(row["layer"]), str(row["blob"])): _recorded(row) for row in content["values"]}
        return Calibration(str(content["net"]), int(content["samples"]), values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"is no file of ranges: {type(error).__name__} {error}",
            where=path,
            remedy="record it anew with caffe-fuse calibrate",
        ) from error


def _recorded(row: Mapping[str, Any]) -> Recorded:
    found = Recorded()
    found.count = int(row["count"])
    lows = np.array([np.inf if end is None else end for end in row["lows"]], np.float64)
    highs = np.array([-np.inf if end is None else end for end in row["highs"]], np.float64)
    if lows.shape != highs.shape or lows.ndim != 1 or not lows.size:
        raise ValueError("lows and highs are not of one size")
    found.range = Range(lows, highs)
    found.histogram = {int(exponent): int(number) for exponent, number in row["histogram"].items()}
    found.kinds = {kind: int(row[kind]) for kind in KINDS}
    return found
