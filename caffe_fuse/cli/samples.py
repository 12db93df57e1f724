"""Reads samples for a net batch by batch: arrays (.npy, .npz, HDF5), or a folder of images."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Sequence

import numpy as np

from ..errors import InputError
from ..layers.layer_type import Shape
from ..layers.shapes import text

if TYPE_CHECKING:
    from numpy.typing import NDArray

Batch = Dict[str, "NDArray[Any]"]


class Samples(NamedTuple):
    """A set of samples. total: their count. read(first, end): the inputs of some of them, by blob name."""

    total: int
    read: Callable[[int, int], Batch]

    def batches(self, size: int) -> List[Callable[[], Batch]]:
        """Functions that each read the next `size` samples, the last one the remaining ones."""
        firsts = range(0, self.total, size)
        return [partial(self.read, first, min(first + size, self.total)) for first in firsts]


class Pixels(NamedTuple):
    """How an image becomes an array: its channels in the order B, G, R, minus the `mean` of each, times `scale`.

    rgb: the channels, and with them the means, in the order R, G, B.
    """

    mean: Sequence[float] = (0.0,)
    scale: float = 1.0
    rgb: bool = False


def open_samples(path: str, inputs: Mapping[str, Shape], pixels: Pixels) -> Samples:
    """Opens a file or folder of samples. inputs: of the net, with their shapes. Raises InputError if unreadable."""
    if os.path.isdir(path):
        return _images(path, inputs, pixels)
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
    raise InputError(
        "is neither .npy, .npz nor HDF5", where=path, remedy="for images, give the folder that contains them"
    )


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


def _images(path: str, inputs: Mapping[str, Shape], pixels: Pixels) -> Samples:
    files = [file for file in sorted(Path(path).iterdir()) if file.is_file() and not file.name.startswith(".")]
    return images([os.fspath(file) for file in files], inputs, pixels)


def images(files: Sequence[str], inputs: Mapping[str, Shape], pixels: Pixels) -> Samples:
    """Image files as samples of the net's only input, resized to it. Raises InputError where they do not fit."""
    path = files[0] if files else ""
    if len(inputs) != 1:
        raise InputError(f"images need a net with one input, this one has {len(inputs)}", where=path)
    ((name, shape),) = inputs.items()
    if shape is None or len(shape) != 4 or None in shape[1:] or shape[1] not in (1, 3):
        raise InputError(
            f"images do not fit input {name} of shape {text(shape)}",
            where=path,
            remedy=f"give, for example, --input-shape {name}=1,3,224,224",
        )
    channels, height, width = (dim or 0 for dim in shape[1:])
    if len(pixels.mean) not in (1, channels):
        raise InputError(f"--mean has {len(pixels.mean)} values for {channels} channels")

    def read(first: int, end: int) -> Batch:
        return {name: np.stack([_image(Path(file), channels, height, width, pixels) for file in files[first:end]])}

    return Samples(len(files), read)


def _image(file: Path, channels: int, height: int, width: int, pixels: Pixels) -> NDArray[np.float32]:
    try:
        from PIL import Image
    except ImportError as error:
        raise InputError("images need Pillow", where=str(file), remedy="pip install 'caffe-fuse[image]'") from error
    try:
        with Image.open(file) as image:
            sized = image.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, ValueError) as error:
        raise InputError(
            f"is not an image: {error}", where=str(file), remedy="keep only images in the folder"
        ) from error
    planes = np.asarray(sized, np.float32).reshape(height, width, channels).transpose(2, 0, 1)
    planes = planes if pixels.rgb else planes[::-1]
    mean = np.asarray(pixels.mean, np.float32).reshape(-1, 1, 1)
    scaled: NDArray[np.float32] = (planes - mean) * np.float32(pixels.scale)
    return scaled
