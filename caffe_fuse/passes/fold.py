"""Folds the affine layers after a Convolution, Deconvolution or InnerProduct into it.

The chain after the layer computes y = scale*x + shift per output channel, so

    w' = w * scale        b' = b * scale + shift

Before:
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { bias_term: false ... } }
    layer { name: "b" type: "BatchNorm" bottom: "c" top: "b" }
    layer { name: "s" type: "Scale" bottom: "b" top: "s" scale_param { bias_term: true } }
After:
    layer { name: "c" type: "Convolution" bottom: "x" top: "s" convolution_param { bias_term: true ... } }
"""

from __future__ import annotations

from typing import AbstractSet, Dict, List, NamedTuple, Optional, Tuple, Union

from ..layers.layer_type import Absorber, Affine, Refusal
from ..layers.shapes import rank_of
from ..net.graph import Layer, Net
from .chain import compose, follow, trimmed, vanished
from .proof import from_weights
from .rewrite import Link, Progress, Refused, Rewrite, Rule


class Match(NamedTuple):
    layer: Layer
    absorber: Absorber
    links: Tuple[Link, ...]
    affine: Affine
    axis: int
    rank: int


def fold_affines(progress: Progress) -> Progress:
    matches, refusals = _find(progress.net, progress.kept)
    while True:
        answers = {index: _rewrite(progress, match, matches) for index, match in matches.items()}
        refused = {index: answer for index, answer in answers.items() if isinstance(answer, Refusal)}
        if not refused:
            return progress.after([answer for answer in answers.values() if isinstance(answer, Rewrite)], refusals)
        # Other layers may share weights with a refused one: they have to be tried again without it.
        for index, refusal in refused.items():
            refusals += [Refused.by("fold", link.layer, refusal) for link in matches.pop(index).links]


def _find(net: Net, kept: AbstractSet[str]) -> Tuple[Dict[int, Match], List[Refused]]:
    matches: Dict[int, Match] = {}
    refusals: List[Refused] = []
    for layer in net.layers:
        if layer.layer_type is None or layer.layer_type.absorb is None or not layer.tops:
            continue
        absorber = layer.layer_type.absorb
        rank = rank_of(net.shapes[net.tops(layer)[0]])
        assert layer.layer_type.channel_axis is not None
        axis = layer.layer_type.channel_axis(layer.parameter, net.shapes[net.bottoms(layer)[0]])
        for top in net.tops(layer):
            links, reasons = follow(net, top, axis, absorber.channels(layer.parameter), kept)
            refusals += reasons
            links = trimmed(links)
            reason = obstacle(layer, axis, kept) if links else None
            if reason:
                refusals += [Refused(link.layer, "fold", reason) for link in links]
            elif links and axis is not None:
                matches[layer.index] = Match(layer, absorber, tuple(links), compose(links), axis, rank)
    return matches, refusals


def obstacle(layer: Layer, axis: Optional[int], kept: AbstractSet[str]) -> Optional[str]:
    """Why the layer with weights can absorb nothing; None if it can."""
    if axis is None:
        return f"the axis of {layer} counts from the end, and how many its bottom has is not known: see --input-shape"
    if axis == 0:
        return f"the output channels of {layer} are on axis 0, the batch"
    if layer.name in kept:
        return f"--keep names {layer}"
    if len(layer.tops) != 1 or len(layer.bottoms) != 1:
        return f"{layer} has {len(layer.bottoms)} bottoms and {len(layer.tops)} tops that share its weights"
    if layer.not_understood:
        return f"{layer.not_understood} of {layer} is not understood"
    names = [spec.name for spec in layer.parameter.param if spec.name]
    if len(names) != len(set(names)):
        return f"the weights and the bias of {layer} are one shared blob"
    return None


def _rewrite(progress: Progress, match: Match, matches: Dict[int, Match]) -> Union[Rewrite, Refusal]:
    net, layer = progress.net, match.layer
    members = [layer, *(link.layer for link in match.links)]
    sharer = _different_sharer(net, match, matches)
    if sharer is not None:
        return Refusal(f"{layer} shares its weights with {sharer}, which does not get the same scale and shift")
    absorbed = match.absorber.absorb(layer.parameter, layer.blobs, match.affine, None)
    if isinstance(absorbed, Refusal):
        return absorbed
    if (FOLD.name, layer.index) in progress.not_finite:
        return not_finite_in(layer)
    parameter = absorbed.parameter
    parameter.top[0] = members[-1].tops[0]
    del parameter.blobs[:]
    gone = vanished(net, members, [link.affine for link in match.links])
    after = layer.rewritten(parameter, tuple(absorbed.blobs))
    return Rewrite(FOLD, tuple(members), after, gone, match.axis, match.rank, match.affine)


def _different_sharer(net: Net, match: Match, matches: Dict[int, Match]) -> Optional[Layer]:
    """A layer that shares a blob with this one and would need other values in it; None if there is none."""
    for name in (spec.name for spec in match.layer.parameter.param if spec.name):
        places = {layer.index: place for layer, place in net.sharers[name]}
        for other, place in net.sharers[name]:
            twin = matches.get(other.index)
            same_place = place == places[match.layer.index] and other.kind == match.layer.kind
            if twin is None or not same_place or not twin.affine.equals(match.affine):
                return other
    return None


def not_finite_in(layer: Layer) -> Refusal:
    return Refusal(f"the folded weights of {layer} would not be finite in float32")


def fate(rewrite: Rewrite, layer: Layer) -> str:
    if layer is rewrite.target:
        return f"absorbs {', '.join(each.name for each in rewrite.absorbed)}"
    return f"folds into {rewrite.after.name}"


FOLD = Rule("fold", "folded", fold_affines, fate, from_weights)
