"""The arrays under a sliding window: padding, views of all patches, and the products of a convolution.

Bottoms are (num, channels, space...), with one spatial axis for each window.
"""

from __future__ import annotations

from itertools import product
from math import gcd, prod
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Sequence, Tuple

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
# Elements of a block of channels of a depthwise convolution. Smaller ones, or threads, take longer: calls cost more.
BLOCK = 1 << 17


def matmul(a: Array, b: Array, out: Optional[Array] = None) -> Array:
    return np.matmul(a, b, out=out)


def padded(x: Array, windows: Sequence[Window], steps: Sizes, fill: float = 0) -> Array:
    """The bottom with `fill` around it, as far as `steps` steps of the windows reach."""
    ends = _ends(windows, x.shape[2:], steps)
    if all(window.before == 0 and end == size for window, size, end in zip(windows, x.shape[2:], ends)):
        return x
    require_possible((*x.shape[:2], *ends))
    wide = np.full((*x.shape[:2], *ends), fill, x.dtype)
    inside = tuple(slice(window.before, window.before + size) for window, size in zip(windows, x.shape[2:]))
    wide[(slice(None), slice(None), *inside)] = x
    return wide


def _ends(windows: Sequence[Window], space: Sequence[int], steps: Sizes) -> List[int]:
    """The sizes of the bottom with its padding, as far as the steps of the windows reach."""
    return [
        max(window.before + size, (count - 1) * window.stride + window.extent)
        for window, size, count in zip(windows, space, steps)
    ]


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
    """A depthwise convolution with filters (channels, outputs for each, kernel), over a few channels at a time.

    The planes of one phase of the stride are flat, so that a position in the kernel is an offset. This yields long
    runs, although some elements are between the rows of the top and are dropped at the end.
    """
    (num, channels), outputs = x.shape[:2], filters.shape[1]
    sizes = [-(-end // window.stride) for end, window in zip(_ends(windows, x.shape[2:], steps), windows)]
    require_possible((num, channels, *sizes))
    pitch = [prod(sizes[axis + 1 :]) for axis in range(len(windows))]
    length = sum((count - 1) * step for count, step in zip(steps, pitch)) + 1
    columns = list(_columns(windows, pitch))
    top = np.empty((num, channels, outputs, *steps), x.dtype)
    at_once = max(1, BLOCK // prod(sizes))
    for image, first in product(range(num), range(0, channels, at_once)):
        block = slice(first, first + at_once)
        planes = _phases(x[image, block], windows, sizes)
        item, count = x.itemsize, len(x[image, block])
        sums, terms = np.empty((2, count, length), x.dtype)
        dropped = as_strided(sums, (count, *steps), (sums.strides[0], *(step * item for step in pitch)))
        for output in range(outputs):
            for place, (phase, offset, taken, apart) in enumerate(columns):
                factors, plane = filters[block, output, taken], planes[phase]
                source = as_strided(
                    plane[:, offset:], (*factors.shape, length), (plane.strides[0], apart * item, item), writeable=False
                )
                np.einsum("ck,ckn->cn", factors, source, out=terms if place else sums)
                if place:
                    np.add(sums, terms, out=sums)
            top[image, block, output] = dropped
    return top.reshape(num, -1, *steps)


def _columns(windows: Sequence[Window], pitch: Sequence[int]) -> Iterator[Tuple[Sizes, int, slice, int]]:
    """The positions in the kernel, in parts that are equidistant along the first axis.

    Of each part the phase, the offset of the first one in the flat plane of that phase, which ones they are, and the
    distance between them. `np.einsum` adds the products of a part in one step, if the distance is more than 1 element.
    """
    first, rest = windows[0], prod(window.kernel for window in windows[1:])
    period = first.stride // gcd(first.stride, first.dilation) if len(windows) > 1 else first.kernel
    for place in np.ndindex(min(period, first.kernel), *(window.kernel for window in windows[1:])):
        moved = [divmod(index * window.dilation, window.stride) for index, window in zip(place, windows)]
        offset = sum(whole * step for (whole, _), step in zip(moved, pitch))
        start = int(np.ravel_multi_index(place, [window.kernel for window in windows]))
        apart = period * first.dilation // first.stride * pitch[0]
        yield tuple(phase for _, phase in moved), offset, slice(start, None, period * rest), apart


def _phases(x: Array, windows: Sequence[Window], sizes: Sequence[int]) -> Array:
    """(stride..., channels, elements) of x (channels, space...) with zeros around it.

    Each plane has every stride-th element, from one of the starts below the stride.
    """
    strides = tuple(window.stride for window in windows)
    planes = np.zeros((*strides, len(x), *sizes), x.dtype)
    for phase in np.ndindex(*strides):
        skipped = [max(0, -(-(window.before - start) // window.stride)) for start, window in zip(phase, windows)]
        starts = [
            start + window.stride * first - window.before for start, first, window in zip(phase, skipped, windows)
        ]
        part = x[(slice(None), *(slice(start, None, stride) for start, stride in zip(starts, strides)))]
        ends = [first + length for first, length in zip(skipped, part.shape[1:])]
        planes[phase][(slice(None), *map(slice, skipped, ends))] = part
    return planes.reshape(*strides, len(x), -1)


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
