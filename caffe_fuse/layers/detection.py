"""Layers of SSD that make boxes."""

from __future__ import annotations

from typing import Any

from .pooling import image
from .row import BlobShapes, LayerType, Shapes
from .shapes import require, size


def _prior_box_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Four numbers for each box at each place, and as many variances (SSD: prior_box_layer.cpp Reshape)."""
    _, _, height, width = image(require(bottoms, 2))
    settings = parameter.prior_box_param
    # OpenCV's explicit widths have a count of their own.
    boxes = None if settings.width else _boxes_at_a_place(settings)
    return [(1, 2, size((height, width, boxes, 4)))]


def _boxes_at_a_place(settings: Any) -> int:
    """For each size one of each new aspect ratio, with flip its inverse too (prior_box_layer.cpp)."""
    ratios = [1.0]
    for ratio in settings.aspect_ratio:
        if any(abs(ratio - known) < 1e-6 for known in ratios):
            continue
        ratios.append(ratio)
        if settings.flip and ratio:
            ratios.append(1 / ratio)
    return len(ratios) * len(settings.min_size) + len(settings.max_size)


def _detection_output_shapes(_parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """A row of image, class, score and box for each thing found (SSD: detection_output_layer.cpp)."""
    return [(1, 1, None, 7)]


ROWS = (LayerType("PriorBox", _prior_box_shapes), LayerType("DetectionOutput", _detection_output_shapes))
