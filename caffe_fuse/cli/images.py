"""Images as the input of a net: files, folders with their labels, and the mean that is subtracted."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from ..errors import InputError
from ..layers.layer_type import Shape
from ..layers.shapes import text

if TYPE_CHECKING:
    from numpy.typing import NDArray

LABELS = "labels.txt"


class Pixels(NamedTuple):
    """How an image becomes an array: its channels in the order B, G, R, minus the `mean`, times `scale`.

    mean: one value, one for each channel, or (channels, height, width). rgb: the channels, and with them the means, in
    the order R, G, B.
    """

    mean: Any = (0.0,)
    scale: float = 1.0
    rgb: bool = False


class Fitting(NamedTuple):
    """The net's only input, which images are resized to. mean: float32, of the shape of an image but for axes of 1."""

    name: str
    channels: int
    height: int
    width: int
    mean: NDArray[np.float32]
    scale: np.float32
    rgb: bool

    def read(self, files: Sequence[str]) -> Dict[str, NDArray[Any]]:
        return {self.name: np.stack([self._image(file) for file in files])}

    def _image(self, file: str) -> NDArray[np.float32]:
        try:
            from PIL import Image
        except ImportError as error:
            raise InputError("images need Pillow", where=file, remedy="pip install 'caffe-fuse[image]'") from error
        size, mode = (self.width, self.height), "L" if self.channels == 1 else "RGB"
        too_large = (Image.DecompressionBombWarning, Image.DecompressionBombError)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(file) as image:
                    sized = image.convert(mode).resize(size, Image.Resampling.BILINEAR)
        except (OSError, ValueError, SyntaxError, *too_large) as error:  # SyntaxError: Pillow's PngImagePlugin.py
            raise InputError(
                f"is no image that can be read: {error}",
                where=file,
                remedy=f"keep only images and {LABELS} in the folder",
            ) from error
        planes = np.asarray(sized, np.float32).reshape(self.height, self.width, self.channels).transpose(2, 0, 1)
        scaled: NDArray[np.float32] = ((planes if self.rgb else planes[::-1]) - self.mean) * self.scale
        return scaled


def fitting(place: str, inputs: Mapping[str, Shape], pixels: Pixels) -> Fitting:
    """How images fit the net. place: where they are. Raises InputError where they do not."""
    if len(inputs) != 1:
        raise InputError(f"images need a net with one input, this one has {len(inputs)}", where=place)
    ((name, shape),) = inputs.items()
    if shape is None or len(shape) != 4 or None in shape[1:] or shape[1] not in (1, 3):
        raise InputError(
            f"images do not fit input {name} of shape {text(shape)}",
            where=place,
            remedy=f"give, for example, --input-shape {name}=1,3,224,224",
        )
    channels, height, width = (dim or 0 for dim in shape[1:])
    mean = np.asarray(pixels.mean, np.float32)
    if len(mean) not in (1, channels):
        raise InputError(f"--mean has {len(mean)} values for {channels} channels")
    if mean.ndim == 3 and mean.shape[1:] != (height, width):
        # As in Caffe's own examples, where the mean image has the size before the crop.
        mean = mean.mean((1, 2), np.float64).astype(np.float32)
    mean = mean if mean.ndim == 3 else mean.reshape(-1, 1, 1)
    return Fitting(name, channels, height, width, mean, np.float32(pixels.scale), pixels.rgb)


def files_in(folder: str) -> List[str]:
    """The images in a folder and in those inside it, sorted by their paths; hidden ones do not count."""
    found: List[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return [os.fspath(path) for path in sorted(found) if path != Path(folder, LABELS)]


def labels_in(folder: str) -> Tuple[str, ...]:
    """The names of the classes, a line each, in `labels.txt` of a folder of images; none if it is not there."""
    path = Path(folder, LABELS)
    if not path.is_file():
        return ()
    return tuple(line.strip() for line in path.read_text(encoding="utf-8", errors="replace").rstrip().split("\n"))


def mean_image(path: str) -> NDArray[Any]:
    """The mean that Caffe's compute_image_mean wrote: (channels,) or (channels, height, width). Raises InputError."""
    from ..protobuf.wire import Source
    from ..weights.blobproto import stored_blob

    source = Source(path)
    blob = stored_blob(source, 0, source.size, path)
    values = blob.array()
    shape = values.shape[1:] if values.ndim == 4 and values.shape[0] == 1 else values.shape
    if len(shape) not in (1, 3) or not values.size or not np.isfinite(values).all():
        raise InputError(f"is no mean of images: its shape is {text(values.shape)}", where=path, remedy=MEAN_REMEDY)
    return values.reshape(-1) if values.size == shape[0] else values.reshape(shape)


MEAN_REMEDY = "give, for example, 104,117,123, or the mean.binaryproto that compute_image_mean wrote"
