"""Layers of SSD that make boxes: PriorBox, DetectionOutput."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from ..errors import InputError
from .layer_type import DETECTIONS, BlobShapes, LayerType, Shapes
from .pooling import image
from .shapes import require, size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays

    Array = NDArray[Any]


_CORNER, _CENTER_SIZE = 1, 2  # of PriorBoxParameter.CodeType


def _prior_box_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Four coordinates for each box at each position, and as many variances (SSD: prior_box_layer.cpp Reshape)."""
    _, _, height, width = image(require(bottoms, 2))
    image(bottoms[1:])
    settings = parameter.prior_box_param
    return [(1, 2, size((height, width, len(_boxes(settings)), 4)))]


class _Box(NamedTuple):
    """A box at each position: its size in pixels, and the offset of its centre within the cell, 0 to 1."""

    width: float
    height: float
    offset_x: float
    offset_y: float


def _boxes(settings: Any) -> List[_Box]:
    """The boxes of one position, in order; OpenCV allows lists of widths and heights, and of offsets."""
    given = list(zip(settings.width, settings.height)) if settings.width else _ssd_sizes(settings)
    offsets = list(zip(settings.offset_w, settings.offset_h)) or [(settings.offset, settings.offset)]
    return [_Box(width, height, x, y) for width, height in given for x, y in offsets]


def _ssd_sizes(settings: Any) -> List[Tuple[float, float]]:
    """A square for each size, one between it and the next, and one of each ratio (prior_box_layer.cpp Forward_cpu)."""
    maxima, found = list(settings.max_size), []
    if maxima and len(maxima) != len(settings.min_size):
        raise InputError(f"it has {len(settings.min_size)} values of min_size and {len(maxima)} of max_size")
    for place, small in enumerate(settings.min_size):
        found.append((small, small))
        if maxima:
            found.append(((small * maxima[place]) ** 0.5,) * 2)
        found += [(small * ratio**0.5, small / ratio**0.5) for ratio in _ratios(settings)]
    return found


def _ratios(settings: Any) -> List[float]:
    """The distinct ratios except 1, with `flip` also their inverses (prior_box_layer.cpp LayerSetUp)."""
    ratios = [1.0]
    for ratio in settings.aspect_ratio:
        if ratio <= 0:
            raise InputError(f"aspect_ratio {ratio:g} has to be greater than 0")
        if any(abs(ratio - known) < 1e-6 for known in ratios):
            continue
        ratios.append(ratio)
        if settings.flip:
            ratios.append(1 / ratio)
    return ratios[1:]


def _prior_box_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """Left, top, right and bottom of each box as fractions of the image, then the variances of each."""
    settings, (x, data_image) = parameter.prior_box_param, bottoms
    rows, columns = x.shape[2:]
    tall = settings.img_h or settings.img_size or data_image.shape[2]
    wide = settings.img_w or settings.img_size or data_image.shape[3]
    step_y = settings.step_h or settings.step or tall / rows
    step_x = settings.step_w or settings.step or wide / columns
    boxes = np.array(_boxes(settings))
    top = np.empty((rows, columns, len(boxes), 4))
    centre_x = (np.arange(columns)[:, np.newaxis] + boxes[:, 2]) * step_x
    centre_y = (np.arange(rows)[:, np.newaxis, np.newaxis] + boxes[:, 3]) * step_y
    top[..., 0] = (centre_x - boxes[:, 0] / 2) / wide
    top[..., 1] = (centre_y - boxes[:, 1] / 2) / tall
    top[..., 2] = (centre_x + boxes[:, 0] / 2) / wide
    top[..., 3] = (centre_y + boxes[:, 1] / 2) / tall
    if settings.clip:
        top = top.clip(0, 1)
    variances = list(settings.variance) or [0.1]
    if len(variances) not in (1, 4):
        raise InputError(f"it has {len(variances)} values of variance, expected 1 or 4")
    repeated = np.broadcast_to(np.array(variances), (top.size // 4, 4))
    return [np.stack([top.reshape(-1), repeated.reshape(-1)])[np.newaxis].astype(x.dtype)]


def _detection_output_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """A row of image, class, score and box for each detection (SSD: detection_output_layer.cpp)."""
    require(bottoms, 3)
    return [(1, 1, None, 7)]


def _detection_output_forward(parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """If nothing is detected, a row of -1 for each image (SSD: detection_output_layer.cpp Forward_cpu)."""
    settings, (location, confidence, priors) = parameter.detection_output_param, bottoms
    if not settings.normalized_bbox:
        raise InputError("boxes in pixels, normalized_bbox: false, are not supported")
    count, classes = priors.size // 8, settings.num_classes
    sets = 1 if settings.share_location else classes
    if location[0].size != count * sets * 4 or confidence[0].size != count * classes:
        raise InputError(
            f"{count} prior boxes and {classes} classes need {count * sets * 4} locations and {count * classes} "
            f"confidences, found {location[0].size} and {confidence[0].size}"
        )
    prior, variance = priors.reshape(2, count, 4)
    rows: List[Array] = []
    for index in range(len(location)):
        offsets = location[index].reshape(count, sets, 4).swapaxes(0, 1)
        boxes = [_decoded(settings, of_class, prior, variance) for of_class in offsets]
        scores = confidence[index].reshape(count, classes).T
        rows += [np.array([index, *row], location.dtype) for row in _detections(settings, boxes, scores)]
    if not rows:
        rows = [np.array([index, *[-1] * 6], location.dtype) for index in range(len(location))]
    return [np.stack(rows)[np.newaxis, np.newaxis]]


def _decoded(settings: Any, offsets: Array, prior: Array, variance: Array) -> Array:
    """The decoded boxes (count, 4): left, top, right, bottom (SSD: bbox_util.cpp DecodeBBox)."""
    if not settings.variance_encoded_in_target:
        offsets = offsets * variance
    spans = prior[:, 2:] - prior[:, :2]
    if settings.code_type == _CENTER_SIZE:
        centres = (prior[:, :2] + prior[:, 2:]) / 2 + offsets[:, :2] * spans
        reach = np.exp(offsets[:, 2:]) * spans / 2
        boxes = np.concatenate([centres - reach, centres + reach], axis=1)
    else:
        boxes = prior + (offsets if settings.code_type == _CORNER else offsets * np.tile(spans, 2))
    return boxes.clip(0, 1) if settings.clip else boxes


def _detections(settings: Any, boxes: Sequence[Array], scores: Array) -> List[Tuple[Any, ...]]:
    """(class, score, left, top, right, bottom) of the kept detections of one image, class by class."""
    kept: Dict[int, Array] = {}
    for label in range(settings.num_classes):
        if label != settings.background_label_id:
            kept[label] = _apart(settings, boxes[0 if settings.share_location else label], scores[label])
    found = [(scores[label, index], label, index) for label in kept for index in kept[label]]
    if -1 < settings.keep_top_k < len(found):
        found = sorted(found, key=lambda item: -item[0])[: settings.keep_top_k]
        found.sort(key=lambda item: item[1])
    return [(label, score, *boxes[0 if settings.share_location else label][index]) for score, label, index in found]


def _apart(settings: Any, boxes: Array, scores: Array) -> Array:
    """The best boxes of a class that do not overlap too much (SSD: bbox_util.cpp ApplyNMSFast)."""
    suppression = settings.nms_param
    likely = np.arange(len(scores))
    if settings.HasField("confidence_threshold"):
        likely = np.flatnonzero(scores > settings.confidence_threshold)
    waiting = likely[np.argsort(-scores[likely], kind="stable")]
    if suppression.HasField("top_k") and suppression.top_k > -1:
        waiting = waiting[: suppression.top_k]
    threshold, kept = suppression.nms_threshold, np.empty(0, np.intp)
    for candidate in waiting:
        if np.all(_overlaps(boxes[candidate], boxes[kept]) <= threshold):
            kept = np.append(kept, candidate)
            if suppression.eta < 1 and threshold > 0.5:
                threshold *= suppression.eta
    return kept


def _overlaps(box: Array, others: Array) -> Array:
    """The intersection of the box with each of the others, over their union."""
    common: Array = _area(np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:]))
    both = _area(box[:2], box[2:]) + _area(others[:, :2], others[:, 2:]) - common
    ratio: Array = np.divide(common, both, out=np.zeros_like(common), where=common > 0)
    return ratio


def _area(first: Array, last: Array) -> Array:
    area: Array = np.maximum(last - first, 0).prod(-1)
    return area


LAYER_TYPES = (
    LayerType("PriorBox", _prior_box_shapes, forward=_prior_box_forward, most=2, foreign=True),
    LayerType(
        "DetectionOutput",
        _detection_output_shapes,
        forward=_detection_output_forward,
        most=3,
        foreign=True,
        answer=DETECTIONS,
    ),
)
