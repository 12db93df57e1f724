"""Pooling and SPP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, List, Sequence, Tuple

import numpy as np

from .rules import CaffeAbort, Layer, NotComputed, layer_type, same_pads, sided_pad

Pair = Tuple[int, int]


@dataclass(frozen=True)
class Pool:
    """A pooling window over height and width."""

    kernel: Pair
    stride: Pair
    pad: Pair
    is_floor: bool

    def sizes(self, height: int, width: int) -> Pair:
        """Caffe: pooling_layer.cpp Reshape, a window that would start after the end of the blob is dropped."""
        return self._size(0, height), self._size(1, width)

    def _size(self, axis: int, size: int) -> int:
        pad, stride = self.pad[axis], self.stride[axis]
        room = size + 2 * pad - self.kernel[axis]
        count = (room // stride if self.is_floor else -(-room // stride)) + 1
        if any(self.pad) and (count - 1) * stride >= size + pad:
            count -= 1
        return count

    def windows(self, axis: int, size: int, count: int) -> Iterator[Tuple[int, int, int]]:
        """Returns (start, end, padded length) of each window, clipped to the blob."""
        for place in range(count):
            start = place * self.stride[axis] - self.pad[axis]
            end = min(start + self.kernel[axis], size + self.pad[axis])
            yield max(start, 0), min(end, size), end - start


def average(values: np.ndarray, pool: Pool) -> np.ndarray:
    """Caffe: pooling_layer.cpp, divided by the window's area with its padding."""
    height, width = values.shape[2:]
    count = pool.sizes(height, width)
    top = np.zeros((*values.shape[:2], *count), values.dtype)
    for y, (above, below, tall) in enumerate(pool.windows(0, height, count[0])):
        for x, (left, right, wide) in enumerate(pool.windows(1, width, count[1])):
            top[:, :, y, x] = values[:, :, above:below, left:right].sum((2, 3)) / (tall * wide)
    return top


def maximum(values: np.ndarray, pool: Pool) -> Tuple[np.ndarray, np.ndarray]:
    """Returns the maxima and, as Caffe's mask, the index of each in the plane. Caffe: pooling_layer.cpp."""
    height, width = values.shape[2:]
    count = pool.sizes(height, width)
    top = np.full((*values.shape[:2], *count), -np.finfo(np.float32).max, values.dtype)
    mask = np.full(top.shape, -1, int)
    places = np.arange(height * width).reshape(height, width)
    for y, (above, below, _) in enumerate(pool.windows(0, height, count[0])):
        for x, (left, right, _) in enumerate(pool.windows(1, width, count[1])):
            window = values[:, :, above:below, left:right].reshape((*values.shape[:2], -1))
            if window.shape[2]:
                best = window.argmax(2)
                top[:, :, y, x] = window.max(2)
                mask[:, :, y, x] = places[above:below, left:right].reshape(-1)[best]
    return top, mask


def _pair(p: Any, name: str, listed: Sequence[int], default: int = 0) -> Pair:
    height, width = getattr(p, f"{name}_h"), getattr(p, f"{name}_w")
    is_listed = not (p.HasField(f"{name}_h") or p.HasField(f"{name}_w"))
    first, *_, last = [*listed, *listed] or [default, default]
    return (first, last) if is_listed else (height, width)


@layer_type("Pooling")
def pooling(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    p = layer.parameter.pooling_param
    if bottoms[0].ndim != 4:
        raise CaffeAbort(f"layer {layer.parameter.name}: Pooling of a blob with {bottoms[0].ndim} axes")
    kernel = bottoms[0].shape[2:] if p.global_pooling else _pair(p, "kernel", p.kernel_size)
    pad_h, pad_w = sided_pad(p) or _pair(p, "pad", p.pad)
    pool = Pool(kernel, _pair(p, "stride", p.stride, 1), (pad_h, pad_w), p.round_mode == p.FLOOR)
    values = bottoms[0]
    if p.pad_type == 1:
        pads = [(0, 0), (0, 0), *same_pads(values.shape[2:], pool.kernel, pool.stride)]
        values = np.pad(values, pads, constant_values=0 if p.pool == p.AVE else -np.finfo(np.float32).max)
        pool = Pool(pool.kernel, pool.stride, (0, 0), is_floor=True)
    if p.pool == p.STOCHASTIC:
        raise NotComputed
    if p.pool == p.AVE:
        return [average(values, pool)]
    return list(maximum(values, pool))[: len(layer.parameter.top)]


@layer_type("SPP")
def pyramid(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Caffe: spp_layer.cpp, level i pools to 2**i by 2**i."""
    p = layer.parameter.spp_param
    bottom = bottoms[0]
    parts = []
    for level in range(p.pyramid_height):
        bins = 2**level
        kernel = tuple(-(-size // bins) for size in bottom.shape[2:])
        pad = tuple((size * bins - whole + 1) // 2 for size, whole in zip(kernel, bottom.shape[2:]))
        pool = Pool((kernel[0], kernel[1]), (kernel[0], kernel[1]), (pad[0], pad[1]), is_floor=False)
        top = maximum(bottom, pool)[0] if p.pool == p.MAX else average(bottom, pool)
        parts.append(top.reshape(len(bottom), -1))
    return [np.concatenate(parts, 1)]
