"""What all weight formats have in common: the layers of a file with their blobs, and the plan of a new file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..blobs.blob import FLOAT32, Blob, Reader, Taker
from ..errors import InputError
from ..protobuf.wire import Source


class Absent(Blob):
    """Stands for a blob that the file holds only at another layer, which shares it (Caffe: net.cpp:892)."""

    def __init__(self, where: str) -> None:
        super().__init__((0,), FLOAT32)
        self._where = where

    def _take(self, indices: np.ndarray, take: Taker) -> np.ndarray:
        raise self.error()

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        raise self.error()

    def error(self) -> InputError:
        return InputError(
            "is not in the file, and neither is a layer of the net that shares it",
            where=self._where,
            remedy="is this the weight file of this net?",
        )


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """One layer of a weight file.

    index: its position in the file, where names may occur twice. span: its bytes in the source, [start, end).
    type: as in a V2 prototxt; "V1:40" for a value of the V1 enum that BVLC Caffe does not define; None if the file does
    not say. HDF5 has no types, bottoms, tops or spans.
    """

    index: int
    name: str
    type: Optional[str]
    bottoms: Tuple[str, ...]
    tops: Tuple[str, ...]
    blobs: Tuple[Blob, ...]
    span: Tuple[int, int]


class WeightFile(NamedTuple):
    """A scanned weight file: values are read from `source` when a blob is used.

    format: a name of FORMATS. generation: "V2" (`layer`), "V1" (`layers`) or "V0" (`layers` with a `layer` inside).
    layers: in file order.
    binds_last: of several layers of the net with one name, the last gets a record's blobs, not the first.
    """

    path: str
    format: str
    source: Source
    generation: str
    layers: Tuple[LayerRecord, ...]
    binds_last: bool = False


class Kept(NamedTuple):
    """A record that is copied to the new file byte for byte."""

    record: LayerRecord


class Rewritten(NamedTuple):
    """A layer that differs from its record, or a new layer (record None).

    type, bottoms, tops: None keeps the record's. blobs: the record's own (the same objects) keep their bytes, others
    are written in their dtype.
    bias_term: the new value in the record's convolution_param or inner_product_param; None keeps it.
    parameters: serialized fields of a LayerParameter. They replace all fields of the record except name, type, bottom,
    top, blobs, phase, include, exclude and propagate_down; None keeps them. Without a record, they are added.
    """

    record: Optional[LayerRecord]
    name: str
    blobs: Tuple[Blob, ...]
    type: Optional[str] = None
    bottoms: Optional[Tuple[str, ...]] = None
    tops: Optional[Tuple[str, ...]] = None
    bias_term: Optional[bool] = None
    parameters: Optional[bytes] = None


Plan = Sequence[Union[Kept, Rewritten]]
# Takes an offset in the new file and the bytes to write there, from several threads in any order. It must not use the
# bytes after it returns: the buffer is used again.
Output = Callable[[int, memoryview], object]


class Format(NamedTuple):
    """A format of weight files.

    recognises: whether a file has this format, from its first bytes (HEAD_SIZE at most).
    write(original, plan, out, chunks): writes the new file; `chunks` is how blobs are read.
    """

    name: str
    suffix: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Source], WeightFile]
    write: Callable[[WeightFile, Plan, Output, Reader], None]
