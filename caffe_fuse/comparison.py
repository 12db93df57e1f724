"""Two nets on the same inputs, blob by blob: are they one net, and what does half precision make of each?

The judge is the first net in float64. Its own float32 run shows how much noise the net makes by itself; the second net
may make four times as much, and four units in the last place of the largest magnitude that the blob had before the ReLU
that ends in it:

    max |second32 - first64|  <=  4 max |first32 - first64| + 4 ulp(size)

An ideal fold stays at half of that bound. A number that is NaN or the same infinity in both nets is no difference. What
a half Caffe or a device would answer is reported beside it and judges nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .errors import InputError
from .forward import PRECISIONS, Precision, Unavailable, compute, run_net
from .layers.shapes import text
from .model import Model
from .net import Net, Value
from .powers import grouped
from .rescale import Exponents
from .rounding import HalfPolicy
from .running import checked, require_weights, seeded
from .targets import policy_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

NOISE, UNITS = 4.0, 4.0
LARGEST = 2.0**127  # the power of two that begins the largest float32 numbers: beyond, they have no spacing


class BlobDifference(NamedTuple):
    """One blob of both nets. layer: of the first net, that makes it. max_abs: the largest difference in float32.

    relative: max_abs over the blob's largest magnitude. bound: how large max_abs may be. snr: in dB, inf where nothing
    differs. top1: whether the largest number of each row is at the same place; None where the rows have no classes.
    """

    blob: str
    layer: str
    max_abs: float
    relative: float
    bound: float
    cosine: float
    snr: float
    top1: Optional[bool]

    @property
    def equal(self) -> bool:
        return self.max_abs <= self.bound

    @property
    def share(self) -> float:
        """max_abs as a share of the bound; where that is 0 or infinite, 1 or 0 says whether it is beyond."""
        return self.max_abs / self.bound if 0 < self.bound < np.inf else float(self.max_abs > self.bound)


class HalfAnswer(NamedTuple):
    """An output of one net in half against the first net in float64. snr: in dB; numbers: the first few.

    Where there are more or fewer numbers, as of detections, snr is NaN.
    """

    blob: str
    snr: float
    top1: Optional[bool]
    not_finite: int
    numbers: Tuple[float, ...]


class Verification(NamedTuple):
    """rows: in the order of the first net. unavailable: common blobs that were not compared, with the reason.

    before, after: what the two nets answer in half precision; unrepaired: the second one without its range repair.
    """

    rows: Tuple[BlobDifference, ...]
    unavailable: Mapping[str, str]
    before: Tuple[HalfAnswer, ...]
    after: Tuple[HalfAnswer, ...]
    unrepaired: Tuple[HalfAnswer, ...] = ()

    @property
    def equal(self) -> bool:
        return all(row.equal for row in self.rows)

    @property
    def in_half(self) -> Tuple[Tuple[HalfAnswer, ...], ...]:
        """What is told in half precision: of the first net, of the second one before its repair, and of the second."""
        return self.before, self.unrepaired, self.after

    @property
    def first_difference(self) -> Optional[BlobDifference]:
        """Where the nets part."""
        return next((row for row in self.rows if not row.equal), None)

    @property
    def worst(self) -> BlobDifference:
        """The blob that is nearest to its bound, or farthest beyond."""
        return max(self.rows, key=lambda row: row.share)


def verify(
    first: Model,
    second: Model,
    inputs: Optional[Mapping[str, Any]] = None,
    *,
    rescaled: Optional[Mapping[str, Sequence[int]]] = None,
    unrepaired: Optional[Model] = None,
    half_policy: Union[str, HalfPolicy] = "ieee",
    seed: int = 0,
) -> Verification:
    """Compares every blob whose name both nets have, its last value; nets without such a blob by their outputs in turn.

    inputs: as for `run`; without them seeded ones. rescaled: blobs of the second net that a repair has multiplied, with
    the exponent of two of each channel. unrepaired: the second net without that repair. half_policy: how the device
    treats halves for which the answers are told; "off" for no answers.
    Raises InputError for inputs or exponents that do not fit, for a policy that is none, where a net has no weights,
    and where nothing can be compared.
    """
    for model in (first, second):
        require_weights(model)
    policy = policy_of(half_policy)
    values = seeded(first.net, seed) if inputs is None else checked(first.net, inputs)
    pairs = _pairs(first.net, second.net)
    rows, unavailable = _compared(first.net, second.net, values, pairs, _exponents(second.net, rescaled or {}))
    if not rows:
        reason = next(iter(unavailable.values()), "the nets have no blob in common")
        raise InputError(f"nothing can be compared: {reason}", where=first.document.path)
    if not policy.checked:
        return Verification(tuple(rows), unavailable, (), ())
    outputs = [blob for blob in dict.fromkeys(value.blob for value in first.net.outputs) if blob in pairs]
    truth = run_net(first.net, values, PRECISIONS["float64"], outputs).values
    own = {blob: blob for blob in outputs if blob in truth}
    others = {blob: pairs[blob] for blob in own}
    precision = Precision("half", half=policy)
    return Verification(
        tuple(rows),
        unavailable,
        _half_answers(first.net, precision, values, truth, own),
        _half_answers(second.net, precision, values, truth, others),
        () if unrepaired is None else _half_answers(unrepaired.net, precision, values, truth, others),
    )


def _pairs(first: Net, second: Net) -> Dict[str, str]:
    """What each blob of the first net is called in the second."""
    names = {name: name for name in first.blob_names if name in set(second.blob_names) and name not in first.inputs}
    made = [value.blob for layer in first.layers if layer.bottoms for value in first.tops(layer)]
    common = {name: name for name in names if name in made}
    if common:
        return common
    outputs = [list(dict.fromkeys(value.blob for value in net.outputs)) for net in (first, second)]
    return dict(zip(*outputs)) if len(outputs[0]) == len(outputs[1]) else {}


def _exponents(net: Net, rescaled: Mapping[str, Sequence[int]]) -> Dict[str, Exponents]:
    """With the axis of the channels: behind a Permute, for one, it is another."""
    places = grouped(net, (), frozenset(), frozenset()).values if rescaled else {}
    axes = {value.blob: channels.axis for value, channels in places.items()}
    return {name: Exponents(axes.get(name, 1), tuple(found)) for name, found in rescaled.items()}


def _compared(
    first: Net, second: Net, inputs: Mapping[str, Array], pairs: Mapping[str, str], rescaled: Mapping[str, Exponents]
) -> Tuple[List[BlobDifference], Dict[str, str]]:
    """A blob is kept only until all three runs have made it."""
    exact = _last_values(first, inputs, "float64", pairs)
    own = _last_values(first, inputs, "float32", pairs)
    others = _last_values(second, inputs, "float32", {name: name for name in pairs.values()})
    waiting: Dict[str, Tuple[Any, Any, float]] = {}
    found: Dict[str, BlobDifference] = {}
    unavailable: Dict[str, str] = {}
    names = {other: name for name, other in pairs.items()}
    for other_name, other, _ in others:
        name = names[other_name]
        while name not in waiting:
            (key, truth, size), (_, noisy, _) = next(exact), next(own)
            waiting[key] = (truth, noisy, size)
        truth, noisy, size = waiting.pop(name)
        computed = (truth, noisy, other)
        reason = next((each.reason for each in computed if isinstance(each, Unavailable)), None)
        if reason is not None:
            unavailable[name] = reason
        elif _is_open(first, name) and len({each.shape for each in computed}) > 1:
            shapes = ", ".join(text(each.shape) for each in computed)
            unavailable[name] = f"how many numbers it has depends on rounding: {shapes}"
        else:
            found[name] = _difference(first, name, truth, noisy, other, size, rescaled.get(other_name))
    return [found[name] for name in first.blob_names if name in found], unavailable


def _is_open(net: Net, name: str) -> bool:
    """Whether only the numbers tell the shape: how many detections there are."""
    shape = next(net.shapes[value] for layer in reversed(net.layers) for value in net.tops(layer) if value.blob == name)
    return shape is None or None in shape


def _last_values(
    net: Net, inputs: Mapping[str, Array], precision: str, wanted: Mapping[str, str]
) -> Iterator[Tuple[str, Any, float]]:
    """The last value of each wanted blob, and the largest magnitude that its numbers had on their way."""
    last = {value.blob: value for layer in net.layers for value in net.tops(layer)}
    sizes: Dict[Value, float] = {}
    for value, computed in compute(net, inputs, PRECISIONS[precision], list(wanted)):
        layer = net.producer(value)
        size = 0.0 if isinstance(computed, Unavailable) else _largest(computed)
        if layer is not None and layer.type == "ReLU":
            size = max(size, *(sizes.get(bottom, 0.0) for bottom in net.bottoms(layer)))
        sizes[value] = size
        if value.blob in wanted and last.get(value.blob) == value:
            yield value.blob, computed, size


@np.errstate(all="ignore")  # what overflowed or is NaN has its own verdict
def _difference(
    net: Net, name: str, truth: Array, noisy: Array, other: Array, size: float, exponents: Optional[Exponents]
) -> BlobDifference:
    if other.shape != truth.shape:
        raise InputError(f"blob {name} is {text(truth.shape)} in one net and {text(other.shape)} in the other")
    found = other.astype(np.float64)
    if exponents is not None:
        axis, powers = exponents
        if len(powers) not in found.shape[axis : axis + 1]:
            raise InputError(
                f"blob {name} is {text(found.shape)}, and {len(powers)} channels of it are said to be rescaled",
                remedy="give the report of the fuse that made the second net",
            )
        found = np.ldexp(found, -np.expand_dims(powers, tuple(range(1, found.ndim - axis))))
    held = np.isfinite(noisy) == np.isfinite(truth)  # what overflows in float32 as such is asked of no other net
    max_abs, noise = (_apart(numbers[held], truth[held]) for numbers in (found, noisy))
    largest = _largest(truth)
    maker = next(layer for layer in reversed(net.layers) if name in layer.tops)
    return BlobDifference(
        name,
        maker.name,
        max_abs,
        max_abs / largest if largest else 0.0,
        NOISE * noise + UNITS * float(np.spacing(np.float32(min(size, LARGEST)))),
        _cosine(found, truth),
        _snr(found, truth),
        _top1(found, truth),
    )


def _apart(found: Array, truth: Array) -> float:
    """The largest difference; infinite where only one of two numbers is finite."""
    apart = np.abs(found - truth)
    unknown = np.isnan(apart)
    if unknown.any():
        same = (found == truth) | (np.isnan(found) & np.isnan(truth))
        apart[unknown] = np.where(same[unknown], 0.0, np.inf)
    return float(np.max(apart, initial=0.0))


def _largest(numbers: Array) -> float:
    """The largest magnitude of the finite numbers."""
    return float(np.max(np.abs(numbers), initial=0.0, where=np.isfinite(numbers)))


def _half_answers(
    net: Net,
    precision: Precision,
    inputs: Mapping[str, Array],
    truth: Mapping[str, Array],
    names: Mapping[str, str],
) -> Tuple[HalfAnswer, ...]:
    """names: what the outputs of the first net are called in this one."""
    values = run_net(net, inputs, precision, list(names.values())).values
    answers = []
    for name, own in names.items():
        if own in values:
            found = values[own].astype(np.float64)
            is_same_size = found.shape == truth[name].shape
            answers.append(
                HalfAnswer(
                    name,
                    _snr(found, truth[name]) if is_same_size else np.nan,
                    _top1(found, truth[name]) if is_same_size else None,
                    int(found.size - np.count_nonzero(np.isfinite(found))),
                    tuple(float(number) for number in found.reshape(-1)[:5]),
                )
            )
    return tuple(answers)


def _cosine(found: Array, truth: Array) -> float:
    with np.errstate(all="ignore"):
        lengths = float(np.linalg.norm(found) * np.linalg.norm(truth))
        return float(np.vdot(found, truth)) / lengths if lengths else 1.0


def _snr(found: Array, truth: Array) -> float:
    """10 log10 of the energy of `truth` over that of the difference; -inf where a number is not finite."""
    if not np.isfinite(found).all():
        return -np.inf
    with np.errstate(all="ignore"):
        noise = float(np.sum(np.square(found - truth)))
        return float(10 * np.log10(np.sum(np.square(truth)) / noise)) if noise else np.inf


def _top1(found: Array, truth: Array) -> Optional[bool]:
    """Of rows (N, C) or (N, C, 1, 1) with several classes."""
    if truth.ndim < 2 or truth.shape[1] < 2 or truth.size != truth.shape[0] * truth.shape[1]:
        return None
    rows = (len(truth), -1)
    return bool(np.array_equal(found.reshape(rows).argmax(axis=1), truth.reshape(rows).argmax(axis=1)))
