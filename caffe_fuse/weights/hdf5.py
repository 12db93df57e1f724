"""HDF5 weights, `.caffemodel.h5`: data/LAYER/INDEX holds a blob (Caffe: net.cpp:790-900, util/hdf5.cpp).

A file is untrusted: nothing in it may lead to another file, or to values that it does not hold. So links are checked
before they are followed, and datasets before they are read. Like Caffe, this reader ignores `diff`, the gradients of a
training.
"""

from __future__ import annotations

import io
import math
import re
from contextlib import contextmanager
from typing import Any, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..blobs.blob import CHUNK, FLOAT16, FLOAT32, FLOAT64, Blob, Reader, Span, StoredBlob, Taker, borrowed
from ..errors import CaffeFuseError, InputError
from ..protobuf.wire import Source
from ..schema import names
from .hdf5_writer import NESTED, write
from .records import Absent, Format, LayerRecord, WeightFile

_MAGIC = b"\x89HDF\r\n\x1a\n"
_DAMAGED = "the file is damaged: get it again"
_COPY = "copy the values into this file"
_INDEX = re.compile(rb"(0|[1-9][0-9]{0,2})\Z")  # a layer has a few blobs
_MOST_ELEMENTS = 2**31 - 1  # Caffe: blob.cpp:29
_MOST_LINKS = 16  # in a chain of soft links
_DENSEST = 1032  # the most bytes that gzip makes of one; HDF5's other filters compress less
_LARGEST_CHUNK = 1 << 26
_CHUNK_CACHE = 1 << 24  # bytes, of each dataset that is being read


def read(source: Source) -> WeightFile:
    """List the blobs of an HDF5 file; no values are read.

    Raises InputError for a file that is damaged or not in Caffe's form, or that refers to other files.
    """
    with _refusing(source.name):
        records = tuple(_records(source))
    return WeightFile(source.name, FORMAT.name, source, "V2", records, binds_last=True)


FORMAT = Format("hdf5", ".caffemodel.h5", lambda head: head.startswith(_MAGIC), read, write)


class _File(io.RawIOBase):
    """A Source as a file object for h5py: no other file is ever opened, and the bytes of a pipe need no name."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, target: Any) -> int:
        view = memoryview(target).cast("B")[: max(self._source.size - self._position, 0)]
        self._source.read_into(self._position, view)
        self._position += len(view)
        return len(view)


def _records(source: Source) -> Iterator[LayerRecord]:
    """The layers in the order of their names, as Caffe reads them (net.cpp:796 H5_INDEX_NAME)."""
    import h5py

    file = h5py.File(_File(source), "r", rdcc_nbytes=_CHUNK_CACHE)
    data = _data_of(file, source.name)
    for index, name in enumerate(sorted(data)):
        layer = names.decode(name)
        where = f"{source.name}: layer {layer}"
        group = _followed(data, name, where)
        if not isinstance(group, h5py.h5g.GroupID):
            raise InputError("is not a group of blobs in the group /data", where=where, remedy=_DAMAGED)
        blobs = {}
        for label in sorted(group):
            place, blob_where = _place(group, label, where), f"{where}, blob {names.decode(label)}"
            blobs[place] = _blob(source, file, _followed(group, label, blob_where), blob_where)
        listed = [blobs.get(place) or Absent(f"{where}, blob {place}") for place in range(max(blobs, default=-1) + 1)]
        yield LayerRecord(index, layer, None, (), (), tuple(listed), (0, 0))


def _data_of(file: Any, path: str) -> Any:
    import h5py

    root = h5py.h5g.open(file.id, b"/")
    members = sorted(root)
    if b"data" in members and root.links.get_info(b"data").type == h5py.h5l.TYPE_HARD:
        data = h5py.h5o.open(root, b"data")
        if isinstance(data, h5py.h5g.GroupID):
            return data
        what = "is an HDF5 file of inputs for a net (/data is not a group)"
    elif b"learned_net" in members:
        what = "is a solver state"
    else:
        listed = ", ".join(names.decode(name) for name in members[:5]) or "nothing"
        what = f"is an HDF5 file, but not of Caffe weights: expected a group /data, found {listed}"
    raise InputError(what, where=path, remedy="give the .caffemodel or .caffemodel.h5")


def _followed(group: Any, name: bytes, where: str, links: int = 0) -> Any:
    """The object that a link in /data refers to, which has to be in /data, too."""
    import h5py

    kind = group.links.get_info(name).type
    if kind == h5py.h5l.TYPE_HARD:
        return h5py.h5o.open(group, name)
    if kind != h5py.h5l.TYPE_SOFT:
        raise InputError("is a link to another file, which is not followed", where=where, remedy=_COPY)
    target: bytes = group.links.get_val(name)
    steps = [step for step in target.split(b"/") if step not in (b"", b".")]
    shown = names.decode(target)
    if target.startswith(b"/") and steps[:1] != [b"data"]:
        raise InputError(f"is a link to {shown}, outside of the group /data", where=where, remedy=_COPY)
    node = h5py.h5g.open(group, b"/") if target.startswith(b"/") else group
    for step in steps:
        if links == _MOST_LINKS or not isinstance(node, h5py.h5g.GroupID) or not node.links.exists(step):
            raise InputError(f"is a link to {shown}, which does not exist", where=where, remedy=_DAMAGED)
        node = _followed(node, step, where, links + 1)
    return node


def _place(group: Any, label: bytes, where: str) -> int:
    import h5py

    shown = names.decode(label)
    kind = h5py.h5o.get_info(group, label).type if group.links.get_info(label).type == h5py.h5l.TYPE_HARD else None
    if kind == h5py.h5o.TYPE_GROUP:
        raise InputError(f"contains the group {shown}: {NESTED}", where=where, remedy="rename the layer, and its group")
    if not _INDEX.match(label):
        raise InputError(f"holds {shown}, expected blobs 0, 1, 2 and so on", where=where, remedy=_DAMAGED)
    return int(label)


class _Kind(NamedTuple):
    """A type of values in the file: the dtype in which they are read, and whether the bytes are the same."""

    dtype: np.dtype
    same: bool


def _kind(stored: Any, where: str) -> _Kind:
    """Caffe reads every float and integer as float (util/hdf5.cpp:31); here integers become float64, to lose less."""
    import h5py

    if stored.get_class() == h5py.h5t.INTEGER:
        return _Kind(FLOAT64, False)
    if stored.get_class() != h5py.h5t.FLOAT:
        raise InputError("holds neither floats nor integers", where=where, remedy="store the blob as floats")
    h5t = h5py.h5t
    for dtype, native, swapped in (
        (FLOAT16, h5t.IEEE_F16LE, h5t.IEEE_F16BE),
        (FLOAT32, h5t.IEEE_F32LE, h5t.IEEE_F32BE),
    ):
        if stored in (native, swapped):
            return _Kind(dtype, stored == native)
    return _Kind(FLOAT64, stored == h5t.IEEE_F64LE)


def _blob(source: Source, file: Any, dataset: Any, where: str) -> Blob:
    import h5py

    if not isinstance(dataset, h5py.h5d.DatasetID):
        raise InputError("is not a dataset", where=where, remedy=_DAMAGED)
    stored = dataset.get_type()
    kind = _kind(stored, where)
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5py.h5s.NULL:
        raise InputError("has no shape", where=where, remedy=_DAMAGED)
    shape = tuple(map(int, space.get_simple_extent_dims()))
    count = math.prod(shape)
    if count > _MOST_ELEMENTS:
        raise InputError(f"has the impossible shape {list(shape)}", where=where, remedy=_DAMAGED)
    _check_storage(source, dataset, count * stored.get_size(), where)
    offset = dataset.get_offset()
    if kind.same and offset is not None and offset + count * kind.dtype.itemsize <= source.size:
        return StoredBlob(source, [Span(offset, count, kind.dtype.itemsize)], kind.dtype, shape, where=where)
    return DatasetBlob(file, h5py.h5i.get_name(dataset), kind.dtype, shape, where)


def _check_storage(source: Source, dataset: Any, size: int, where: str) -> None:
    """Raises InputError if the file itself cannot hold so many bytes, even compressed."""
    import h5py

    settings = dataset.get_create_plist()
    layout = settings.get_layout()
    if layout not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED) or settings.get_external_count():
        raise InputError("is stored in other files or datasets", where=where, remedy=_COPY)
    densest = 1
    if layout == h5py.h5d.CHUNKED:
        densest = _DENSEST
        chunk = math.prod(settings.get_chunk()) * dataset.get_type().get_size()
        if chunk > _LARGEST_CHUNK:
            what = f"is stored in pieces of {chunk} bytes, more than {_LARGEST_CHUNK}"
            raise InputError(what, where=where, remedy="rewrite the file with `h5repack -l CONTI`")
    held = min(dataset.get_storage_size(), source.size)
    if size > held * densest:
        raise InputError(f"needs {size} bytes of values, but the file holds {held}", where=where, remedy=_DAMAGED)


class DatasetBlob(Blob):
    """A blob that has to be read with HDF5: compressed, in chunks, or of a type that has to be converted.

    path: of the dataset, without soft links.
    """

    def __init__(self, file: Any, path: bytes, dtype: np.dtype, shape: Tuple[int, ...], where: str) -> None:
        super().__init__(shape, dtype)
        self._file = file
        self._path = path
        self._where = where

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        import h5py

        # Opened for each use: HDF5 caches uncompressed chunks as long as a dataset is open.
        with _refusing(self._where):
            dataset = h5py.h5d.open(self._file.id, self._path)
        with borrowed(min(self.count, CHUNK), self.dtype) as buffer:
            for start, extent in _slabs(self.shape):
                chunk = buffer[: math.prod(extent)]
                with _refusing(self._where):
                    space = dataset.get_space()
                    if self.shape:
                        space.select_hyperslab(start, extent)
                    within = h5py.h5s.create_simple((chunk.size,))
                    dataset.read(within, space, chunk, h5py.h5t.py_create(self.dtype))
                yield chunk

    def _take(self, indices: np.ndarray, take: Taker) -> np.ndarray:
        result = np.empty(len(indices), FLOAT64)
        first = 0
        for chunk in self.chunks():
            start, end = np.searchsorted(indices, (first, first + len(chunk)))
            result[start:end] = chunk[indices[start:end] - first]
            first += len(chunk)
        return result


def _slabs(shape: Sequence[int]) -> Iterator[Tuple[Tuple[int, ...], Tuple[int, ...]]]:
    """Starts and extents of consecutive blocks of the flat array, of at most CHUNK elements each."""
    if not shape:
        yield (), ()
    if 0 in shape or not shape:
        return
    axis = next(axis for axis in range(len(shape)) if math.prod(shape[axis + 1 :]) <= CHUNK)
    inner = tuple(shape[axis + 1 :])
    step = CHUNK // math.prod(inner)
    for outer in np.ndindex(*shape[:axis]):
        for first in range(0, shape[axis], step):
            extent = (*(1,) * axis, min(step, shape[axis] - first), *inner)
            yield (*outer, first, *(0,) * len(inner)), extent


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    """Turns the errors of h5py about a file into InputError."""
    try:
        yield
    except CaffeFuseError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"HDF5 cannot read it: {error}", where=where, remedy=_DAMAGED) from error


__all__: List[str] = ["FORMAT", "DatasetBlob", "read", "write"]
