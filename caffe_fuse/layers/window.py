"""The window that slides over the spatial axes: kernel, padding, stride and dilation."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Sequence, Tuple

from ..errors import InputError
from .layer_type import Dim

CAFFE_PADDING, SAME = 0, 1  # values of pad_type


class Window(NamedTuple):
    """The window along one axis, in elements. before, after: the padding on each side of the bottom.

    clips: whether no step may begin after the end of the bottom, also without padding.
    """

    kernel: int
    before: int
    after: int
    stride: int
    dilation: int = 1
    clips: bool = False

    def same(self, size: Dim) -> Window:
        """With the padding of SAME: ceil(size / stride) steps (Synopsys: im2col.cpp, which leaves the dilation out)."""
        if size is None:
            return self
        along = max(self.kernel - (size % self.stride or self.stride), 0)
        reach = (-(-size // self.stride) - 1) * self.stride + self.extent
        return self._replace(before=along // 2, after=reach - size - along // 2)

    @property
    def extent(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    def convolved(self, size: Dim) -> Dim:
        """The number of steps of the window (Caffe: conv_layer.cpp compute_output_shape, division towards zero)."""
        if size is None:
            return None
        if self.before < 0:
            raise InputError("padding below 0 is only for a Deconvolution")
        return self._positive(int((size + self.before + self.after - self.extent) / self.stride) + 1, size)

    def deconvolved(self, size: Dim) -> Dim:
        """Caffe: deconv_layer.cpp compute_output_shape."""
        if size is None:
            return None
        return self._positive(self.stride * (size - 1) + self.extent - self.before - self.after, size)

    def pooled(self, size: Dim, round_up: bool, clipped: bool) -> Dim:
        """clipped: no step begins after the end of the bottom (Caffe: pooling_layer.cpp Reshape)."""
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


def windows(settings: Any, space: Sequence[Dim]) -> Tuple[Window, ...]:
    """The windows along axes of these sizes, from a ConvolutionParameter (Caffe: base_conv_layer.cpp LayerSetUp)."""
    rank = len(space)
    kernel = _each(settings, "kernel_size", ("kernel_h", "kernel_w"), rank)
    stride = _each(settings, "stride", ("stride_h", "stride_w"), rank, 1)
    dilation = _dilation(settings, rank)
    if min((*kernel, *stride, *dilation), default=1) < 1:
        raise InputError("kernel_size, stride and dilation have to be at least 1")
    even = _each(settings, "pad", ("pad_h", "pad_w"), rank, 0)
    return placed(settings, tuple(map(Window, kernel, even, even, stride, dilation)), space)


def _dilation(settings: Any, rank: int) -> Tuple[int, ...]:
    """dilation, or the name that it had first (hole_conv_layer.cpp of PSPNet's Caffe)."""
    if any(settings.HasField(name) for name in ("hole", "hole_h", "hole_w")):
        return (settings.hole,) * rank if settings.HasField("hole") else (settings.hole_h, settings.hole_w)
    return _each(settings, "dilation", ("dilation_h", "dilation_w"), rank, 1)


def placed(settings: Any, slid: Tuple[Window, ...], space: Sequence[Dim]) -> Tuple[Window, ...]:
    """The windows with the padding of Synopsys' Caffe where the settings ask for that: for each side, or as SAME."""
    sides = [(settings.pad_t, settings.pad_b), (settings.pad_l, settings.pad_r)]
    is_sided = any(map(any, sides))
    if not is_sided and settings.pad_type == CAFFE_PADDING:
        return slid
    if len(space) != 2:
        names = "pad_l, pad_r, pad_t and pad_b need" if is_sided else "pad_type 1 needs"
        raise InputError(f"{names} two spatial axes, found {len(space)}")
    if settings.pad_type not in (CAFFE_PADDING, SAME):
        raise InputError(f"pad_type {settings.pad_type} is not known: 0 is Caffe's padding, 1 is TensorFlow's SAME")
    if settings.pad_type == SAME and (is_sided or any(window.before for window in slid)):
        raise InputError("pad_type 1 excludes a padding in numbers")
    if is_sided:
        return tuple(window._replace(before=before, after=after) for window, (before, after) in zip(slid, sides))
    return tuple(window.same(size) for window, size in zip(slid, space))


def reaches_out(settings: Any, slid: Sequence[Window]) -> bool:
    """Whether a window may take in padding; where that depends on an unknown size, it may."""
    if settings.pad_type == SAME:
        return any(window.kernel > 1 for window in slid)
    return any(window.before or window.after for window in slid)


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
