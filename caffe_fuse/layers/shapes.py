"""The arithmetic of shapes that several layer types share."""

from __future__ import annotations

from math import prod
from typing import Any, Iterable, Optional, Sequence, Tuple

from ..errors import InputError
from .layer_type import BlobShapes, Dim, Dims, Shape, Shapes

MAX_AXES = 32  # Caffe: blob.hpp kMaxBlobAxes
LARGEST = 2**31 - 1  # of a size, and of the numbers of a blob (Caffe: blob.cpp Reshape)
# More channels than this share one range, and one power of two: their sizes stand in the text, which costs nothing.
MOST_CHANNELS = 1 << 18


class MissingBottom(InputError):
    """No Caffe has such a layer (layer.hpp CheckBlobCounts), whatever its sizes are."""


def require(bottoms: Shapes, count: int) -> Sequence[Shape]:
    """The first `count` bottoms. MissingBottom when there are fewer."""
    if len(bottoms) < count:
        raise MissingBottom(f"needs {count} bottom{'s' * (count > 1)}, has {len(bottoms)}")
    return bottoms[:count]


def size(dims: Iterable[Dim]) -> Dim:
    """The product, unknown if one factor is."""
    product = 1
    for dim in dims:
        if dim is None:
            return None
        product *= dim
    return product


def sizes(dims: Shape) -> Tuple[int, ...]:
    """A shape that is known: in a run all are."""
    return tuple(dim or 0 for dim in dims or ())


def require_possible(shape: Shape) -> None:
    """InputError for a shape that no blob of Caffe can have (blob.cpp Reshape)."""
    if shape is None:
        return
    if len(shape) > MAX_AXES:
        raise InputError(f"a blob would have {len(shape)} axes, the most are {MAX_AXES}")
    if any(dim is not None and not 0 <= dim <= LARGEST for dim in shape):
        raise InputError(f"a blob would be {text(shape)}, each size has to be from 0 to {LARGEST}")
    count = prod(dim for dim in shape if dim is not None)
    if count > LARGEST:
        raise InputError(f"a blob would be {text(shape)}, which are {count} numbers, the most are {LARGEST}")


def unknown_axes(rank: int) -> Dims:
    """As many sizes that are not known."""
    if rank > MAX_AXES:
        raise InputError(f"a blob would have {rank} axes, the most are {MAX_AXES}")
    return (None,) * rank


def axis_of(axis: int, rank: int) -> int:
    """A negative axis counts from the end (Caffe: blob.hpp CanonicalAxisIndex). InputError if outside."""
    if not -rank <= axis < rank:
        raise InputError(f"axis {axis} is outside its bottom of {rank} axes")
    return axis % rank


def known_axis(axis: int, shape: Shape) -> Optional[int]:
    """The axis, also of a shape that is not known; None where only its rank would tell, as for one from the end."""
    if shape is None:
        return axis if axis >= 0 else None
    return axis_of(axis, len(shape))


def rank_of(shape: Shape) -> int:
    """The number of axes; where it is not known the most that there can be, which every axis fits in."""
    return MAX_AXES if shape is None else len(shape)


def text(shape: Shape) -> str:
    """A shape for a message: 1x3x?x?"""
    if shape is None:
        return "an unknown shape"
    return "x".join("?" if dim is None else str(dim) for dim in shape) or "a single number"


def blob_sizes(counts: Sequence[int]) -> str:
    """The sizes of blobs for a message: blobs of 3, 3, 1 elements."""
    return f"blobs of {', '.join(map(str, counts))} elements" if counts else "no blobs"


def agreed(shapes: Sequence[Shape]) -> Shape:
    """The one shape that all of these are; each contributes what it knows. InputError where two differ."""
    result: Shape = None
    for shape in shapes:
        if result is None or shape is None:
            result = shape if result is None else result
            continue
        if len(shape) != len(result) or any(a != b for a, b in zip(shape, result) if None not in (a, b)):
            raise InputError(f"its bottoms have to be of one shape, found {text(result)} and {text(shape)}")
        result = tuple(b if a is None else a for a, b in zip(result, shape))
    return result


def replaced(shape: Dims, axis: int, dim: Dim) -> Dims:
    """The shape with another size on one axis."""
    return (*shape[:axis], dim, *shape[axis + 1 :])


def like_bottom(parameter: Any, bottoms: Shapes, _blob_shapes: BlobShapes) -> Shapes:
    """Every top has the shape of the first bottom."""
    (bottom,) = require(bottoms, 1)
    return [bottom] * len(parameter.top)
