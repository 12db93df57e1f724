"""The arguments of a layer's function, and the table of these functions by layer type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

Shape = Tuple[int, ...]


class CaffeAbort(Exception):
    """Caffe stops with a failed CHECK at this net, these weights or these inputs."""


@dataclass(frozen=True)
class Stored:
    """One learned blob as a weight file or a prototxt holds it."""

    shape: Shape
    is_legacy: bool  # dimensions as num, channels, height and width
    numbers: np.ndarray  # flat

    def fits(self, shape: Shape) -> bool:
        """Caffe: blob.cpp:411-429, old dimensions match right-aligned, missing axes are 1."""
        if not self.is_legacy:
            return self.shape == shape
        return len(shape) <= 4 and self.shape == (1,) * (4 - len(shape)) + shape


@dataclass(frozen=True)
class Layer:
    """A layer of a net with those of its learned blobs that a file has."""

    parameter: Any  # LayerParameter
    is_test: bool
    dtype: np.dtype
    stored: Mapping[int, Stored]
    file_count: Optional[int]  # how many blobs the weight file has for it, None: it is not there

    def blobs(self, *shapes: Shape, fillers: Sequence[float] = ()) -> List[np.ndarray]:
        """Returns the learned blobs in these shapes; `fillers`: what Caffe fills absent ones with (default 0).

        Raises CaffeAbort where count or shape differ (Caffe: net.cpp:752, 755-765).
        """
        name = self.parameter.name
        if self.file_count not in (None, len(shapes)):
            raise CaffeAbort(f"layer {name}: {len(shapes)} blobs are needed, {self.file_count} are stored")
        return [
            self._blob(index, shape, fillers[index] if index < len(fillers) else 0.0)
            for index, shape in enumerate(shapes)
        ]

    def _blob(self, index: int, shape: Shape, filler: float) -> np.ndarray:
        if index not in self.stored:
            return np.full(shape, filler, self.dtype)
        stored = self.stored[index]
        # Caffe: net.cpp AppendParam, a blob that is shared permissively agrees in its count only
        is_permissive = index < len(self.parameter.param) and self.parameter.param[index].share_mode == 1
        if stored.numbers.size != int(np.prod(shape)) or not (is_permissive or stored.fits(shape)):
            raise CaffeAbort(f"layer {self.parameter.name}: blob {index} is {stored.shape}, not {shape}")
        return stored.numbers.reshape(shape).astype(self.dtype)


def filler(parameter: Any) -> float:
    """Returns the value of a constant filler. Raises CaffeAbort for random ones, which need the weights."""
    if parameter.type != "constant":
        raise CaffeAbort(f"the weight file lacks a blob whose filler is {parameter.type}")
    return float(parameter.value)


Forward = Callable[[Layer, List[np.ndarray]], List[np.ndarray]]
LAYERS: Dict[str, Forward] = {}
LEARNING: Set[str] = set()


class NotComputed(Exception):
    """The layer is known, but not with these settings; it then counts as unknown."""


def layer_type(*names: str, learns: bool = False) -> Callable[[Forward], Forward]:
    """Registers a layer's function under these type names. `learns`: the layer has learned blobs."""

    def register(forward: Forward) -> Forward:
        LAYERS.update(dict.fromkeys(names, forward))
        if learns:
            LEARNING.update(names)
        return forward

    return register


def sided_pad(p: Any) -> Optional[Shape]:
    """Synopsys: padding by side, if used; NotComputed if the sides differ."""
    if not any(p.HasField(name) for name in ("pad_t", "pad_l", "pad_b", "pad_r")):
        return None
    if (p.pad_t, p.pad_l) != (p.pad_b, p.pad_r):
        raise NotComputed
    return p.pad_t, p.pad_l


def same_pads(sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> List[Tuple[int, int]]:
    """TensorFlow's SAME: the bottom gets ceil(size / stride) windows; an odd element of padding is at the end."""
    pairs = []
    for size, length, step in zip(sizes, kernel, stride):
        needed = max((-(-size // step) - 1) * step + length - size, 0)
        pairs.append((needed // 2, needed - needed // 2))
    return pairs


def canonical(axis: int, rank: int) -> int:
    """Caffe: blob.hpp CanonicalAxisIndex, negative axes count from the end."""
    if not -rank <= axis < rank:
        raise CaffeAbort(f"axis {axis} of a blob with {rank} axes")
    return axis % rank


def along(vector: np.ndarray, axis: int, rank: int) -> np.ndarray:
    """Returns `vector` with its axes at `axis` and following, broadcast over the others."""
    return vector.reshape((1,) * axis + vector.shape + (1,) * (rank - axis - vector.ndim))
