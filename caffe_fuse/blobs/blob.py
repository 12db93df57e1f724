"""Blobs, whose values are read in chunks: from a file, from memory, or computed from another blob.

At most one chunk of a blob is in memory at a time, so that memory does not grow with the model.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from contextlib import contextmanager
from itertools import accumulate
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError
from ..protobuf.wire import Source

# Elements of a chunk: 1 MB of float32. With fewer, threads would pass Python's lock on too often.
CHUNK = 1 << 18

# A blob of at most so many elements may stay in memory, and is measured together with others.
SMALL = 1 << 12

FLOAT16 = np.dtype("<f2")
FLOAT32 = np.dtype("<f4")
FLOAT64 = np.dtype("<f8")

Reader = Callable[["Blob"], Iterator[np.ndarray]]
Taker = Callable[["Blob", np.ndarray], np.ndarray]


class _Buffers(threading.local):
    """The buffers that a thread is not using, by dtype."""

    def __init__(self) -> None:
        self.free: Dict[np.dtype, List[np.ndarray]] = {}


_BUFFERS = _Buffers()


@contextmanager
def borrowed(count: int, dtype: np.dtype) -> Iterator[np.ndarray]:
    """A buffer for `count` elements of a chunk, which is used again afterwards: fresh memory is slow to touch."""
    free = _BUFFERS.free.setdefault(dtype, [])
    buffer = free.pop() if free and free[-1].size >= count else np.empty(max(count, CHUNK), dtype)
    try:
        yield buffer[:count]
    finally:
        free.append(buffer)


class Blob:
    """An array that is read in chunks. Immutable, hashed by identity.

    shape: as Caffe sees it, () for a scalar. count: number of elements. dtype: of the chunks.
    legacy: its shape is stored as num, channels, height and width, which Caffe accepts for shapes of fewer axes, too
    (blob.cpp:411).
    """

    def __init__(self, shape: Sequence[int], dtype: np.dtype, *, legacy: bool = False) -> None:
        self.shape: Tuple[int, ...] = tuple(shape)
        self.dtype = dtype
        self.legacy = legacy
        self.count = math.prod(self.shape)

    def chunks(self, read: Optional[Reader] = None) -> Iterator[np.ndarray]:
        """Flat arrays of 1 to CHUNK elements, in order; each is valid only until the next one is taken.

        read: how a derived blob reads its base, so that a caller can observe the base's values on the way.
        Raises InputError if the values are missing or cannot be read.
        """
        return self._chunks(Blob.chunks if read is None else read)

    def array(self) -> np.ndarray:
        """All values at once, in `dtype` and `shape`, not to be written to; for small blobs."""
        pieces = [chunk.copy() for chunk in self.chunks()]
        flat = np.concatenate(pieces) if pieces else np.empty(0, self.dtype)
        return flat.reshape(self.shape)

    def take(self, indices: np.ndarray, take: Optional[Taker] = None) -> np.ndarray:
        """The elements at sorted flat indices (int64, 1-D) as float64; reads only the chunks that hold them.

        take: how a derived blob takes the elements of its base, for a caller that already has them.
        """
        return self._take(indices, Blob.take if take is None else take)

    def in_type(self, dtype: np.dtype) -> Blob:
        """The same values as float16, float32 or float64; those of a derived blob are still rounded only once."""
        return self if dtype == self.dtype else CastBlob(self, dtype, self.shape)

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        raise NotImplementedError

    def _take(self, indices: np.ndarray, take: Taker) -> np.ndarray:
        raise NotImplementedError


class Span(NamedTuple):
    """`length` elements in a source: the first at byte `start`, each `stride` bytes after the previous one."""

    start: int
    length: int
    stride: int


class StoredBlob(Blob):
    """A blob whose values are in a source, in one or more spans (none of them empty).

    missing: why it has no usable values, "" if it has. Only the use of such a blob raises InputError, with `where`
    ("FILE: layer L, blob N"): its layer may be one that the net does not have.
    unknown: the numbers of fields of other dialects, for instance of a quantization; new blobs lack them.
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
        self._array: Optional[np.ndarray] = None
        if not missing and self._firsts[-1] != self.count:
            raise InputError(
                f"holds {self._firsts[-1]} elements, but its shape {list(self.shape)} needs {self.count}",
                where=self._where,
                remedy="the file is damaged: get it again",
            )

    def array(self) -> np.ndarray:
        """All values at once. A small array is kept: the statistics of a BatchNorm are read several times."""
        if self._array is not None:
            return self._array
        self._require_values()
        array = np.empty(self.count, self.dtype)
        self._fill(0, array)
        array.flags.writeable = False
        if self.count <= SMALL:
            self._array = array.reshape(self.shape)
        return array.reshape(self.shape)

    @property
    def stored(self) -> Optional[Tuple[int, int]]:
        """The bytes of its values in the source, [start, end), where these are what its chunks are."""
        if self.missing or len(self._spans) != 1 or self._spans[0].stride != self.dtype.itemsize:
            return None
        start, length, size = self._spans[0]
        return start, start + length * size

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        self._require_values()
        if self._array is not None:
            yield self._array.reshape(-1)
            return
        with borrowed(min(self.count, CHUNK), self.dtype) as buffer:
            for first in range(0, self.count, CHUNK):
                chunk = buffer[: self.count - first]
                self._fill(first, chunk)
                yield chunk

    def _take(self, indices: np.ndarray, take: Taker) -> np.ndarray:
        self._require_values()
        result = np.empty(len(indices), FLOAT64)
        with borrowed(min(self.count, CHUNK), self.dtype) as buffer:
            for first, wanted in zip(range(0, self.count, CHUNK), by_chunk(indices, self.count)):
                if wanted.start < wanted.stop:
                    chunk = buffer[: self.count - first]
                    self._fill(first, chunk)
                    result[wanted] = chunk[indices[wanted] - first]
        return result

    def _require_values(self) -> None:
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
    """A blob in memory, from an array of float16, float32 or float64; copied unless it is read-only.

    dtype: the type to which its values are rounded, once, when they are read; by default the array's own.
    """

    def __init__(self, array: np.ndarray, dtype: Optional[np.dtype] = None) -> None:
        super().__init__(array.shape, dtype or array.dtype)
        # One value that is broadcast to a shape still takes no more memory: reshape returns a view.
        self._flat = (array.copy() if array.flags.writeable else array).reshape(-1)
        self._flat.flags.writeable = False

    def in_type(self, dtype: np.dtype) -> Blob:
        return ArrayBlob(self._flat.reshape(self.shape), dtype)

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        for first in range(0, self.count, CHUNK):
            yield cast(self._flat[first : first + CHUNK], self.dtype)

    def _take(self, indices: np.ndarray, take: Taker) -> np.ndarray:
        result: np.ndarray = cast(self._flat[indices], self.dtype).astype(FLOAT64)
        return result


class CastBlob(Blob):
    """The values of another blob, in another type or shape."""

    def __init__(self, base: Blob, dtype: np.dtype, shape: Sequence[int]) -> None:
        super().__init__(shape, dtype, legacy=base.legacy and tuple(shape) == base.shape)
        self.base = base

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        for chunk in read(self.base):
            yield cast(chunk, self.dtype)

    def _take(self, indices: np.ndarray, take: Taker) -> np.ndarray:
        result: np.ndarray = cast(take(self.base, indices), self.dtype).astype(FLOAT64)
        return result


def by_chunk(indices: np.ndarray, count: int) -> List[slice]:
    """For each chunk of a blob of `count` elements, the slice of the sorted indices that lie in it."""
    edges = np.searchsorted(indices, np.arange(0, count + CHUNK, CHUNK)).tolist()
    return [slice(*pair) for pair in zip(edges, edges[1:])]


def cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values in another type, each rounded to the nearest."""
    # The fp16 analysis reports values that become infinite; numpy's warning would only repeat it.
    with np.errstate(all="ignore"):
        return values.astype(dtype, copy=False)
