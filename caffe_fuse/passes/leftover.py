"""Gives a reason for each affine layer that was not folded."""

from __future__ import annotations

from typing import List

from ..layers.layer_type import Affine, Refusal
from ..net.graph import Layer, Net
from .chain import affine_of, shared
from .rewrite import Progress, Refused


def name_leftovers(progress: Progress) -> Progress:
    refusals: List[Refused] = []
    made = {rewrite.after.index for rewrite in progress.rewrites}
    for layer in progress.net.layers:
        affine = affine_of(progress.net, layer, progress.kept)
        if layer.layer_type is None or affine is None or layer.index in made or layer.layer_type.keeps:
            continue
        if isinstance(affine, Affine) and affine.is_identity and not layer.blobs:
            continue
        refusal = affine if isinstance(affine, Refusal) else Refusal(not_absorbed(progress.net, layer))
        refusals.append(Refused.by("affine", layer, refusal))
    return progress.after((), refusals)


def not_absorbed(net: Net, layer: Layer) -> str:
    """The reason why nothing absorbs the layer: what it reads."""
    value = net.bottoms(layer)[0]
    source = net.producer(value)
    if source is not None and len(net.consumers(value)) > 1:
        return shared(value, net.consumers(value))
    if source is None:
        return f"it reads {layer.bottoms[0]}, an input of the net"
    why = source.layer_type.unabsorbing if source.layer_type is not None else ""
    return f"it reads the output of {source}, which {why or 'cannot absorb it'}"
