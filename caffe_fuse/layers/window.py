"""The window that slides over the spatial axes: kernel, padding, stride and dilation."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence, Tuple

from ..errors import InputError
from .layer_type import Dim


class Window(NamedTuple):
    """The window along one axis, in elements. before, after: the padding on each side of the bottom."""

    kernel: int
    before: int
    after: int
    stride: int
    dilation: int = 1

    @property
    def extent(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    def convolved(self, size: Dim) -> Dim:
        """The number of steps of the window (Caffe: conv_layer.cpp compute_output_shape, division towards zero)."""
        if size is None:
            return None
        return self._positive(int((size + self.before + self.after - self.extent) / self.stride) + 1, size)

    def deconvolved(self, size: Dim) -> Dim:
        """Caffe: deconv_layer.cpp compute_output_shape."""
        if size is None:
            return None
        return self._positive(self.stride * (size - 1) + self.extent - self.before - self.after, size)

    def pooled(self, size: Dim, round_up: bool, clipped: bool) -> Dim:
        """clipped: no window begins after the end of the bottom (Caffe: pooling_layer.cpp Reshape)."""
        if size is None:
            return None
        room = size + self.before + self.after - self.kernel
        steps = (-(-room // self.stride) if round_up else room // self.stride) + 1
        if clipped and (steps - 1) * self.stride >= size + self.before:
            steps -= 1
        return self._positive(steps, size)

    def _positive(self, steps: int, size: int) -> int:
        if steps < 1:
            raise InputError(
                f"a window of {self.extent} with stride {self.stride} and padding {self.before} "
                f"leaves nothing of a bottom of size {size}"
            )
        return steps


def rank_of_space(settings: Any, weight_shapes: Sequence[Tuple[int, ...]]) -> Optional[int]:
    """The number of axes of the window, by a ConvolutionParameter or the weights (Co, C/g, k...); None if unknown."""
    if settings.HasField("kernel_h") or settings.HasField("kernel_w"):
        return 2
    if len(settings.kernel_size) > 1:
        return len(settings.kernel_size)
    return len(weight_shapes[0]) - 2 if weight_shapes else None


def windows(settings: Any, rank: int) -> Tuple[Window, ...]:
    """The windows along `rank` axes, from a ConvolutionParameter (Caffe: base_conv_layer.cpp LayerSetUp)."""
    kernel = _each(settings, "kernel_size", ("kernel_h", "kernel_w"), rank)
    before, after = _padding(settings, rank)
    stride = _each(settings, "stride", ("stride_h", "stride_w"), rank, 1)
    dilation = _each(settings, "dilation", (), rank, 1)
    if min((*kernel, *stride, *dilation), default=1) < 1:
        raise InputError("kernel_size, stride and dilation have to be at least 1")
    return tuple(map(Window, kernel, before, after, stride, dilation))


def sided_padding(settings: Any, rank: int) -> Optional[Tuple[Tuple[int, int], Tuple[int, int]]]:
    """Synopsys' padding for each side: (top, left), (bottom, right). None if it is not used."""
    if not any(settings.HasField(name) for name in ("pad_t", "pad_l", "pad_b", "pad_r")):
        return None
    if rank != 2:
        raise InputError(f"pad_l, pad_r, pad_t and pad_b need two spatial axes, found {rank}")
    return (settings.pad_t, settings.pad_l), (settings.pad_b, settings.pad_r)


def _padding(settings: Any, rank: int) -> Tuple[Tuple[int, ...], Tuple[int, ...]]:
    sided = sided_padding(settings, rank)
    if sided is not None:
        return sided
    even = _each(settings, "pad", ("pad_h", "pad_w"), rank, 0)
    return even, even


def _each(settings: Any, listed: str, pair: Sequence[str], rank: int, default: Optional[int] = None) -> Tuple[int, ...]:
    """A setting for each axis, written as a list, as one value, or as a pair _h and _w if there are two axes."""
    values = tuple(getattr(settings, listed))
    if any(settings.HasField(name) for name in pair):
        if rank != 2 or values:
            raise InputError(f"{' and '.join(pair)} need two spatial axes, and exclude {listed}")
        return tuple(getattr(settings, name) for name in pair)
    if not values:
        if default is None:
            raise InputError(f"{listed} is missing")
        return (default,) * rank
    return along_each(listed, values, rank)


def along_each(name: str, values: Sequence[int], rank: int) -> Tuple[int, ...]:
    """The value for each spatial axis, from one for all or one for each."""
    if len(values) not in (1, rank):
        raise InputError(f"{name} has {len(values)} values for {rank} spatial axes")
    return tuple(values) if len(values) == rank else (values[0],) * rank
