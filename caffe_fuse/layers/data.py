"""Layers that bring data into the net, or out of it. The contents of databases and image files are not known here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Sequence, Tuple

from ..errors import InputError
from .layer_type import BlobShapes, Dim, LayerType, Shapes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays


def _input_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """One shape for all tops, or one for each (Caffe: input_layer.cpp LayerSetUp)."""
    return _given([tuple(shape.dim) for shape in parameter.input_param.shape], len(parameter.top))


def _given(shapes: Sequence[Tuple[int, ...]], tops: int) -> Shapes:
    if len(shapes) not in (0, 1, tops):
        raise InputError(f"{tops} tops need one shape, or one each; found {len(shapes)}")
    if not shapes:
        return [None] * tops
    return list(shapes) if len(shapes) == tops else [shapes[0]] * tops


def _dummy_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Shapes, or one list for each of the four sizes (Caffe: dummy_data_layer.cpp LayerSetUp)."""
    settings, tops = parameter.dummy_data_param, len(parameter.top)
    if settings.shape:
        return _given([tuple(shape.dim) for shape in settings.shape], tops)
    sizes = (settings.num, settings.channels, settings.height, settings.width)
    if any(len(values) not in (1, tops) for values in sizes):
        raise InputError(f"num, channels, height and width need one value, or one for each of {tops} tops")
    columns = [list(values) * tops if len(values) == 1 else list(values) for values in sizes]
    return list(zip(*columns))


def _labelled(batch: int, *image: Dim) -> Shapes:
    return [(batch or None, *image), (batch or None,)]


def _data_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    settings = parameter.data_param
    crop = _crop(parameter, settings)
    return _labelled(settings.batch_size, None, crop, crop)


def _crop(parameter: Any, settings: Any) -> Dim:
    """crop_size has moved to transform_param (Caffe: upgrade_proto.cpp UpgradeNetDataTransformation)."""
    return parameter.transform_param.crop_size or settings.crop_size or None


def _image_data_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    settings = parameter.image_data_param
    crop = _crop(parameter, settings)
    channels = 3 if settings.is_color else 1
    height, width = crop or settings.new_height or None, crop or settings.new_width or None
    return _labelled(settings.batch_size, channels, height, width)


def _window_data_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    settings = parameter.window_data_param
    crop = _crop(parameter, settings)
    return _labelled(settings.batch_size, 3, crop, crop)


def _memory_data_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    settings = parameter.memory_data_param
    return _labelled(settings.batch_size, settings.channels, settings.height, settings.width)


def _annotated_data_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """SSD: the label's shape depends on the annotations."""
    return [(parameter.data_param.batch_size or None, None, None, None), None]


def _unknown_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    return [None] * len(parameter.top)


def _no_shapes(_parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    return []


def _silence_forward(_parameter: Any, _blobs: Arrays, _bottoms: Arrays) -> List[NDArray[Any]]:
    return []


LAYER_TYPES = (
    LayerType("Input", _input_shapes),
    LayerType("DummyData", _dummy_shapes),
    LayerType("Data", _data_shapes),
    LayerType("ImageData", _image_data_shapes),
    LayerType("WindowData", _window_data_shapes),
    LayerType("MemoryData", _memory_data_shapes),
    LayerType("AnnotatedData", _annotated_data_shapes, foreign=True),
    LayerType("HDF5Data", _unknown_shapes),
    LayerType("Python", _unknown_shapes, topless=True),
    LayerType("HDF5Output", _no_shapes, topless=True),
    LayerType("Silence", _no_shapes, forward=_silence_forward, topless=True, discards=True),
)
