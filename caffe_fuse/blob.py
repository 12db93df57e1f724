"""A blob's numbers, read in chunks: from a file, from memory, or as a recipe over another blob.

No more than a chunk of a blob is held at a time, so that memory does not grow with the model.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from contextlib import contextmanager
from itertools import accumulate
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from .errors import InputError, InternalError
from .wire import Source

# Elements of a chunk: 1 MB of float32. With less, threads would hand Python's lock over too often.
CHUNK = 1 << 18

FLOAT16 = np.dtype("<f2")
FLOAT32 = np.dtype("<f4")
FLOAT64 = np.dtype("<f8")

Reader = Callable[["Blob"], Iterator[np.ndarray]]


class _Buffers(threading.local):
    """The buffers that a thread has no use for just now, by their type."""

    def __init__(self) -> None:
        self.free: Dict[np.dtype, List[np.ndarray]] = {}


_BUFFERS = _Buffers()


@contextmanager
def borrowed(count: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """A buffer for `count` elements of a chunk, which the next borrower gets: fresh memory is slow to touch."""
    free = _BUFFERS.free.setdefault(dtype, [])
    buffer = free.pop() if free and free[-1].size >= count else np.empty(max(count, CHUNK), dtype)
    try:
        yield buffer[:count]
    finally:
        free.append(buffer)


class Blob:
    """An array of numbers that is read in chunks. Immutable, hashed by identity.

    shape: as Caffe sees it, () for a scalar. count: number of elements. dtype: of the chunks.
    legacy: its shape came as num, channels, height and width, which Caffe lets stand for shapes of fewer axes
    (blob.cpp:411).
    """

    def __init__(self, shape: Sequence[int], dtype: np.dtype, *, legacy: bool = False) -> None:
        self.shape: Tuple[int, ...] = tuple(shape)
        self.dtype = dtype
        self.legacy = legacy
        self.count = math.prod(self.shape)

    def chunks(self, read: Optional[Reader] = None) -> Iterator[np.ndarray]:
        """Flat arrays of 1 to CHUNK elements, in order; each is valid only until the next one is taken.

        read: how a recipe reads its base, so that a caller can watch the base's numbers go by.
        InputError when the numbers are missing or cannot be read.
        """
        return self._chunks(Blob.chunks if read is None else read)

    def array(self) -> np.ndarray:
        """All numbers at once, in `dtype` and `shape`; for small blobs."""
        pieces = [chunk.copy() for chunk in self.chunks()]
        flat = np.concatenate(pieces) if pieces else np.empty(0, self.dtype)
        return flat.reshape(self.shape)

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The elements at sorted flat indices (int64, 1-D) as float64; reads only the chunks they lie in."""
        raise NotImplementedError

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        raise NotImplementedError


class Span(NamedTuple):
    """Numbers in a source: the first at byte `start`, each `stride` bytes after the one before."""

    start: int
    length: int
    stride: int


class StoredBlob(Blob):
    """A blob whose numbers lie in a source, in one or more spans (none of them empty).

    missing: why there are no numbers to use, "" if there are. Only the use of such a blob raises InputError,
    with `where` ("FILE: layer L, blob N"): its layer may be one that the net does not have.
    unknown: fields of other dialects beside the numbers, for instance their quantization; new blobs lack
    them.
    """

    def __init__(
        self,
        source: Source,
        spans: Sequence[Span],
        dtype: np.dtype,
        shape: Sequence[int],
        *,
        where: str = "",
        legacy: bool = False,
        missing: str = "",
        unknown: Sequence[int] = (),
    ) -> None:
        super().__init__(shape, dtype, legacy=legacy)
        self.missing = missing
        self.unknown = tuple(unknown)
        self._source = source
        self._spans = tuple(spans)
        self._where = where or source.name
        self._firsts = [0, *accumulate(span.length for span in spans)]
        if not missing and self._firsts[-1] != self.count:
            raise InputError(
                f"holds {self._firsts[-1]} numbers, but its shape {list(self.shape)} needs {self.count}",
                where=self._where,
                remedy="the file is damaged: get it again",
            )

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        self._require_numbers()
        with borrowed(min(self.count, CHUNK), self.dtype) as buffer:
            for first in range(0, self.count, CHUNK):
                chunk = buffer[: self.count - first]
                self._fill(first, chunk)
                yield chunk

    def take(self, indices: np.ndarray) -> np.ndarray:
        self._require_numbers()
        result = np.empty(len(indices), FLOAT64)
        edges = np.searchsorted(indices, np.arange(0, self.count + CHUNK, CHUNK))
        with borrowed(min(self.count, CHUNK), self.dtype) as buffer:
            for number in np.flatnonzero(np.diff(edges)):
                first = int(number) * CHUNK
                wanted = slice(edges[number], edges[number + 1])
                chunk = buffer[: self.count - first]
                self._fill(first, chunk)
                result[wanted] = chunk[indices[wanted] - first]
        return result

    def _require_numbers(self) -> None:
        if self.missing:
            raise InputError(self.missing, where=self._where)

    def _fill(self, first: int, target: np.ndarray) -> None:
        index = bisect_right(self._firsts, first) - 1
        filled = 0
        while filled < len(target):
            skipped = first + filled - self._firsts[index]
            span = self._spans[index]
            part = target[filled : filled + span.length - skipped]
            self._read(span.start + skipped * span.stride, span.stride, part)
            filled += len(part)
            index += 1

    def _read(self, start: int, stride: int, target: np.ndarray) -> None:
        size = self.dtype.itemsize
        if stride == size:
            self._source.read_into(start, target.data.cast("B"))
            return
        packed = bytearray((len(target) - 1) * stride + size)
        self._source.read_into(start, memoryview(packed))
        target[:] = np.ndarray(len(target), self.dtype, packed, strides=(stride,))


class ArrayBlob(Blob):
    """A blob in memory, of an array of float16, float32 or float64; copied unless it is read-only."""

    def __init__(self, array: np.ndarray) -> None:
        super().__init__(array.shape, array.dtype)
        # One number broadcast to a shape stays one number: reshape gives a view of it.
        self._flat = (array.copy() if array.flags.writeable else array).reshape(-1)

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        for first in range(0, self.count, CHUNK):
            yield self._flat[first : first + CHUNK]

    def take(self, indices: np.ndarray) -> np.ndarray:
        result: np.ndarray = self._flat[indices].astype(FLOAT64)
        return result


class Layout(NamedTuple):
    """Which weight belongs to which output channel: ((g*inputs + a)*outputs + j)*kernel + k to g*outputs + j.

    Convolution (Co, C/G, k...): (1, 1, Co, C/G * k...). Deconvolution (Ci, Co/G, k...) with G groups:
    (G, Ci/G, Co/G, k...). InnerProduct (N, K): (1, 1, N, K), transposed (K, N): (1, K, N, 1).
    """

    groups: int
    inputs: int
    outputs: int
    kernel: int

    @property
    def channels(self) -> int:
        return self.groups * self.outputs

    @property
    def size(self) -> int:
        return self.groups * self.inputs * self.outputs * self.kernel

    def channel(self, indices: np.ndarray) -> np.ndarray:
        """The output channels of the elements at these flat indices."""
        rows = indices // self.kernel
        if self.groups == self.inputs == 1:
            return rows
        channels: np.ndarray = rows // (self.inputs * self.outputs) * self.outputs + rows % self.outputs
        return channels

    def simplified(self) -> Layout:
        """The same channels with as few axes as possible: longer runs that one multiplication covers."""
        groups, inputs, outputs, kernel = self
        if outputs == 1:
            inputs, kernel = 1, inputs * kernel
        if inputs == 1:
            groups, outputs = 1, groups * outputs
        return Layout(groups, inputs, outputs, kernel)


class Scaling(NamedTuple):
    """One factor, float64, for each channel of a layout; a layout of the input channels serves as well."""

    layout: Layout
    factors: np.ndarray


class ScaledBlob(Blob):
    """A blob times one factor for each output channel: float32, each the float64 product rounded once.

    factors: float64 (layout.channels,). further: more factors, along other channels of the same blob. A product
    beyond float32 becomes inf.
    """

    def __init__(self, base: Blob, layout: Layout, factors: np.ndarray, further: Sequence[Scaling] = ()) -> None:
        super().__init__(base.shape, FLOAT32, legacy=base.legacy)
        for each in (Scaling(layout, factors), *further):
            if each.layout.size != base.count or each.factors.shape != (each.layout.channels,):
                raise InternalError(f"{each.layout} does not fit a blob {base.shape} and factors {each.factors.shape}")
        self.base = base
        self.layout = layout
        self.factors = np.array(factors, FLOAT64)
        self.factors.flags.writeable = False
        self.further = tuple(further)

    @property
    def scalings(self) -> Tuple[Scaling, ...]:
        """All factors with their layouts."""
        return (Scaling(self.layout, self.factors), *self.further)

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        position = 0
        with borrowed(min(self.count, CHUNK), FLOAT32) as buffer:
            for chunk in read(self.base):
                target = buffer[: len(chunk)]
                # The half analysis tells of inf and NaN; numpy's warnings would only repeat it.
                with np.errstate(all="ignore"):
                    self._scale(chunk, position, target)
                position += len(chunk)
                yield target

    def take(self, indices: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            product = self.base.take(indices) * self.factors[self.layout.channel(indices)]
            for layout, factors in self.further:
                product *= factors[layout.channel(indices)]
            rounded: np.ndarray = product.astype(FLOAT32).astype(FLOAT64)
        return rounded

    def _scale(self, chunk: np.ndarray, position: int, target: np.ndarray) -> None:
        if not self.further:
            _multiply(self.layout, self.factors, chunk, position, target)
            return
        with borrowed(len(chunk), FLOAT64) as product:
            _multiply(self.layout, self.factors, chunk, position, product)
            for layout, factors in self.further:
                _multiply(layout, factors, product, position, product)
            target[:] = product


def scaled(blob: Blob, scalings: Sequence[Scaling]) -> ScaledBlob:
    """The blob times all these factors, still rounded once where it is itself such a product."""
    if isinstance(blob, ScaledBlob):
        return ScaledBlob(blob.base, blob.layout, blob.factors, (*blob.further, *scalings))
    return ScaledBlob(blob, *scalings[0], scalings[1:])


def _multiply(layout: Layout, factors: np.ndarray, numbers: np.ndarray, position: int, target: np.ndarray) -> None:
    """target = numbers * factors in float64; the numbers begin at a flat position of their blob."""
    layout = layout.simplified()
    while len(numbers):
        shape, part = _next_piece(layout, factors, position, len(numbers))
        length = math.prod(shape)
        product = target[:length].reshape(shape)
        np.multiply(numbers[:length].reshape(shape), part, out=product, dtype=FLOAT64, casting="same_kind")
        position += length
        numbers, target = numbers[length:], target[length:]


def _next_piece(
    layout: Layout, factors: np.ndarray, position: int, available: int
) -> Tuple[Tuple[int, ...], Union[float, np.ndarray]]:
    """The largest piece at `position` that one broadcast covers: its shape, and its factors."""
    _, inputs, outputs, kernel = layout
    block, row = divmod(position // kernel, outputs)
    skipped = position % kernel
    group = block // inputs
    first = group * outputs + row
    if skipped or available < kernel:
        return (min(available, kernel - skipped),), factors[first]
    if row or available < outputs * kernel:
        rows = min(available // kernel, outputs - row)
        return (rows, kernel), factors[first : first + rows, np.newaxis]
    blocks = min(available // (outputs * kernel), inputs - block % inputs)
    return (blocks, outputs, kernel), factors[first : first + outputs, np.newaxis]
