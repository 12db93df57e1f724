"""Folds a chain of affine layers into the layer with weights after it, where nothing before it can absorb the chain.

With y = scale*x + shift for each input channel, and the weights w, the bias b of the layer after it:

    w' = w * scale        b' = b + sum(w * shift)

Exact where every sum takes in only values of y: padding is 0 after the chain as before it, so that a layer which pads
takes a scale alone. It could take the scale of any chain if a Bias of shift / scale stayed before it; but that saves
no layer, and OpenCV, RKNN-Toolkit2, TensorRT and caffe2onnx have no Bias.

Before:
    layer { name: "b" type: "BatchNorm" bottom: "x" top: "b" }
    layer { name: "c" type: "Convolution" bottom: "b" top: "c" convolution_param { kernel_size: 1 bias_term: false } }
After:
    layer { name: "c" type: "Convolution" bottom: "x" top: "c" convolution_param { kernel_size: 1 bias_term: true } }
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple, Union

from ..layers.layer_type import IDENTITY, Affine, Refusal
from ..layers.shapes import rank_of
from ..net.graph import Layer, Net, Value
from .chain import affine_of, compose
from .fold import fate, not_finite_in, obstacle
from .proof import from_inputs
from .rewrite import Link, Progress, Refused, Rewrite, Rule


def fold_forward(progress: Progress) -> Progress:
    net = progress.net
    rewrites: List[Rewrite] = []
    refusals: List[Refused] = []
    for layer in net.layers:
        if layer.layer_type is None or layer.layer_type.absorb is None or len(layer.bottoms) != 1:
            continue
        links = _chain_before(net, layer, progress)
        if not links:
            continue
        answer = _rewrite(progress, links, layer)
        if isinstance(answer, Refusal):
            refusals += [Refused.by("forward", link.layer, answer) for link in links]
        else:
            rewrites.append(answer)
    return progress.after(rewrites, refusals)


def _chain_before(net: Net, layer: Layer, progress: Progress) -> List[Link]:
    """The affine layers that end in the layer's bottom, each with the next one as its only consumer."""
    links: List[Link] = []
    value = net.bottoms(layer)[0]
    while len(net.consumers(value)) == 1 and value not in net.memory.entangled:
        producer = net.producer(value)
        affine = None if producer is None else affine_of(net, producer, progress.kept)
        if producer is None or not isinstance(affine, Affine):
            break
        if links and not affine.fits(compose(links)):
            break
        links.insert(0, Link(producer, affine))
        value = net.bottoms(producer)[0]
    while links and links[0].affine.is_identity and not links[0].layer.blobs:
        links.pop(0)  # it need not be touched
    return links


def _rewrite(progress: Progress, links: Sequence[Link], layer: Layer) -> Union[Rewrite, Refusal]:
    net = progress.net
    bottom, source = net.shapes[net.bottoms(layer)[0]], net.bottoms(links[0].layer)[0]
    earlier = next((rewrite for rewrite in progress.rewrites if rewrite.after is layer), None)
    target, following = (layer, IDENTITY) if earlier is None else (earlier.target, earlier.affine)
    assert layer.layer_type is not None
    absorber, channel_axis = layer.layer_type.absorb, layer.layer_type.channel_axis
    assert absorber is not None
    assert channel_axis is not None
    axis = channel_axis(layer.parameter, bottom)
    reason = _obstacle(net, source, links, layer) or obstacle(layer, axis, progress.kept)
    if reason is not None:
        return Refusal(reason)
    assert axis is not None
    inflow = absorber.inflow(target.parameter, target.blobs[0].shape, compose(links), bottom)
    if isinstance(inflow, Refusal):
        return Refusal(f"{layer} after it cannot absorb it: {inflow.reason}", inflow.remedy)
    absorbed = absorber.absorb(target.parameter, target.blobs, following, inflow)
    if isinstance(absorbed, Refusal):
        return absorbed
    if (FORWARD.name, layer.index) in progress.not_finite:
        return not_finite_in(layer)
    parameter = absorbed.parameter
    parameter.bottom[0], parameter.top[0] = source.blob, layer.tops[0]
    del parameter.blobs[:]
    after = layer.rewritten(parameter, absorbed.blobs)
    before = (*(link.layer for link in links), *((layer,) if earlier is None else earlier.before))
    gone = (*_vanished(links, source.blob), *(() if earlier is None else earlier.vanished))
    rank = rank_of(net.shapes[net.tops(layer)[0]])
    return Rewrite(FORWARD, before, after, gone, axis, rank, following, bottom=bottom)


def _obstacle(net: Net, source: Value, links: Sequence[Link], layer: Layer) -> Optional[str]:
    """Why the layer cannot read `source`, what the chain reads, or take other weights."""
    if source in net.memory.entangled:
        return f"the memory of blob {source.blob} is read under another name"
    if any(link.layer.tops[0] == source.blob for link in links):
        return f"blob {source.blob}, which it overwrites, would hold another value"
    if net.shared_with(layer):
        return f"{layer} shares its weights with {net.shared_with(layer)[0]}"
    return None


def _vanished(links: Sequence[Link], source: str) -> Tuple[Tuple[str, Optional[str]], ...]:
    """The blobs of the chain; as long as nothing changes the values, the source holds them."""
    same = True
    found: List[Tuple[str, Optional[str]]] = []
    for link in links:
        same = same and link.affine.is_identity
        if link.layer.tops[0] != source:
            found.append((link.layer.tops[0], source if same else None))
    return tuple(found)


FORWARD = Rule("forward", "folded", fold_forward, fate, from_inputs)
