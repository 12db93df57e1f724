"""Groups of channels that can be multiplied by one power of two, if all layers around them follow."""

from __future__ import annotations

from typing import AbstractSet, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from ..layers.homogeneous import Channels, Moved, Scaled, Setting, Ties
from .graph import Layer, Net, Value


class Groups(NamedTuple):
    """The groups of a net.

    of: the group of each label; group 0 is pinned. roots: the label that represents each label. reasons: by such a
    label, why it is pinned. values: the channels of blobs that are not pinned as a whole. blobs: by layer index, how
    each blob follows.
    """

    of: np.ndarray
    roots: np.ndarray
    reasons: Mapping[int, str]
    values: Mapping[Value, Channels]
    blobs: Mapping[int, Sequence[Sequence[Scaled]]]

    @property
    def size(self) -> int:
        """The number of groups, including group 0."""
        return int(self.of.max()) + 1

    def reason(self, label: int) -> str:
        """Why the channels of a label are pinned."""
        return self.reasons.get(int(self.roots[label]), "")

    def families(self) -> List[np.ndarray]:
        """The groups, one array for each blob in which some of them occur first."""
        seen = np.zeros(self.size, bool)
        seen[0] = True
        families: List[np.ndarray] = []
        for channels in self.values.values():
            groups = np.unique(self.of[channels.labels])
            new = groups[~seen[groups]]
            seen[new] = True
            if new.size:
                families.append(new)
        return families


def grouped(
    net: Net,
    excluded: Sequence[Layer],
    kept: AbstractSet[str],
    keep_blobs: AbstractSet[str],
    not_finite: AbstractSet[int] = frozenset(),
) -> Groups:
    """The groups of a net.

    excluded: layers of other phases; the blobs that they read and write are pinned. kept: layers whose weights do not
    change. not_finite: the indices of layers whose weights do not change because no power of two helps them.
    """
    ties = Ties()
    values: Dict[Value, Channels] = {}
    blobs: Dict[int, Sequence[Sequence[Scaled]]] = {}
    for layer in net.layers:
        bottoms = [values.get(value) for value in net.bottoms(layer)]
        moved = _moved(net, layer, bottoms, ties)
        if moved is None:
            _pin(ties, bottoms, f"{layer} reads it, and no power of two passes through it")
            continue
        obstacle = _obstacle(net, layer, kept) if moved.blobs else None
        if layer.index in not_finite:
            obstacle = f"{layer} has weights that are not finite, or would not be"
        if obstacle:
            _pin(ties, [*bottoms, *moved.tops], obstacle)
        blobs[layer.index] = moved.blobs
        values.update({value: top for value, top in zip(net.tops(layer), moved.tops) if top is not None})
    foreign = {name: layer for layer in excluded for name in (*layer.bottoms, *layer.tops)}
    for value, channels in values.items():
        if value.blob in keep_blobs:
            ties.pin(channels, f"--keep-blob names {value.blob}")
        elif value.blob in foreign:
            ties.pin(channels, f"{foreign[value.blob]}, a layer of another phase, works on {value.blob}")
        elif value in net.memory.entangled:
            ties.pin(channels, f"{value.blob} shares memory with a blob that a layer changes in place")
        elif value in net.outputs:
            ties.pin(channels, f"{value.blob} is an output of the net")
    roots, reasons = ties.solved()
    free = np.array([int(root) not in reasons for root in roots])
    of = np.zeros(roots.size, np.int64)
    of[free] = np.unique(roots[free], return_inverse=True)[1].reshape(-1) + 1
    return Groups(of, roots, reasons, values, blobs)


def _moved(net: Net, layer: Layer, bottoms: Sequence[Optional[Channels]], ties: Ties) -> Optional[Moved]:
    layer_type = layer.layer_type
    if layer_type is None or layer_type.homogeneous is None or not bottoms or layer.not_understood:
        return None
    before, after = ([net.shapes[value] for value in side] for side in (net.bottoms(layer), net.tops(layer)))
    shapes = [blob.shape for blob in layer.blobs]
    return layer_type.homogeneous(Setting(layer.parameter, before, after, shapes, bottoms, ties))


def _obstacle(net: Net, layer: Layer, kept: AbstractSet[str]) -> Optional[str]:
    if layer.name in kept:
        return f"--keep names {layer}"
    names = [spec.name for spec in layer.parameter.param if spec.name]
    if net.shared_with(layer) or len(names) != len(set(names)):
        return f"{layer} shares its weights with another layer"
    return None


def _pin(ties: Ties, several: Sequence[Optional[Channels]], reason: str) -> None:
    for channels in several:
        ties.pin(channels, reason)
