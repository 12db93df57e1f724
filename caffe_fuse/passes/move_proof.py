"""Proves each move: the layers between and the chains, as they were, against the parts and the layers as they are.

Both run from the same random values in float64, each layer by its own forward function; nothing here uses the facet
that told the parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError, InternalError
from ..half.sampling import Chance
from ..net.graph import Layer, Net
from .chain import compose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..layers.layer_type import Shape
    from .rewrite import Link, Move

    Array = NDArray[np.float64]
    State = Dict[str, Array]  # by the names of blobs

# How large the axes of space are at most; the last is that of the net. A move does not depend on it, but a layer such
# as Reshape fits one size alone.
_SIZES: Tuple[Optional[int], ...] = (8, 32, None)
_NOISE = 2.0**-36  # of some thousand roundings in float64


def prove_move(net: Net, move: Move) -> None:
    """Raises InternalError if the move changes a value that has its name afterwards.

    net: before the move. Raises InputError where the sizes are not known well enough to run the layers.
    """
    for most in _SIZES:
        try:
            found, expected = _run(net, move, most)
        except InputError:
            if most is None:
                raise
            continue
        for chain in move.chains:
            _compare(move, chain, expected, found)
        return


def _run(net: Net, move: Move, most: Optional[int]) -> Tuple[State, State]:
    """All values after the move, and before it."""
    start = _entering(net, move, most)
    after: State = dict(start)
    _forward(sorted((*move.parts, *move.after), key=lambda layer: layer.order), after)
    before: State = dict(start)
    # A chain may overwrite the value that it reads: what it reads is kept under a name that no blob has.
    _forward(move.before, before)
    for chain in move.chains:
        before[_source_of(chain[0].layer)] = before[chain[0].layer.bottoms[0]]
    _forward(sorted(move.chain, key=lambda layer: layer.order), before)
    return after, before


def _source_of(layer: Layer) -> str:
    return f"\0{layer.index}"


def _entering(net: Net, move: Move, most: Optional[int]) -> State:
    made = {value for layer in move.before for value in net.tops(layer)}
    values = dict.fromkeys(value for layer in move.before for value in net.bottoms(layer) if value not in made)
    chance = Chance(move.before[-1].index)
    return {value.blob: chance.random(_sized(net.shapes[value], most)) * 2 - 0.5 for value in values}


def _sized(shape: Shape, most: Optional[int]) -> Tuple[int, ...]:
    """One image, unless `most` is None. Raises InputError where a size that counts is not known."""
    if shape is None:
        raise InputError("a shape is not known")
    sizes: List[int] = []
    for axis, dim in enumerate(shape):
        if axis == 0:
            sizes.append(1 if most is not None or dim is None else dim)
        elif axis == 1 or most is None:
            if dim is None:
                raise InputError("a size is not known")
            sizes.append(dim)
        else:
            sizes.append(most if dim is None else min(dim, most))
    return tuple(sizes)


def _forward(layers: Sequence[Layer], state: State) -> None:
    for layer in layers:
        assert layer.layer_type is not None
        bottoms = [state[name] for name in layer.bottoms]
        # Sizes that do not fit together are an InputError here, and would be any error there.
        shapes = layer.layer_type.shapes(
            layer.parameter, [bottom.shape for bottom in bottoms], [blob.shape for blob in layer.blobs]
        )
        if any(0 in (shape or ()) for shape in shapes):
            raise InputError(f"{layer} would have an empty top")
        state.update(zip(layer.tops, layer.run(bottoms)))


def _compare(move: Move, chain: Sequence[Link], expected: State, found: State) -> None:
    """The bound is that of the sums in each channel: a scale and a shift may nearly cancel."""
    affine, first, name = compose(chain), chain[0].layer, chain[-1].layer.tops[0]
    source, value = np.abs(expected[_source_of(first)]), expected[name]
    shape = [1] * source.ndim
    if affine.channels > 1:
        shape[affine.axis] = affine.channels
    size = source * np.abs(affine.scale).reshape(shape) + np.abs(affine.shift).reshape(shape)
    others = tuple(axis for axis in range(size.ndim) if shape[axis] == 1)
    bound = _NOISE * (size.max(axis=others, keepdims=True) + np.finfo(np.float64).tiny)
    if found[name].shape != value.shape or not np.all(np.abs(found[name] - value) <= bound):
        raise InternalError(f"carrying {first} through {', '.join(map(str, move.through))} would change blob {name}")
