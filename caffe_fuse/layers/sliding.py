"""The arrays under a sliding window: padding, views of all patches, and the products of a convolution.

Bottoms are (num, channels, space...), with one spatial axis for each window.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional, Sequence, Tuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .shapes import require_possible, sizes
from .window import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    # product(a, b, out): the matrix product of (..., m, k) and (..., k, n), into `out` where that is given.
    Product = Callable[[Array, Array, Optional[Array]], Array]

Sizes = Tuple[int, ...]

# Elements of the im2col columns of one product: they fit into a processor's cache, and memory stays bounded.
COLUMNS = 1 << 21
# Elements of a block of channels of a depthwise convolution.
BLOCK = 1 << 17


def matmul(a: Array, b: Array, out: Optional[Array] = None) -> Array:
    return np.matmul(a, b, out=out)


def padded(x: Array, windows: Sequence[Window], steps: Sizes, fill: float = 0) -> Array:
    """The bottom with `fill` around it, as far as `steps` steps of the windows reach."""
    ends = [
        max(window.before + size, (count - 1) * window.stride + window.extent)
        for window, size, count in zip(windows, x.shape[2:], steps)
    ]
    if all(window.before == 0 and end == size for window, size, end in zip(windows, x.shape[2:], ends)):
        return x
    require_possible((*x.shape[:2], *ends))
    wide = np.full((*x.shape[:2], *ends), fill, x.dtype)
    inside = tuple(slice(window.before, window.before + size) for window, size in zip(windows, x.shape[2:]))
    wide[(slice(None), slice(None), *inside)] = x
    return wide


def patches(wide: Array, windows: Sequence[Window], steps: Sizes) -> Array:
    """A view (num, channels, kernel..., steps...) of the result of `padded`."""
    space = wide.strides[2:]
    inner = tuple(stride * window.dilation for stride, window in zip(space, windows))
    outer = tuple(stride * window.stride for stride, window in zip(space, windows))
    kernel = tuple(window.kernel for window in windows)
    shape = (*wide.shape[:2], *kernel, *steps)
    return as_strided(wide, shape, (*wide.strides[:2], *inner, *outer), writeable=False)


def convolved_sizes(x: Array, windows: Sequence[Window]) -> Sizes:
    return sizes(tuple(window.convolved(size) for window, size in zip(windows, x.shape[2:])))


def correlate(x: Array, filters: Array, windows: Sequence[Window], product: Product) -> Array:
    """A convolution with filters (groups, outputs / groups, channels / groups * kernel): (num, outputs, steps...)."""
    steps = convolved_sizes(x, windows)
    (num, channels), groups = x.shape[:2], len(filters)
    if 1 < groups == channels and product is matmul:
        return _depthwise(x, filters, windows, steps)
    wide = padded(x, windows, steps)
    if filters.shape[2] * groups == channels:
        picked = tuple(slice(None, None, window.stride) for window in windows)
        source = wide[(slice(None), slice(None), *picked)].reshape(num, groups, channels // groups, -1)
        return product(filters, source, None).reshape(num, -1, *steps)
    top = np.empty((num, groups, filters.shape[1], prod(steps)), x.dtype)
    row = prod(steps[1:])
    rows = max(1, COLUMNS // (filters.shape[2] * groups * row))
    seen = patches(wide, windows, steps)
    lead = (slice(None),) * (1 + len(windows))
    for image in range(num):
        for first in range(0, steps[0], rows):
            part = seen[image][(*lead, slice(first, first + rows))]
            columns = part.reshape(groups, filters.shape[2], -1)
            product(filters, columns, top[image, :, :, first * row : (first + rows) * row])
    return top.reshape(num, -1, *steps)


def _depthwise(x: Array, filters: Array, windows: Sequence[Window], steps: Sizes) -> Array:
    """A depthwise convolution with filters (channels, outputs for each, kernel).

    One product for each position in the kernel, over a few channels at a time. The planes of one phase of the stride
    are flat, so that a position in the kernel is an offset. This yields long runs, although some elements are between
    the rows of the top and are dropped at the end.
    """
    num, channels = x.shape[:2]
    wide = _phases(padded(x, windows, steps), windows)
    planes, sizes = wide.reshape(*wide.shape[: len(windows)], num, channels, -1), wide.shape[2 + len(windows) :]
    pitch = [prod(sizes[axis + 1 :]) for axis in range(len(windows))]
    length = sum((count - 1) * step for count, step in zip(steps, pitch)) + 1
    top = np.empty((num, channels, filters.shape[1], *steps), x.dtype)
    at_once = max(1, BLOCK // prod(sizes))
    total, term = np.empty((2, at_once, prod(sizes)), x.dtype)
    for image, first, output in np.ndindex(num, -(-channels // at_once), filters.shape[1]):
        block = slice(first * at_once, (first + 1) * at_once)
        factors = filters[block, output]
        count = len(factors)
        sums, terms = total[:count, :length], term[:count, :length]
        for place, (phase, offset) in enumerate(_offsets(windows, pitch)):
            source = planes[phase][image, block, offset : offset + length]
            np.multiply(source, factors[:, place, np.newaxis], out=terms if place else sums)
            if place:
                np.add(sums, terms, out=sums)
        inside = tuple(slice(count) for count in steps)
        top[image, block, output] = total[:count].reshape(count, *sizes)[(slice(None), *inside)]
    return top.reshape(num, -1, *steps)


def _phases(wide: Array, windows: Sequence[Window]) -> Array:
    """(stride..., num, channels, space / stride...): every stride-th element, from each start below the stride."""
    strides = tuple(window.stride for window in windows)
    if max(strides, default=1) == 1:
        return wide.reshape(*strides, *wide.shape)
    sizes = tuple(-(-size // stride) for size, stride in zip(wide.shape[2:], strides))
    split = np.zeros((*strides, *wide.shape[:2], *sizes), wide.dtype)
    for phase in np.ndindex(*strides):
        part = wide[(slice(None), slice(None), *(slice(start, None, step) for start, step in zip(phase, strides)))]
        split[phase][tuple(slice(size) for size in part.shape)] = part
    return split


def _offsets(windows: Sequence[Window], pitch: Sequence[int]) -> Iterator[Tuple[Sizes, int]]:
    """For each position in the kernel its phase, and its offset in the flat plane of that phase."""
    for place in np.ndindex(*(window.kernel for window in windows)):
        moved = [divmod(index * window.dilation, window.stride) for index, window in zip(place, windows)]
        yield tuple(phase for _, phase in moved), sum(whole * step for (whole, _), step in zip(moved, pitch))


def scatter(x: Array, filters: Array, windows: Sequence[Window], product: Product) -> Array:
    """A deconvolution with filters (groups, channels / groups, outputs / groups * kernel): (num, outputs, space...)."""
    num, _, *sizes = x.shape
    kernel = tuple(window.kernel for window in windows)
    images = x.reshape(num, *filters.shape[:2], -1)
    spread = product(filters.swapaxes(1, 2), images, None).reshape(num, -1, *kernel, *sizes)
    full = tuple((size - 1) * window.stride + window.extent for size, window in zip(sizes, windows))
    total = np.zeros((num, spread.shape[1], *full), x.dtype)
    for place in np.ndindex(*kernel):
        target = tuple(
            slice(index * window.dilation, index * window.dilation + (size - 1) * window.stride + 1, window.stride)
            for index, window, size in zip(place, windows, sizes)
        )
        total[(slice(None), slice(None), *target)] += spread[(slice(None), slice(None), *place)]
    sides = [(window.before, window.after) for window in windows]
    inside = tuple(slice(max(before, 0), size - max(after, 0)) for (before, after), size in zip(sides, full))
    inner = total[(slice(None), slice(None), *inside)]
    if min(map(min, sides), default=0) >= 0:
        return inner
    return np.pad(inner, [(0, 0), (0, 0), *((max(-before, 0), max(-after, 0)) for before, after in sides)])
