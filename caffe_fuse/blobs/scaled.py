"""Blobs that are another blob times one factor for each channel, as a fold and a range repair make of weights."""

from __future__ import annotations

import math
from typing import Iterator, NamedTuple, Sequence, Tuple, Union

import numpy as np

from ..errors import InternalError
from .blob import CHUNK, FLOAT32, FLOAT64, Blob, Reader, Taker, borrowed, cast


class Layout(NamedTuple):
    """The output channel of each weight: index ((g*inputs + a)*outputs + j)*kernel + k belongs to g*outputs + j.

    Convolution (Co, C/G, k...): (1, 1, Co, C/G * k...). Deconvolution (Ci, Co/G, k...) with G groups:
    (G, Ci/G, Co/G, k...). InnerProduct (N, K): (1, 1, N, K), transposed (K, N): (1, K, N, 1).
    """

    groups: int
    inputs: int
    outputs: int
    kernel: int

    @property
    def channels(self) -> int:
        return self.groups * self.outputs

    @property
    def size(self) -> int:
        return self.groups * self.inputs * self.outputs * self.kernel

    def channel(self, indices: np.ndarray) -> np.ndarray:
        """The output channels of the elements at these flat indices."""
        rows = indices // self.kernel
        if self.groups == self.inputs == 1:
            return rows
        channels: np.ndarray = rows // (self.inputs * self.outputs) * self.outputs + rows % self.outputs
        return channels

    def simplified(self) -> Layout:
        """An equivalent layout with as few axes as possible, so that one multiplication covers longer runs."""
        groups, inputs, outputs, kernel = self
        if outputs == 1:
            inputs, kernel = 1, inputs * kernel
        if inputs == 1:
            groups, outputs = 1, groups * outputs
        return Layout(groups, inputs, outputs, kernel)


class Scaling(NamedTuple):
    """One factor (float64) for each channel of a layout, which may also be a layout of the input channels."""

    layout: Layout
    factors: np.ndarray


class ScaledBlob(Blob):
    """A blob times one factor for each output channel: float64 products, rounded once to float32 or `dtype`.

    factors: float64 (layout.channels,). further: more factors, along other channels of the same blob. A product out of
    the range of the type becomes inf.
    """

    def __init__(
        self,
        base: Blob,
        layout: Layout,
        factors: np.ndarray,
        dtype: np.dtype = FLOAT32,
        further: Sequence[Scaling] = (),
    ) -> None:
        super().__init__(base.shape, dtype, legacy=base.legacy)
        for along, values in (Scaling(layout, factors), *further):
            if along.size != base.count or values.shape != (along.channels,):
                raise InternalError(f"{along} does not fit a blob {base.shape} and factors {values.shape}")
        self.base = base
        self.layout = layout
        self.factors = np.array(factors, FLOAT64)
        self.factors.flags.writeable = False
        self.further = tuple(further)

    @property
    def scalings(self) -> Tuple[Scaling, ...]:
        """All factors with their layouts."""
        return (Scaling(self.layout, self.factors), *self.further)

    def in_type(self, dtype: np.dtype) -> Blob:
        return ScaledBlob(self.base, self.layout, self.factors, dtype, self.further)

    def _chunks(self, read: Reader) -> Iterator[np.ndarray]:
        position = 0
        with borrowed(min(self.count, CHUNK), self.dtype) as buffer:
            for chunk in read(self.base):
                target = buffer[: len(chunk)]
                # The fp16 analysis reports inf and NaN; numpy's warnings would only repeat it.
                with np.errstate(all="ignore"):
                    self._scale(chunk, position, target)
                position += len(chunk)
                yield target

    def _take(self, indices: np.ndarray, take: Taker) -> np.ndarray:
        with np.errstate(all="ignore"):
            product = take(self.base, indices) * self.factors[self.layout.channel(indices)]
            for layout, factors in self.further:
                product *= factors[layout.channel(indices)]
            rounded: np.ndarray = cast(product, self.dtype).astype(FLOAT64)
        return rounded

    def _scale(self, chunk: np.ndarray, position: int, target: np.ndarray) -> None:
        if not self.further:
            _multiply(self.layout, self.factors, chunk, position, target)
            return
        with borrowed(len(chunk), FLOAT64) as product:
            _multiply(self.layout, self.factors, chunk, position, product)
            for layout, factors in self.further:
                _multiply(layout, factors, product, position, product)
            target[:] = product


def scaled(blob: Blob, scalings: Sequence[Scaling]) -> ScaledBlob:
    """The blob times all these factors, rounded only once even if the blob is itself such a product."""
    if isinstance(blob, ScaledBlob):
        return ScaledBlob(blob.base, blob.layout, blob.factors, blob.dtype, (*blob.further, *scalings))
    return ScaledBlob(blob, *scalings[0], further=scalings[1:])


def _multiply(layout: Layout, factors: np.ndarray, values: np.ndarray, position: int, target: np.ndarray) -> None:
    """target = values * factors in float64; the values begin at a flat index of their blob, `position`."""
    layout = layout.simplified()
    while len(values):
        shape, part = _next_piece(layout, factors, position, len(values))
        length = math.prod(shape)
        product = target[:length].reshape(shape)
        np.multiply(values[:length].reshape(shape), part, out=product, dtype=FLOAT64, casting="same_kind")
        position += length
        values, target = values[length:], target[length:]


def _next_piece(
    layout: Layout, factors: np.ndarray, position: int, available: int
) -> Tuple[Tuple[int, ...], Union[float, np.ndarray]]:
    """The largest piece at `position` that one broadcast covers: its shape, and its factors."""
    _, inputs, outputs, kernel = layout
    block, row = divmod(position // kernel, outputs)
    skipped = position % kernel
    group = block // inputs
    first = group * outputs + row
    if skipped or available < kernel:
        return (min(available, kernel - skipped),), factors[first]
    if row or available < outputs * kernel:
        rows = min(available // kernel, outputs - row)
        return (rows, kernel), factors[first : first + rows, np.newaxis]
    blocks = min(available // (outputs * kernel), inputs - block % inputs)
    return (blocks, outputs, kernel), factors[first : first + outputs, np.newaxis]
