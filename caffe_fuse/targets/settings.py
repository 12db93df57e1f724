"""Demands on settings that a tool does not take, or gets wrong, and no other layer can stand for: they are named."""

from __future__ import annotations

from functools import partial
from typing import FrozenSet, List, Optional, Sequence, Tuple

from ..layers.layer_type import Dim
from ..layers.pooling import pooling_windows
from ..layers.window import Window
from ..net.model import Model
from .demand import REFUSES, WRONG, Demand, Finding


def means(*, padded: bool = True, beyond: bool = False) -> Demand:
    """AVE Pooling, except what the tool gets wrong: any with padding, or such with windows beyond the padded image.

    Caffe divides by the part of a window that is in the padded image (pooling_layer.cpp:184). padded: whether the tool
    is right with padding; beyond: with windows beyond an image that is not padded.
    """
    words = [] if padded else ["no padding"]
    words += [] if beyond else ["no window beyond the image"]
    words += ["no window beyond the padding"] if padded else []
    find = partial(_means, padded, beyond)
    return Demand("means", f"AVE Pooling only with {', '.join(words)}", find)


def _means(padded: bool, beyond: bool, model: Model) -> List[Finding]:
    net = model.net
    found: List[Finding] = []
    for layer in net.layers:
        settings = layer.parameter.pooling_param
        if layer.kind != "Pooling" or settings.pool != settings.AVE or settings.global_pooling:
            continue
        bottom, top = (net.shapes[values[0]] for values in (net.bottoms(layer), net.tops(layer)))
        if bottom is None or top is None or len(bottom) != 4 or None in (*bottom, *top):
            continue
        windows = pooling_windows(layer.parameter, bottom[2:])
        is_padded = any(window.before for window in windows)
        is_beyond = any(_hangs_over(*each) for each in zip(windows, bottom[2:], top[2:]))
        if is_padded and not padded:
            found.append(Finding("means", layer, WRONG, "is a mean with padding, which the tool leaves out"))
        elif is_beyond and (is_padded or not beyond):
            what = "is a mean of windows that reach beyond the edge, whose size the tool takes to be whole"
            found.append(Finding("means", layer, WRONG, what))
    return found


def _hangs_over(window: Window, size: Dim, steps: Dim) -> bool:
    return ((steps or 0) - 1) * window.stride + window.kernel > window.before + (size or 0) + window.after


def eltwise(
    *,
    operations: Sequence[str] = ("MAX", "PROD", "SUM"),
    most: Optional[int] = None,
    coefficients: Sequence[Tuple[float, ...]] = (),
) -> Demand:
    """Eltwise with these operations, at most so many bottoms, and coefficients of 1 or one of these lists."""
    words = [", ".join(operations), *([] if most is None else [f"{most} bottoms at most"])]
    words.append(f"coefficients of 1{''.join(f' or {list(map(int, each))}' for each in coefficients)}")
    find = partial(_eltwises, frozenset(operations), most, frozenset(coefficients))
    return Demand("eltwise", f"Eltwise only with {'; '.join(words)}", find)


def _eltwises(
    operations: FrozenSet[str], most: Optional[int], coefficients: FrozenSet[Tuple[float, ...]], model: Model
) -> List[Finding]:
    found: List[Finding] = []
    for layer in model.net.layers:
        if layer.kind != "Eltwise":
            continue
        settings, count = layer.parameter.eltwise_param, len(layer.bottoms)
        operation, coeffs = settings.EltwiseOp.Name(settings.operation), tuple(settings.coeff)
        if operation not in operations:
            found.append(Finding("eltwise", layer, REFUSES, f"has the operation {operation}"))
        elif most is not None and count > most:
            found.append(Finding("eltwise", layer, REFUSES, f"has {count} bottoms"))
        elif set(coeffs) - {1} and coeffs not in coefficients:
            found.append(Finding("eltwise", layer, WRONG, "has coefficients, which the tool does not look at"))
    return found


def _other_axes(model: Model) -> List[Finding]:
    return [
        Finding("channels", layer, REFUSES, f"works along axis {layer.parameter.scale_param.axis}")
        for layer in model.net.layers
        if layer.kind == "Scale" and len(layer.bottoms) == 1 and layer.parameter.scale_param.axis not in (1, -3)
    ]


def _scaled_by_another(model: Model) -> List[Finding]:
    return [
        Finding("scale-blobs", layer, REFUSES, "is a Scale whose values come from another layer")
        for layer in model.net.layers
        if layer.kind == "Scale" and len(layer.bottoms) > 1
    ]


CHANNELS = Demand("channels", "Scale along axis 1", _other_axes)
SCALE_BLOBS = Demand("scale-blobs", "no Scale with two bottoms", _scaled_by_another)
