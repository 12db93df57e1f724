"""Compares two nets on the same inputs, blob by blob: are they the same net, and what are their outputs in fp16?

The reference is the first net in float64. Its own float32 run shows the noise of rounding; the second net may differ by
four times as much, plus four units in the last place of the largest magnitude that the blob had before the ReLU that
writes it:

    max |second32 - first64|  <=  4 max |first32 - first64| + 4 ulp(size)

That noise is one sample of many, and for a small blob it may be almost 0 by chance. So a blob that differs by more is
only in doubt. Then the second net runs again with other weights: each is one unit in the last place of its type larger
or smaller, at random. The blob may differ by four times what this changes:

    max |second32 - first64|  <=  4 max |moved32 - second32|

The second net may have NaN, or the same infinity, where the first one has it. The outputs of both nets on a device with
half precision are reported too.

The runs advance together, and each blob is compared as soon as all have it. Where both nets have the same bits in
float32 the rule holds whatever float64 says: that runs no further than to the last blob that differs, or to the outputs
if they are compared in half precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Collection, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Union

import numpy as np

from ..argument_types import DICT, NUMBER, expect
from ..errors import InputError
from ..execution.forward import Precision, Unavailable
from ..execution.run import checked, require_weights, seeded
from ..half.rounding import HalfPolicy
from ..half.targets import HalfPolicyName, policy_of
from ..layers.shapes import text
from ..net.graph import Net
from ..net.model import MODEL, Model
from ..net.scale_groups import grouped
from ..rescale.rescale import Exponents
from .agreement import Distance, Energy, Kind, apart, distance, kinds, largest
from .answers import Output, in_half
from .lockstep import Run, last_values
from .noise import moved
from .outcome import BlobDifference, Verification
from .problems import CALIBRATE, batch_norms, folding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

NOISE, UNITS = 4.0, 4.0
LARGEST = 2.0**127  # the power of two that begins the largest float32 numbers: beyond, they have no spacing
MOVED = ((1, 2, 3), (4, 5, 6), (7, 8, 9))  # the seeds of the runs with moved weights; the later only if doubt remains


def verify(
    first: Model,
    second: Model,
    inputs: Optional[Mapping[str, Any]] = None,
    *,
    rescaled: Optional[Mapping[str, Sequence[int]]] = None,
    renamed: Optional[Mapping[str, str]] = None,
    unrepaired: Optional[Model] = None,
    half_policy: Union[HalfPolicyName, HalfPolicy] = "ieee",
    min_snr: Optional[float] = None,
    tolerance: Optional[float] = None,
    seed: int = 0,
) -> Verification:
    """Compares the last value of every blob whose name both nets have; without such names, the outputs in their order.

    inputs: as for `run`; without them seeded ones. rescaled: blobs of the second net that a range repair multiplied,
    with the exponent of two of each channel. renamed: blobs of the first net that have another name in the second.
    unrepaired: the second net without either. half_policy: of the device for which outputs in half precision are
    reported; "off" for none. min_snr: in dB, the least SNR that each output of the second net must have in half
    precision; its top class must then be the same, too. tolerance: how far the nets may differ, as a share of a blob's
    largest magnitude, instead of the noise of rounding.
    Raises InputError for inputs or exponents that do not fit, for an invalid policy, min_snr or tolerance, for a net
    without weights, and where nothing can be compared; TypeError for a wrong type.
    """
    expect(MODEL, first=first, second=second)
    expect(MODEL.or_none(), unrepaired=unrepaired)
    expect(DICT.or_none(), rescaled=rescaled, renamed=renamed)
    expect(NUMBER.or_none(), min_snr=min_snr, tolerance=tolerance)
    for model in (first, second):
        require_weights(model)
    policy = policy_of(half_policy)
    _check(policy, min_snr, tolerance)
    values = seeded(first.net, seed) if inputs is None else checked(first.net, inputs)
    renamed = renamed or {}
    values.update({now: values[name] for name, now in renamed.items() if name in values})
    names = _names(first.net, second.net, renamed)
    ends = tuple(dict.fromkeys(value.blob for value in first.net.outputs)) if policy.checked else ()
    pair = _Pair(first.net, second.net, values, names, _exponents(second.net, rescaled or {}), ends)
    compared = _Comparison(pair, tolerance)
    if not compared.rows:
        reason = next(iter(compared.unavailable.values()), "the nets have no blob in common")
        raise InputError(f"nothing can be compared: {reason}", where=first.document.path)
    rows = [compared.rows[name] for name in first.net.blob_names if name in compared.rows]
    settled = tuple(rows if tolerance is not None else _settled(pair, rows))
    if not policy.checked:
        return Verification(settled, compared.unavailable, tolerance=tolerance)
    outputs = [compared.outputs[name] for name in pair.ends if name in compared.outputs]
    before, after, unrepaired_ones = in_half(
        [(first.net, 0), (second.net, 1), (None if unrepaired is None else unrepaired.net, 0 if renamed else 1)],
        Precision("half", half=policy),
        values,
        outputs,
    )
    remedy = folding(second.net, policy) if batch_norms(second.net) else CALIBRATE
    return Verification(settled, compared.unavailable, before, after, unrepaired_ones, min_snr, tolerance, remedy)


def _check(policy: HalfPolicy, min_snr: Optional[float], tolerance: Optional[float]) -> None:
    if min_snr is not None and not policy.checked:
        raise InputError(
            "a least SNR needs outputs in half precision",
            remedy="name a half policy, and omit --precision float32",
        )
    if min_snr is not None and np.isnan(min_snr):
        raise InputError("a least SNR of nan is not valid", remedy="give, for example, 40")
    if tolerance is not None and not 0 <= tolerance < np.inf:
        raise InputError(
            f"a tolerance of {tolerance:g} is not valid", remedy="give a share of the largest magnitude, such as 1e-3"
        )


class _Pair(NamedTuple):
    """The nets to compare. names: of each blob of the first net, in the second. rescaled: by names of the second.

    ends: the blobs of the first net that are compared in half precision.
    """

    first: Net
    second: Net
    inputs: Mapping[str, Array]
    names: Mapping[str, str]
    rescaled: Mapping[str, Exponents]
    ends: Collection[str]


def _names(first: Net, second: Net, renamed: Mapping[str, str]) -> Dict[str, str]:
    """The name in the second net of each blob of the first that is compared."""
    made = dict.fromkeys(value.blob for layer in first.layers if layer.bottoms for value in first.tops(layer))
    names = {name: renamed.get(name, name) for name in made}
    common = {name: now for name, now in names.items() if now in set(second.blob_names) and name not in first.inputs}
    if common:
        return common
    outputs = [list(dict.fromkeys(value.blob for value in net.outputs)) for net in (first, second)]
    return dict(zip(*outputs)) if len(outputs[0]) == len(outputs[1]) else {}


def _exponents(net: Net, rescaled: Mapping[str, Sequence[int]]) -> Dict[str, Exponents]:
    """The exponents with the axis of the channels, which is not always 1: a Permute, for example, moves it."""
    places = grouped(net, (), frozenset(), frozenset()).values if rescaled else {}
    axes = {value.blob: channels.axis for value, channels in places.items()}
    return {name: Exponents(axes.get(name, 1), tuple(exponents)) for name, exponents in rescaled.items()}


class _Comparison:
    """The blobs that were compared, the reasons why others were not, and the outputs for half precision, by name."""

    def __init__(self, pair: _Pair, tolerance: Optional[float]) -> None:
        self.rows: Dict[str, BlobDifference] = {}
        self.unavailable: Dict[str, str] = {}
        self.outputs: Dict[str, Output] = {}
        self._pair = pair
        self._tolerance = tolerance
        self._kinds = kinds(pair.first)
        self._open = _open(pair.first)
        self._exact, self._own = (Run(pair.first, pair.inputs, name, pair.names) for name in ("float64", "float32"))
        firsts = {other: name for name, other in pair.names.items()}
        for other, last in last_values(pair.second, pair.inputs, "float32", firsts):
            self._judge(firsts[other], last.computed)

    def _judge(self, name: str, other: Any) -> None:
        """Compares one blob, and keeps its arrays only if it is an output."""
        pair, kind = self._pair, self._kinds[name]
        noisy, before = self._own.take(name)
        if self._needs_no_truth(name) and _same_bits(pair, name, noisy, other):
            self._exact.skip(name)
            self.rows[name] = _same(kind, noisy, before)
            return
        truth, before = self._exact.take(name)
        computed = truth, noisy, other
        reason = next((blob.reason for blob in computed if isinstance(blob, Unavailable)), None)
        if reason is None and name in pair.ends:
            self.outputs[name] = Output((name, pair.names[name]), kind, truth, noisy)
        if reason is not None:
            self.unavailable[name] = reason
        elif not kind.is_detections and name in self._open and len({blob.shape for blob in computed}) > 1:
            self.unavailable[name] = f"its size depends on rounding: {', '.join(text(blob.shape) for blob in computed)}"
        else:
            row = _difference(kind, truth, noisy, _unscaled(pair, name, other), before)
            tolerance = self._tolerance
            self.rows[name] = row if tolerance is None else row._replace(bound=tolerance * largest(truth))

    def _needs_no_truth(self, name: str) -> bool:
        """Whether a blob that is the same to the last bit in float32 needs no comparison with float64."""
        is_plain = name not in self._open and not self._kinds[name].is_detections
        return self._tolerance is None and is_plain and name not in self._pair.ends


def _same_bits(pair: _Pair, name: str, noisy: Any, other: Any) -> bool:
    if isinstance(noisy, Unavailable) or isinstance(other, Unavailable):
        return False
    return np.array_equal(noisy, _unscaled(pair, name, other))


def _open(net: Net) -> Set[str]:
    """The blobs whose shape depends on the values, like the count of detections."""
    shapes = {value.blob: net.shapes[value] for layer in net.layers for value in net.tops(layer)}
    return {name for name, shape in shapes.items() if shape is None or None in shape}


def _unscaled(pair: _Pair, first_name: str, values: Array) -> Array:
    """The values of a blob of the second net as they would be without its repair. first_name: in the first net."""
    name = pair.names[first_name]
    exponents = pair.rescaled.get(name)
    if exponents is None:
        return values
    axis, powers = exponents
    if len(powers) not in values.shape[axis : axis + 1]:
        raise InputError(
            f"blob {name} is {text(values.shape)}, but the report rescales {len(powers)} channels of it",
            remedy="give the report of the fuse that made the second net",
        )
    unscaled: Array = np.ldexp(values.astype(np.float64), -np.expand_dims(powers, tuple(range(1, values.ndim - axis))))
    return unscaled


def _difference(kind: Kind, truth: Array, noisy: Array, found: Array, before: float) -> BlobDifference:
    unmatched = 0
    if kind.is_detections:
        aligned, own = kind.aligned(found, truth), kind.aligned(noisy, truth)
        apart_from = Distance(
            apart(aligned.found, aligned.truth),
            apart(own.found, own.truth),
            largest(aligned.truth),
            Energy.of(aligned.found, aligned.truth),
        )
        size, unmatched = max(before, largest(truth)), aligned.unmatched
    else:
        for array in (found, noisy):
            kind.require_equal(array, truth)
        apart_from = distance(found, noisy, truth)
        size = max(before, apart_from.magnitude)
    max_abs, noise, magnitude, energy = apart_from
    return BlobDifference(
        kind.blob,
        kind.layer.name,
        max_abs,
        max_abs / magnitude if magnitude else 0.0,
        NOISE * noise + UNITS * _spacing(size),
        energy.cosine,
        energy.snr,
        kind.same_top_class(found, truth),
        unmatched,
    )


def _same(kind: Kind, values: Array, before: float) -> BlobDifference:
    """The row of a blob that is the same to the last bit: then the rule holds whatever float64 gives."""
    bound = UNITS * _spacing(max(before, largest(values)))
    return BlobDifference(kind.blob, kind.layer.name, 0.0, 0.0, bound, 1.0, np.inf, kind.same_top_class(values, values))


def _spacing(size: float) -> float:
    return float(np.spacing(np.float32(min(size, LARGEST))))


def _settled(pair: _Pair, rows: List[BlobDifference]) -> List[BlobDifference]:
    """The rows with wider bounds for blobs in doubt: weights move until none is left, or all runs are done."""
    for seeds in MOVED:
        if all(row.equal for row in rows):
            break
        noise = _moved_noise(pair, {pair.names[row.blob]: row.blob for row in rows if not row.equal}, seeds)
        rows = [row._replace(bound=max(row.bound, NOISE * noise.get(row.blob, 0.0))) for row in rows]
    return rows


def _moved_noise(pair: _Pair, doubted: Mapping[str, str], seeds: Sequence[int]) -> Dict[str, float]:
    """The largest change of each blob when the weights of the second net move, by its name in the first."""
    kind_of = kinds(pair.first)
    nets = [pair.second, *(moved(pair.second, seed) for seed in seeds)]
    noise: Dict[str, float] = {}
    for (name, (still, _)), *others in zip(*(last_values(net, pair.inputs, "float32", doubted) for net in nets)):
        kind = kind_of[doubted[name]]
        for _, (other, _) in others:
            if isinstance(still, Unavailable) or isinstance(other, Unavailable):
                continue
            if kind.is_detections or other.shape == still.shape:
                both = kind.aligned(_unscaled(pair, kind.blob, other), _unscaled(pair, kind.blob, still))
                finite = np.isfinite(both.found) & np.isfinite(both.truth)
                noise[kind.blob] = max(noise.get(kind.blob, 0.0), apart(both.found[finite], both.truth[finite]))
    return noise
