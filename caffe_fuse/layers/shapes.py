"""The arithmetic of shapes that several layer types share."""

from __future__ import annotations

from math import prod
from typing import Any, Iterable, Optional, Sequence, Tuple

from ..errors import InputError
from .layer_type import BlobShapes, Dim, Dims, Shape, Shapes

MAX_AXES = 32  # Caffe: blob.hpp kMaxBlobAxes
LARGEST = 2**31 - 1  # size of an axis, and count of the elements of a blob (Caffe: blob.cpp Reshape)
# More channels than this share one range, and one power of two: a text can ask for any size at no cost.
MOST_CHANNELS = 1 << 18


class MissingBottom(InputError):
    """A bottom is missing: every Caffe rejects such a layer (layer.hpp CheckBlobCounts), whatever its sizes are."""


def require(bottoms: Shapes, count: int) -> Sequence[Shape]:
    """The first `count` bottoms. Raises MissingBottom if there are fewer."""
    if len(bottoms) < count:
        raise MissingBottom(f"needs {count} bottom{'s' * (count > 1)}, has {len(bottoms)}")
    return bottoms[:count]


def size(dims: Iterable[Dim]) -> Dim:
    """The product of sizes; None if one is unknown."""
    product = 1
    for dim in dims:
        if dim is None:
            return None
        product *= dim
    return product


def sizes(dims: Shape) -> Tuple[int, ...]:
    """A shape as integers: in a run all sizes are known."""
    return tuple(dim or 0 for dim in dims or ())


def require_possible(shape: Shape) -> None:
    """Raises InputError for a shape that no blob of Caffe can have (blob.cpp Reshape)."""
    if shape is None:
        return
    if len(shape) > MAX_AXES:
        raise InputError(f"a blob would have {len(shape)} axes; the maximum is {MAX_AXES}")
    if any(dim is not None and not 0 <= dim <= LARGEST for dim in shape):
        raise InputError(f"a blob would be {text(shape)}; each size has to be from 0 to {LARGEST}")
    count = prod(dim for dim in shape if dim is not None)
    if count > LARGEST:
        raise InputError(f"a blob would be {text(shape)}, {count} elements; the maximum is {LARGEST}")


def unknown_axes(rank: int) -> Dims:
    """A shape of this rank with unknown sizes."""
    if rank > MAX_AXES:
        raise InputError(f"a blob would have {rank} axes; the maximum is {MAX_AXES}")
    return (None,) * rank


def axis_of(axis: int, rank: int) -> int:
    """The axis, counted from 0 (Caffe: blob.hpp CanonicalAxisIndex). Raises InputError if it is outside."""
    if not -rank <= axis < rank:
        raise InputError(f"axis {axis} is outside its bottom of {rank} axes")
    return axis % rank


def known_axis(axis: int, shape: Shape) -> Optional[int]:
    """The axis from 0, even of an unknown shape; None if it depends on the rank, as an axis from the end does."""
    if shape is None:
        return axis if axis >= 0 else None
    return axis_of(axis, len(shape))


def rank_of(shape: Shape) -> int:
    """The number of axes; if it is not known, the maximum, which every axis fits in."""
    return MAX_AXES if shape is None else len(shape)


def text(shape: Shape) -> str:
    """A shape for a message: 1x3x?x?"""
    if shape is None:
        return "an unknown shape"
    return "x".join("?" if dim is None else str(dim) for dim in shape) or "a scalar"


def blob_sizes(counts: Sequence[int]) -> str:
    """The sizes of blobs for a message: blobs of 3, 3, 1 elements."""
    return f"blobs of {', '.join(map(str, counts))} elements" if counts else "no blobs"


def agreed(shapes: Sequence[Shape]) -> Shape:
    """The shape on which all of these agree, with the sizes known from any of them. InputError if two differ."""
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


def one_for_each(_parameter: Any, _bottoms: Shapes, tops: Shapes) -> Optional[int]:
    """The multiply-adds of a layer that computes each element from one other: the elements of its tops."""
    counts = [None if top is None else size(top) for top in tops]
    return None if None in counts else sum(count or 0 for count in counts)


def like_bottom(parameter: Any, bottoms: Shapes, _blob_shapes: BlobShapes) -> Shapes:
    """Every top has the shape of the first bottom."""
    (bottom,) = require(bottoms, 1)
    return [bottom] * len(parameter.top)
