"""LayerType, all that the package knows about one layer type: its facets, and the types they exchange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, List, NamedTuple, Optional, Protocol, Sequence, Tuple, Union

import numpy as np

from ..errors import InternalError
from ..wording import Remedy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..blobs.blob import Blob
    from ..blobs.scaled import Layout
    from .batch_norm.read import Statistics
    from .carried import Carries
    from .homogeneous import Moved, Setting
    from .ranges import Ranges
    from .sliding import Product

    Doubles = NDArray[np.float64]
    Arrays = Sequence[NDArray[Any]]

Dim = Optional[int]  # None: the size is not known
Dims = Tuple[Dim, ...]
Shape = Optional[Dims]  # None: not even the rank is known
Shapes = Sequence[Shape]
BlobShapes = Sequence[Tuple[int, ...]]

# What an output holds: probabilities of classes; scores of classes, if no layer reads them; boxes.
CLASSES, SCORES, DETECTIONS = "classes", "scores", "detections"


class Refusal(NamedTuple):
    """Why something cannot be done. The reason says what was found; it is reported with its remedy."""

    reason: str
    remedy: Optional[Remedy] = None


@dataclass(frozen=True, eq=False)
class Affine:
    """y = scale * x + shift, with one scale and one shift for each index along `axis`.

    scale and shift are read-only float64 of shape (channels,), or (1,) if one pair applies to every element; then
    `axis` has no meaning. They may be infinite; the code that writes them into a layer refuses that.
    """

    axis: int
    scale: Doubles
    shift: Doubles

    def __post_init__(self) -> None:
        scale = np.array(self.scale, dtype=np.float64).reshape(-1)
        shift = np.array(self.shift, dtype=np.float64).reshape(-1)
        for name, values in zip(("scale", "shift"), np.broadcast_arrays(scale, shift)):
            frozen = values.copy()
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)

    @property
    def channels(self) -> int:
        """The number of channels; 1 if one pair applies to every element."""
        return int(self.scale.size)

    @property
    def is_identity(self) -> bool:
        return bool(np.all(self.scale == 1) and np.all(self.shift == 0))

    def equals(self, other: Affine) -> bool:
        """Whether both are the same function; one pair of numbers may stand for a whole axis."""
        if self.channels > 1 and other.channels > 1 and (self.axis, self.channels) != (other.axis, other.channels):
            return False
        return bool(np.all(self.scale == other.scale) and np.all(self.shift == other.shift))

    def fits(self, following: Affine) -> bool:
        """Whether `then(following)` is possible: both are along one axis and agree about its size."""
        if self.channels == 1 or following.channels == 1:
            return True
        return (self.axis, self.channels) == (following.axis, following.channels)

    def then(self, following: Affine) -> Affine:
        """The affine following(self(x)). Raises InternalError unless `fits`."""
        if not self.fits(following):
            raise InternalError(
                f"an affine of {self.channels} channels on axis {self.axis} cannot be followed by one of "
                f"{following.channels} on axis {following.axis}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            scale = self.scale * following.scale
            shift = self.shift * following.scale + following.shift
        return Affine(following.axis if self.channels == 1 else self.axis, scale, shift)


IDENTITY = Affine(1, np.ones(1), np.zeros(1))


def single(value: float) -> float:
    """The value as the float32 that Caffe computes with; protobuf returns some defaults as doubles."""
    return float(np.float32(value))


class Random(Protocol):
    """A source of random numbers, such as numpy.random.Generator."""

    def random(self, shape: Tuple[int, ...]) -> NDArray[np.float64]:
        """Uniform in [0, 1)."""


class Absorbed(NamedTuple):
    """A layer with weights that has absorbed an affine: its new LayerParameter and its new blobs."""

    parameter: Any
    blobs: Tuple[Blob, ...]


class Inflow(NamedTuple):
    """An affine before a layer with weights: for each input of the weights, float64 (layout.channels,).

    layout: which input belongs to which weight.
    """

    layout: Layout
    scale: Doubles
    shift: Doubles


class Absorber(NamedTuple):
    """How a layer with weights absorbs the affine after it, and the one before it.

    channels(parameter): the number of output channels
    layout(parameter, weight shape): the output channel of each weight; InputError for a shape that does not fit
    has_bias(parameter)
    absorb(parameter, blobs, affine, inflow): weights * scale * inflow.scale, and
        (bias + sum(weights * inflow.shift)) * scale + shift; inflow may be None
    inflow(parameter, weight shape, affine, bottom shape): the affine before the layer, for each input of its weights;
        Refusal where not every sum takes in values that were shifted
    sampled_weights(parameter, weight shape, count, random): int64 (channels, n), n <= count: for each output channel
        the flat indices of some of its weights, ascending; from Caffe's definition of the blob, never through
        `layout`, so that a proof with it detects a wrong layout
    inputs(parameter, weight shape, places): the input channel that the weight at each flat index is multiplied with,
        int64; an InnerProduct has one for each element that it sums up. From Caffe's definition, too
    outputs(parameter, weight shape, places): the output channel of the weight at each flat index, int64. From Caffe's
        definition, too
    inputs_shape(parameter, weight shape, bottom shape): of a bottom for one sum; its last axis is the kernel if the
        weights have spatial axes
    least(parameter, bottom shape): the smallest bottom in which each sum of the layer occurs once; the bottom has two
        axes or more. None: the layer sums over images
    has_space: whether the weights have spatial axes
    """

    channels: Callable[[Any], int]
    layout: Callable[[Any, Sequence[int]], Layout]
    has_bias: Callable[[Any], bool]
    absorb: Callable[[Any, Sequence[Blob], Affine, Optional[Inflow]], Union[Absorbed, Refusal]]
    inflow: Callable[[Any, Sequence[int], Affine, Shape], Union[Inflow, Refusal]]
    sampled_weights: Callable[[Any, Sequence[int], int, Random], NDArray[np.int64]]
    inputs: Callable[[Any, Sequence[int], NDArray[np.int64]], NDArray[np.int64]]
    outputs: Callable[[Any, Sequence[int], NDArray[np.int64]], NDArray[np.int64]]
    inputs_shape: Callable[[Any, Sequence[int], Shape], Tuple[int, ...]]
    least: Callable[[Any, Dims], Optional[Dims]]
    has_space: bool


class LayerType(NamedTuple):
    """One layer type. A facet that is None is not known for this type.

    `parameter` is a LayerParameter whose phase is set, as Caffe does from the net's (net.cpp Init).

    shapes(parameter, bottom shapes, blob shapes): the shapes of the tops; unknown sizes of bottoms stay unknown
    blobs(parameter, bottom shapes): the shapes of the learned blobs that BVLC Caffe makes; the usual rank if that is
        not known. None: the type has no learned blobs, or dialects disagree about them
    affine(parameter, blobs, bottom shapes): the function of the layer, if that is y = scale * x + shift
    absorb: for layers with weights
    unabsorbing: why a layer with weights can absorb nothing, where that surprises
    forward(parameter, blobs, bottoms): the tops, computed in the bottoms' dtype; the blobs may have Caffe's old four
        axes. The shapes have been checked by `shapes` and `blobs`. It may return a bottom, or a view of one
    sums(parameter, blobs, bottoms, product): forward with another matrix product, for layers with weights
    statistics(parameter, blobs): the statistics of a BatchNorm that uses stored ones
    ranges(passage): the ranges of its tops, from those of its bottoms
    stored(parameter, blobs, bottoms, kept): forward of a layer that stores intermediate results in blobs of its own;
        `kept` rounds values to what such a blob holds
    most: the number of bottoms that its forward function takes at most; None: any number
    parted(parameter): the parameter without the activation inside the layer, and a LayerParameter of that activation
        without names; None if there is none inside
    topless: whether it may have no top
    discards: whether it reads its bottoms only so that they are no outputs
    shares(parameter): whether its tops share the memory of its first bottom (Caffe: ShareData)
    carries(carried): the affines of its bottoms that yield the given affines of its tops (carried.py)
    homogeneous(setting): how powers of two pass through it; None if they do not
    channel_axis(parameter, bottom shape): the axis of the bottom with the channels that its blobs have values for; None
        if that depends on an unknown rank
    scales: whether its blobs hold one factor for each channel
    fillers: the message of its settings, and the field with the filler of each blob
    keeps: whether it copies each row of values unchanged, except in training
    picks(parameter): whether each element of its tops is one of its bottoms, or 0: then it need not be rounded again
    cuts: whether it removes the largest values, while the rounding errors that they caused may remain
    answer: what its values are if they are an output: CLASSES, SCORES, or DETECTIONS
    multiply_adds(parameter, bottom shapes, top shapes): of one run; None if sizes are unknown
    foreign: whether BVLC Caffe does not have it; then it is what most of the Caffes that have it compute
    Invalid combinations of parameters and shapes raise InputError without a place: the caller knows the layer.
    """

    name: str
    shapes: Callable[[Any, Shapes, BlobShapes], Shapes]
    blobs: Optional[Callable[[Any, Shapes], Sequence[Dims]]] = None
    affine: Optional[Callable[[Any, Arrays, Shapes], Union[Affine, Refusal]]] = None
    absorb: Optional[Absorber] = None
    forward: Optional[Callable[[Any, Arrays, Arrays], List[NDArray[Any]]]] = None
    parted: Optional[Callable[[Any], Optional[Tuple[Any, Any]]]] = None
    sums: Optional[Callable[[Any, Arrays, Arrays, Product], List[NDArray[Any]]]] = None
    stored: Optional[Callable[[Any, Arrays, Arrays, Callable[[Any], Any]], List[NDArray[Any]]]] = None
    most: Optional[int] = None
    topless: bool = False
    discards: bool = False
    shares: Optional[Callable[[Any], bool]] = None
    homogeneous: Optional[Callable[[Setting], Optional[Moved]]] = None
    carries: Optional[Carries] = None
    statistics: Optional[Callable[[Any, Arrays], Union[Statistics, Refusal]]] = None
    ranges: Optional[Ranges] = None
    channel_axis: Optional[Callable[[Any, Shape], Optional[int]]] = None
    scales: bool = False
    fillers: Tuple[str, ...] = ()
    keeps: bool = False
    picks: Optional[Callable[[Any], bool]] = None
    cuts: bool = False
    answer: Optional[str] = None
    multiply_adds: Optional[Callable[[Any, Shapes, Shapes], Optional[int]]] = None
    foreign: bool = False
    unabsorbing: str = ""
