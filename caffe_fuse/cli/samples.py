"""Reads samples for a net batch by batch: arrays (.npy, .npz, HDF5), images, or folders of images."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..errors import InputError
from ..layers.layer_type import Shape
from .images import Pixels, files_in, fitting, labels_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

Batch = Dict[str, "NDArray[Any]"]
# JPEG, PNG, GIF, BMP, TIFF, WebP, PNM: a file that is none of these is better told so than by Pillow.
_IMAGE = re.compile(rb"\xff\xd8|\x89PNG|GIF8|BM|II\*\0|MM\0\*|RIFF|P[1-6]\s")


class Samples(NamedTuple):
    """A set of samples. total: their count. read(first, end): the inputs of some of them, by blob name.

    labels: the names of the classes that they belong to, if these are known.
    """

    total: int
    read: Callable[[int, int], Batch]
    labels: Tuple[str, ...] = ()

    def batches(self, size: int) -> List[Callable[[], Batch]]:
        """Functions that each read the next `size` samples, the last one the remaining ones."""
        firsts = range(0, self.total, size)
        return [partial(self.read, first, min(first + size, self.total)) for first in firsts]


def open_samples(path: str, inputs: Mapping[str, Shape], pixels: Pixels) -> Samples:
    """Opens a file or folder of samples. inputs: of the net, with their shapes. Raises InputError if unreadable."""
    if os.path.isdir(path):
        return _images(path, files_in(path), inputs, pixels)._replace(labels=labels_in(path))
    try:
        with open(path, "rb") as file:
            head = file.read(8)
        if head.startswith(b"\x93NUMPY"):
            return _of_arrays(path, {"": np.load(path, mmap_mode="r", allow_pickle=False)}, inputs)
        if head.startswith(b"PK"):
            with np.load(path, allow_pickle=False) as archive:
                return _of_arrays(path, {name: archive[name] for name in archive.files}, inputs)
        if head.startswith(b"\x89HDF"):
            import h5py

            file5 = h5py.File(path, "r")
            # Caffe's data files contain labels in addition to the inputs.
            names = [name for name in file5 if name in inputs] or list(file5)
            return _of_arrays(path, {name: file5[name] for name in names}, inputs)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"cannot be read: {error}", where=path) from error
    if not _IMAGE.match(head):
        raise InputError(
            "is neither .npy, .npz, HDF5 nor an image", where=path, remedy="give one of these, or a folder of images"
        )
    return _images(path, [path], inputs, pixels)


def all_of(paths: Sequence[str], inputs: Mapping[str, Shape], pixels: Pixels) -> Tuple[Batch, Tuple[str, ...]]:
    """All samples of several files and folders as one batch, and the labels. Raises InputError."""
    sets = [open_samples(path, inputs, pixels) for path in paths]
    batches = [samples.read(0, samples.total) for samples in sets]
    for path, batch in zip(paths, batches):
        if {name: values.shape[1:] for name, values in batch.items()} != {
            name: values.shape[1:] for name, values in batches[0].items()
        }:
            raise InputError(f"has other arrays than {paths[0]}", where=path, remedy="give arrays of one name and size")
    labels = next((samples.labels for samples in sets if samples.labels), ())
    if len(batches) == 1:
        return batches[0], labels
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}, labels


def _of_arrays(path: str, arrays: Mapping[str, Any], inputs: Mapping[str, Shape]) -> Samples:
    """Samples of arrays, which are sliced when a batch is read. A single array needs no name for a single input."""
    if len(arrays) == len(inputs) == 1 and set(arrays) != set(inputs):
        arrays = dict(zip(inputs, arrays.values()))
    for name, array in arrays.items():
        if not hasattr(array, "shape") or not array.shape:
            raise InputError(f"{name} is not an array of samples", where=path)
    counts = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        found = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise InputError(f"the arrays have different numbers of samples: {found or 'no array'}", where=path)
    return Samples(
        next(iter(counts.values())),
        lambda first, end: {name: np.asarray(array[first:end]) for name, array in arrays.items()},
    )


def _images(path: str, files: Sequence[str], inputs: Mapping[str, Shape], pixels: Pixels) -> Samples:
    fit = fitting(path, inputs, pixels)
    if not files:
        raise InputError("is a folder without images", where=path)
    return Samples(len(files), lambda first, end: fit.read(files[first:end]))
