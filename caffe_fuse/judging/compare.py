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
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..errors import InputError
from ..execution.forward import PRECISIONS, Precision, Unavailable, compute
from ..execution.run import checked, require_weights, seeded
from ..half.rounding import HalfPolicy
from ..half.targets import policy_of
from ..layers.shapes import text
from ..net.graph import Net, Value
from ..net.model import Model
from ..net.scale_groups import grouped
from ..rescale.rescale import Exponents
from .agreement import Kind, apart, cosine, kinds, largest, snr
from .answers import Output, half_answers
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
    half_policy: Union[str, HalfPolicy] = "ieee",
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
    without weights, and where nothing can be compared.
    """
    for model in (first, second):
        require_weights(model)
    policy = policy_of(half_policy)
    _check(policy, min_snr, tolerance)
    values = seeded(first.net, seed) if inputs is None else checked(first.net, inputs)
    renamed = renamed or {}
    values.update({now: values[name] for name, now in renamed.items() if name in values})
    names = _names(first.net, second.net, renamed)
    pair = _Pair(first.net, second.net, values, names, _exponents(second.net, rescaled or {}))
    compared = _compared(pair, tolerance)
    if not compared.rows:
        reason = next(iter(compared.unavailable.values()), "the nets have no blob in common")
        raise InputError(f"nothing can be compared: {reason}", where=first.document.path)
    rows = tuple(compared.rows if tolerance is not None else _settled(pair, compared.rows))
    if not policy.checked:
        return Verification(rows, compared.unavailable, tolerance=tolerance)
    precision = Precision("half", half=policy)
    return Verification(
        rows,
        compared.unavailable,
        half_answers(first.net, 0, precision, values, compared.outputs),
        half_answers(second.net, 1, precision, values, compared.outputs),
        ()
        if unrepaired is None
        else half_answers(unrepaired.net, 0 if renamed else 1, precision, values, compared.outputs),
        min_snr,
        tolerance,
        folding(second.net, policy) if batch_norms(second.net) else CALIBRATE,
    )


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
    """The nets to compare. names: of each blob of the first net, in the second. rescaled: by names of the second."""

    first: Net
    second: Net
    inputs: Mapping[str, Array]
    names: Mapping[str, str]
    rescaled: Mapping[str, Exponents]


class _Compared(NamedTuple):
    rows: List[BlobDifference]
    unavailable: Dict[str, str]
    outputs: List[Output]


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


def _compared(pair: _Pair, tolerance: Optional[float]) -> _Compared:
    """The comparison of the blobs. Each is kept only until all three runs have computed it; outputs are kept longer."""
    first, kind_of = pair.first, kinds(pair.first)
    exact = _last_values(first, pair.inputs, "float64", pair.names)
    own = _last_values(first, pair.inputs, "float32", pair.names)
    others = _last_values(pair.second, pair.inputs, "float32", {name: name for name in pair.names.values()})
    waiting: Dict[str, Tuple[Any, Any, float]] = {}
    rows: Dict[str, BlobDifference] = {}
    unavailable: Dict[str, str] = {}
    outputs: Dict[str, Output] = {}
    firsts = {other: name for name, other in pair.names.items()}
    ends = {value.blob for value in first.outputs}
    for other_name, other, _ in others:
        name = firsts[other_name]
        while name not in waiting:
            (key, truth, size), (_, noisy, _) = next(exact), next(own)
            waiting[key] = (truth, noisy, size)
        truth, noisy, size = waiting.pop(name)
        computed, kind = (truth, noisy, other), kind_of[name]
        reason = next((blob.reason for blob in computed if isinstance(blob, Unavailable)), None)
        if reason is None and name in ends:
            outputs[name] = Output((name, other_name), kind, truth, noisy)
        if reason is not None:
            unavailable[name] = reason
        elif not kind.is_detections and _is_open(first, name) and len({blob.shape for blob in computed}) > 1:
            shapes = ", ".join(text(blob.shape) for blob in computed)
            unavailable[name] = f"its size depends on rounding: {shapes}"
        else:
            found = _unscaled(pair, other_name, other)
            row = _difference(kind, truth, noisy, found, size)
            rows[name] = row if tolerance is None else row._replace(bound=tolerance * largest(truth))
    order = list(first.blob_names)
    return _Compared(
        [rows[name] for name in order if name in rows],
        unavailable,
        [outputs[name] for name in dict.fromkeys(value.blob for value in first.outputs) if name in outputs],
    )


def _is_open(net: Net, name: str) -> bool:
    """Whether the shape depends on the values, like the count of detections."""
    shape = next(net.shapes[value] for layer in reversed(net.layers) for value in net.tops(layer) if value.blob == name)
    return shape is None or None in shape


def _last_values(
    net: Net, inputs: Mapping[str, Array], precision: str, wanted: Mapping[str, str]
) -> Iterator[Tuple[str, Any, float]]:
    """The last value of each wanted blob, with its largest magnitude, that before a ReLU included."""
    last = {value.blob: value for layer in net.layers for value in net.tops(layer)}
    sizes: Dict[Value, float] = {}
    for value, computed in compute(net, inputs, PRECISIONS[precision], list(wanted)):
        layer = net.producer(value)
        size = 0.0 if isinstance(computed, Unavailable) else largest(computed)
        if layer is not None and layer.layer_type is not None and layer.layer_type.cuts:
            size = max(size, *(sizes.get(bottom, 0.0) for bottom in net.bottoms(layer)))
        sizes[value] = size
        if value.blob in wanted and last.get(value.blob) == value:
            yield value.blob, computed, size


def _unscaled(pair: _Pair, name: str, values: Array) -> Array:
    """The values of a blob of the second net as they would be without its repair."""
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


def _difference(kind: Kind, truth: Array, noisy: Array, found: Array, size: float) -> BlobDifference:
    aligned, own = kind.aligned(found, truth), kind.aligned(noisy, truth)
    held: Any = True  # where the first net overflows in float32, the second one may too
    if not kind.is_detections:
        held = np.isfinite(own.found) == np.isfinite(own.truth)
    max_abs, noise = (apart(both.found, np.where(held, both.truth, both.found)) for both in (aligned, own))
    magnitude = largest(aligned.truth)
    return BlobDifference(
        kind.blob,
        kind.layer.name,
        max_abs,
        max_abs / magnitude if magnitude else 0.0,
        NOISE * noise + UNITS * float(np.spacing(np.float32(min(size, LARGEST)))),
        cosine(aligned.found, aligned.truth),
        snr(aligned.found, aligned.truth),
        kind.same_top_class(found, truth),
        aligned.unmatched,
    )


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
    for (name, still, _), *others in zip(*(_last_values(net, pair.inputs, "float32", doubted) for net in nets)):
        kind = kind_of[doubted[name]]
        for _, other, _ in others:
            if not isinstance(other, Unavailable) and (kind.is_detections or other.shape == still.shape):
                both = kind.aligned(_unscaled(pair, name, other), _unscaled(pair, name, still))
                finite = np.isfinite(both.found) & np.isfinite(both.truth)
                noise[kind.blob] = max(noise.get(kind.blob, 0.0), apart(both.found[finite], both.truth[finite]))
    return noise
