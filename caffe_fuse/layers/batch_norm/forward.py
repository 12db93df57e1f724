"""The forward function of each dialect of BatchNorm, from its blobs, in the dtype of its bottom. See read.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple

import numpy as np

from ..layer_type import single
from .settings import bn_eps, is_test, uses_stored, var_eps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..layer_type import Arrays

    Array = NDArray[Any]


def factored(parameter: Any, blobs: Arrays, bottoms: Arrays, unset: Optional[bool] = None) -> List[Array]:
    """BVLC: batch_norm_layer.cpp Forward_cpu; then Intel's and Cambricon's scale and shift, and Intel's ReLU."""
    (bottom,) = bottoms
    if uses_stored(parameter, unset):
        mean, variance = _unsummed(blobs)
    else:
        mean, variance = _of_batch(bottom)
    top = _divided(bottom, mean, variance, single(parameter.batch_norm_param.eps))
    if len(blobs) > 3:
        top = top * _along(blobs[3], bottom)
    if len(blobs) > 4:
        top = top + _along(blobs[4], bottom)
    return [np.maximum(top, 0) if parameter.batch_norm_param.relu else top]


def stored(parameter: Any, blobs: Arrays, bottoms: Arrays, kept: Callable[[Array], Array]) -> List[Array]:
    """BVLC's, in a Caffe that stores blobs in another type than it computes in; `kept` rounds values to that type.

    A BatchNorm stores mean_, variance_ and the top, which it writes several times (batch_norm_layer.cpp:98-165).
    """
    (bottom,) = bottoms
    if len(blobs) != 3 or not uses_stored(parameter):
        return factored(parameter, blobs, bottoms)
    inverse = kept(np.divide(1, blobs[2], out=np.zeros_like(blobs[2]), where=blobs[2] != 0))
    mean, variance = (_along(kept(blob * inverse), bottom) for blob in blobs[:2])
    deviation = kept(np.sqrt(kept(variance + bottom.dtype.type(single(parameter.batch_norm_param.eps)))))
    return [kept(bottom - mean) / deviation]


def nvidia(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """NVIDIA: batch_norm_layer.cpp:174-189. Five blobs have no factor, and three had theirs divided out."""
    (bottom,) = bottoms
    eps = max(single(parameter.batch_norm_param.eps), single(1e-5))
    if not is_test(parameter):
        mean, variance = _of_batch(bottom)
    else:
        mean, variance = blobs[:2] if len(blobs) == 5 or blobs[2].item() == 0 else _unsummed(blobs)
    top = _divided(bottom, mean, variance, eps)
    if len(blobs) == 5:
        top = top * _along(blobs[3], bottom) + _along(blobs[4], bottom)
    return [top]


def digits(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """NVIDIA 0.15: cudnn_batch_norm_layer.cu."""
    (bottom,) = bottoms
    mean, variance = blobs[2:4] if is_test(parameter) else _of_batch(bottom)
    top = _divided(bottom, mean, variance, single(parameter.batch_norm_param.eps))
    return [top * _along(blobs[0], bottom) + _along(blobs[1], bottom)]


def opencv(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """OpenCV: dnn/src/layers/batch_norm_layer.cpp."""
    if len(blobs) == 3:
        return factored(parameter, blobs, bottoms, unset=True)
    (bottom,) = bottoms
    mean, variance = blobs[:2] if uses_stored(parameter, True) else _of_batch(bottom)
    top = _divided(bottom, mean, variance, single(parameter.batch_norm_param.eps))
    return [top * _along(blobs[3], bottom) + _along(blobs[4], bottom)]


def synopsys(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """Synopsys: batch_norm_layer.cpp:155-163."""
    settings = parameter.batch_norm_param
    if settings.add_eps_before_sqrt or not settings.HasField("add_eps_before_sqrt"):
        return factored(parameter, blobs, bottoms)
    (bottom,) = bottoms
    mean, variance = _unsummed(blobs) if uses_stored(parameter) else _of_batch(bottom)
    deviation = np.sqrt(_along(variance, bottom)) + bottom.dtype.type(single(settings.eps))
    return [(bottom - _along(mean, bottom)) / deviation]


def happynear(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """happynear: batch_norm_layer.cpp Forward_cpu."""
    (bottom,) = bottoms
    settings = parameter.batch_norm_param
    mean, variance = _unsummed(blobs) if uses_stored(parameter) else _of_batch(bottom)
    top = bottom if settings.disable_mean else bottom - _along(mean, bottom)
    if settings.disable_variance:
        return [top]
    return [top / np.sqrt(_along(variance, bottom) + bottom.dtype.type(single(settings.eps)))]


def mnn(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """MNN: BatchNormalScale.cpp CuDNNBatchNorm."""
    (bottom,) = bottoms
    mean, variance = blobs[:2] if uses_stored(parameter) else _of_batch(bottom)
    top = _divided(bottom, mean, variance, single(parameter.batch_norm_param.eps))
    for place, blob in enumerate(blobs[2:]):
        top = top + _along(blob, bottom) if place else top * _along(blob, bottom)
    return [top]


def segnet(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """SegNet: bn_layer.cpp; 1e-9 is its own eps."""
    (bottom,) = bottoms
    settings = parameter.bn_param
    if settings.bn_mode != settings.INFERENCE:
        bottom = _divided(bottom, *_of_batch(bottom), single(1e-9))
    return [bottom * _along(blobs[0], bottom) + _along(blobs[1], bottom)]


def pspnet(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """PSPNet: bn_layer.cpp Forward_cpu."""
    stored = is_test(parameter) or parameter.bn_param.frozen
    return _sloped(blobs, bottoms, stored, bn_eps(parameter))


def sensetime(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    settings = parameter.bn_param
    stored = is_test(parameter) and (settings.moving_average or not settings.HasField("moving_average"))
    return _sloped(blobs, bottoms, stored, var_eps(parameter))


def inverse(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """happynear: bn_layer.cpp:119-137."""
    (bottom,) = bottoms
    if not is_test(parameter):
        return _sloped(blobs, bottoms, False, var_eps(parameter))
    scale, shift, mean, inverse_deviation = (_along(blob, bottom) for blob in blobs)
    return [(bottom - mean) * inverse_deviation * scale + shift]


def _sloped(blobs: Arrays, bottoms: Arrays, stored: bool, eps: float) -> List[Array]:
    (bottom,) = bottoms
    mean, variance = blobs[2:4] if stored else _of_batch(bottom)
    return [_divided(bottom, mean, variance, eps) * _along(blobs[0], bottom) + _along(blobs[1], bottom)]


def _unsummed(blobs: Arrays) -> Tuple[Array, Array]:
    """BVLC: batch_norm_layer.cpp:100."""
    factor = blobs[2].item()
    reciprocal = 0.0 if factor == 0 else 1 / factor
    mean, variance = (blob.astype(np.float64) * reciprocal for blob in blobs[:2])
    return mean, variance


def _of_batch(bottom: Array) -> Tuple[Array, Array]:
    others = tuple(axis for axis in range(bottom.ndim) if axis != 1)
    mean = bottom.mean(others)
    return mean, np.square(bottom - _along(mean, bottom)).mean(others)


def _divided(bottom: Array, mean: Array, variance: Array, eps: float) -> Array:
    deviation = np.sqrt(_along(variance, bottom) + bottom.dtype.type(eps))
    return np.asarray((bottom - _along(mean, bottom)) / deviation)


def _along(values: Array, bottom: Array) -> Array:
    """One value for each channel, in the dtype and the rank of the bottom."""
    return values.reshape(-1).astype(bottom.dtype).reshape((-1, *(1,) * (bottom.ndim - 2)))
