"""Writes HDF5 weights: h5py lays the file out in memory, without values, which are then written to their offsets."""

from __future__ import annotations

import io
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from .. import parallel
from ..blobs.blob import FLOAT16, FLOAT32, FLOAT64, Blob, Reader
from ..errors import InputError
from ..schema import names
from .caffemodel_writer import write_values
from .records import Absent, Output, Plan, Rewritten, WeightFile

NESTED = "Caffe cannot read back a layer whose name contains a /, because in HDF5 that is a group in a group"

_PAGE = 1 << 12


def write(original: WeightFile, plan: Plan, out: Output, chunks: Reader = Blob.chunks) -> None:
    """Write the plan's layers as a new file: a group for each, with a dataset in the blob's dtype for each blob.

    original: names the file in errors. If two records have one name, the later one counts, as when Caffe reads them.
    Several threads call `out` and `chunks`. Raises InputError, before anything is written, for a name that Caffe could
    not read back.
    """
    layers: Dict[bytes, Sequence[Blob]] = {}
    for entry in plan:
        layer = entry if isinstance(entry, Rewritten) else entry.record
        _check_name(layer.name, original.path)
        name = names.encode(layer.name)
        layers[name] = layer.blobs or layers.get(name, ())
    structure = _Structure()
    places = sorted(_lay_out(structure, layers), key=lambda place: place.offset)
    for start, end in _between(places, structure.size):
        structure.seek(start)
        out(start, memoryview(structure.read(end - start)))

    def write_blob(place: _Place) -> None:
        write_values(place.blob, place.offset, out, chunks)

    parallel.each(write_blob, sorted(places, key=lambda place: -place.blob.count))


def _check_name(name: str, path: str) -> None:
    if "/" in name:
        raise InputError(
            f"layer {name} cannot be written as HDF5: {NESTED}", where=path, remedy="use --weights-format caffemodel"
        )
    if name in ("", ".") or "\0" in name:
        raise InputError(
            f"a layer is called {name!r}, which is not a valid name of an HDF5 group",
            where=path,
            remedy="use --weights-format caffemodel",
        )


class _Place(NamedTuple):
    """The offset of a blob's values in the file."""

    offset: int
    blob: Blob


class _Structure(io.RawIOBase):
    """A sparse file in memory: unwritten bytes are 0 and take no memory."""

    def __init__(self) -> None:
        self.size = 0
        self._pages: Dict[int, bytearray] = {}
        self._position = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def truncate(self, size: Any = None) -> int:
        self.size = self._position if size is None else size
        return self.size

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for page, start, part in self._parts(len(view)):
            self._pages.setdefault(page, bytearray(_PAGE))[part] = view[start : start + part.stop - part.start]
        self._position += len(view)
        self.size = max(self.size, self._position)
        return len(view)

    def readinto(self, target: Any) -> int:
        view = memoryview(target).cast("B")[: max(self.size - self._position, 0)]
        for page, start, part in self._parts(len(view)):
            length = part.stop - part.start
            view[start : start + length] = self._pages.get(page, bytes(_PAGE))[part]
        self._position += len(view)
        return len(view)

    def _parts(self, length: int) -> Iterator[Tuple[int, int, slice]]:
        """For each page of the next `length` bytes: its index, the first of those bytes in it, and its slice."""
        done = 0
        while done < length:
            page, offset = divmod(self._position + done, _PAGE)
            taken = min(_PAGE - offset, length - done)
            yield page, done, slice(offset, offset + taken)
            done += taken


def _lay_out(structure: _Structure, layers: Mapping[bytes, Sequence[Blob]]) -> Iterator[_Place]:
    """Writes everything but the values. Versions are fixed and times are omitted: equal layers yield equal bytes."""
    import h5py

    types = {FLOAT16: h5py.h5t.IEEE_F16LE, FLOAT32: h5py.h5t.IEEE_F32LE, FLOAT64: h5py.h5t.IEEE_F64LE}
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_layout(h5py.h5d.CONTIGUOUS)
    settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    settings.set_obj_track_times(False)
    # Caffe's own HDF5 may be as old as 1.8.
    with h5py.File(structure, "w", libver=("earliest", "v108")) as file:
        data = h5py.h5g.create(file.id, b"data")
        for name in sorted(layers):
            group = h5py.h5g.create(data, name)
            for index, blob in enumerate(layers[name]):
                if isinstance(blob, Absent):
                    continue
                space = h5py.h5s.create_simple(blob.shape)
                dataset = h5py.h5d.create(group, str(index).encode(), types[blob.dtype], space, settings)
                if blob.count:
                    yield _Place(dataset.get_offset(), blob)


def _between(places: Sequence[_Place], size: int) -> Iterator[Tuple[int, int]]:
    """The parts of the file that are not values, as [start, end)."""
    start = 0
    for offset, blob in places:
        yield start, offset
        start = offset + blob.count * blob.dtype.itemsize
    yield start, size


__all__: List[str] = ["NESTED", "write"]
