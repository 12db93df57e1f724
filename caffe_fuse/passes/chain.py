"""Chains: consecutive layers, each the only consumer of the one before, that all compute y = scale*x + shift."""

from __future__ import annotations

from typing import AbstractSet, List, Optional, Sequence, Tuple, Union

from ..layers.layer_type import Affine, Refusal
from ..net.graph import Layer, Net, Value
from ..wording import Remedy, few
from .rewrite import Link, Refused


def affine_of(net: Net, layer: Layer, kept: AbstractSet[str]) -> Union[Affine, Refusal, None]:
    """The layer's affine; a Refusal if this layer's cannot be used; None for layer types without one."""
    layer_type = layer.layer_type
    if layer_type is None or layer_type.affine is None:
        return None
    if layer.name in kept:
        return Refusal("--keep names it", Remedy("leave --keep out"))
    if layer.not_understood:
        return Refusal(f"its {layer.not_understood} is not understood")
    shapes = [net.shapes[value] for value in net.bottoms(layer)]
    affine = layer_type.affine(layer.parameter, [blob.array() for blob in layer.blobs], shapes)
    if isinstance(affine, Affine) and (len(layer.bottoms), len(layer.tops)) != (1, 1):
        if affine.is_identity and not layer.blobs:  # a Split: it is not expected to fold
            return None
        return Refusal(f"it has {len(layer.bottoms)} bottoms and {len(layer.tops)} tops, expected one each")
    return affine


def follow(
    net: Net, start: Value, axis: Optional[int], channels: Optional[int], kept: AbstractSet[str]
) -> Tuple[List[Link], List[Refused]]:
    """The longest chain that begins with the consumer of `start`, and the layers refused at its end.

    axis, channels: the channel axis of the values and its size; None until a link determines them.
    """
    links: List[Link] = []
    value = start
    while True:
        consumers = net.consumers(value)
        if len(consumers) > 1:
            return links, _several_consumers(net, value, consumers, kept)
        if not consumers:
            return links, []
        layer = consumers[0]
        affine = affine_of(net, layer, kept)
        if affine is None:
            return links, []
        if isinstance(affine, Refusal):
            return links, [Refused.by("affine", layer, affine)]
        misfit = _misfit(affine, axis, channels)
        if misfit:
            return links, [Refused(layer, "affine", misfit)]
        if affine.scale.size > 1:
            axis, channels = affine.axis, affine.scale.size
        links.append(Link(layer, affine))
        value = net.tops(layer)[0]


def compose(links: Sequence[Link]) -> Affine:
    """The affine of the whole chain."""
    result = links[0].affine
    for link in links[1:]:
        result = result.then(link.affine)
    return result


def trimmed(links: Sequence[Link]) -> List[Link]:
    """The chain without the identity layers at its end: they can stay."""
    kept = list(links)
    while kept and kept[-1].affine.is_identity and not kept[-1].layer.blobs:
        kept.pop()
    return kept


def vanished(net: Net, members: Sequence[Layer], affines: Sequence[Affine]) -> Tuple[Tuple[str, Optional[str]], ...]:
    """Blobs between the members, each with the name that holds its value afterwards, or None.

    affines: those of members[1:]. A value survives only if everything after it in the chain is the identity.
    """
    last = members[-1].tops[0]
    found: List[Tuple[str, Optional[str]]] = []
    same = True
    for member, following in zip(reversed(members[:-1]), reversed(affines)):
        same = same and following.is_identity
        name = member.tops[0]
        if name != last:
            found.append((name, last if same else None))
    return tuple(reversed(found))


def _several_consumers(net: Net, value: Value, consumers: Sequence[Layer], kept: AbstractSet[str]) -> List[Refused]:
    affines = [layer for layer in consumers if isinstance(affine_of(net, layer, kept), Affine)]
    return [Refused(layer, "readers", shared(value, consumers)) for layer in affines]


def shared(value: Value, consumers: Sequence[Layer]) -> str:
    """Why a value with several consumers cannot change."""
    names = few(dict.fromkeys(consumer.name for consumer in consumers))
    return f"blob {value.blob} has {len(consumers)} consumers: {names}"


def _misfit(affine: Affine, axis: Optional[int], channels: Optional[int]) -> Optional[str]:
    if affine.scale.size == 1:
        return None
    if axis is not None and affine.axis != axis:
        return f"it works along axis {affine.axis}, but the channels are on axis {axis}"
    if channels is not None and affine.scale.size != channels:
        return f"it has {affine.scale.size} channels, but the layer before it has {channels}"
    return None
