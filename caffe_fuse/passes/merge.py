"""Merges a chain that holds a BatchNorm and could not be folded into ONE Scale, so that no BatchNorm remains.

Before:
    layer { name: "b" type: "BatchNorm" bottom: "x" top: "b" }
    layer { name: "s" type: "Scale" bottom: "b" top: "s" scale_param { bias_term: true } }
After:
    layer { name: "b" type: "Scale" bottom: "x" top: "s" scale_param { bias_term: true } }
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Sequence, Set, Union

import numpy as np

from ..blobs.blob import ArrayBlob
from ..generations import V2
from ..layers.layer_type import Affine, Refusal
from ..layers.shapes import rank_of
from ..net.graph import Layer, Net
from ..schema.messages import copy_of
from ..wording import Remedy
from .chain import Link, affine_of, compose, follow, trimmed, vanished
from .leftover import not_absorbed
from .proof import from_values
from .rewrite import Progress, Refused, Rewrite, Rule

UPGRADE = Remedy("write the model in today's form first", ("upgrade",))


def merge_batch_norms(progress: Progress) -> Progress:
    net = progress.net
    rewrites: List[Rewrite] = []
    refusals: List[Refused] = []
    without_scale: Dict[int, Refused] = {}
    seen: Set[int] = set()
    for layer in net.layers:
        if layer.index in seen:
            continue
        links = _chain_from(net, layer, progress)
        seen.update(link.layer.index for link in links)
        norm = next((link.layer for link in links if link.layer.is_batch_norm), None)
        if norm is None:
            continue
        reason = _reason(net, links, progress)
        if norm.generation != V2:
            refusal = Refusal(f"{reason}, and the old form of this net has no Scale", UPGRADE)
            without_scale.update({link.layer.index: Refused.by("merge", link.layer, refusal) for link in links})
            continue
        answer = _rewrite(net, links, norm, reason)
        if isinstance(answer, Refusal):
            refusals += [Refused.by("merge", link.layer, answer) for link in links]
        else:
            rewrites.append(answer)
    # This reason includes the first one, and replaces it.
    progress = replace(progress, refusals={**progress.refusals, **without_scale})
    return progress.after(rewrites, refusals)


def _chain_from(net: Net, layer: Layer, progress: Progress) -> List[Link]:
    affine = affine_of(net, layer, progress.kept)
    if not isinstance(affine, Affine) or (affine.is_identity and not layer.blobs):
        return []
    if net.bottoms(layer)[0] in net.memory.entangled:  # other layers read the same memory: each must keep its place
        return [Link(layer, affine)]
    sized = affine.scale.size > 1
    axis, channels = (affine.axis, affine.scale.size) if sized else (None, None)
    following, _ = follow(net, net.tops(layer)[0], axis, channels, progress.kept)
    return trimmed(_up_to_source_name(net, trimmed([Link(layer, affine), *following])))


def _up_to_source_name(net: Net, links: List[Link]) -> List[Link]:
    """The chain up to the link that overwrites the blob it reads: that name is read later, and keeps its value."""
    source = net.bottoms(links[0].layer)[0].blob if links else ""
    for end in range(len(links), 0, -1):
        if links[end - 1].layer.tops[0] == source:
            return links[:end]
    return links


def _reason(net: Net, links: Sequence[Link], progress: Progress) -> str:
    for link in links:
        if link.layer.index in progress.refusals:
            return progress.refusals[link.layer.index].reason
    return not_absorbed(net, links[0].layer)


def _rewrite(net: Net, links: Sequence[Link], norm: Layer, reason: str) -> Union[Rewrite, Refusal]:
    members = [link.layer for link in links]
    affine = compose(links)
    source = net.bottoms(members[0])[0]
    with np.errstate(over="ignore"):
        scale, shift = affine.scale.astype(np.float32), affine.shift.astype(np.float32)
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return Refusal("its scale or shift is not finite in float32")
    parameter = copy_of(norm.parameter)
    for field in ("batch_norm_param", "bn_param", "scale_param", "param", "blobs"):
        parameter.ClearField(field)
    parameter.type = "Scale"
    parameter.bottom[0] = source.blob
    parameter.top[0] = members[-1].tops[0]
    parameter.scale_param.bias_term = True
    if affine.channels > 1 and affine.axis != parameter.scale_param.axis:  # after a BatchNorm of one channel
        parameter.scale_param.axis = affine.axis
    after = norm.rewritten(parameter, (ArrayBlob(scale), ArrayBlob(shift)))
    gone = vanished(net, members, [link.affine for link in links[1:]])
    return Rewrite(MERGE, tuple(members), after, gone, affine.axis, rank_of(net.shapes[source]), reason)


def _fate(rewrite: Rewrite, layer: Layer) -> str:
    if layer is rewrite.target:
        return f"becomes a {rewrite.after.type}: {rewrite.reason}"
    return f"joins {rewrite.after.name}"


MERGE = Rule("merge", "converted", merge_batch_norms, _fate, from_values)
