"""Net definitions without weights, folded in memory with seeded weights of the right shapes."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Dict, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import truth
from reference import Trace, trace

import caffe_fuse
from caffe_fuse import passes
from caffe_fuse.blobs.blob import ArrayBlob, Blob
from caffe_fuse.emit.dropped import dropped_layers
from caffe_fuse.emit.text import edits
from caffe_fuse.net.bn_dialect import decide
from caffe_fuse.net.graph import Layer, Net

Shape = Tuple[int, ...]


class Seeded(NamedTuple):
    """A definition before and after the fold. refused: the reasons by layer."""

    before: Net
    after: Net
    refused: Dict[str, str]
    comparison: truth.Comparison


def fold(path: Path, shapes: Mapping[str, Shape], for_the_judge: Mapping[bytes, bytes]) -> Seeded:
    """shapes: of all inputs of the net, its data layers included.

    for_the_judge: what it cannot read in the text before and after, and what it reads instead.
    """
    model = caffe_fuse.load(path, input_shapes=shapes)
    random = np.random.RandomState(1)
    inputs = {name: (random.rand(*shape) * 2 - 1).astype(np.float32) for name, shape in shapes.items()}
    text_before = path.read_bytes()
    # Blobs that only layers of another phase make.
    unread = b"".join(b'input: "%b" ' % name.encode() for name in model.net.inputs if not is_input(text_before, name))

    def judged(text: bytes) -> bytes:
        for foreign, known in for_the_judge.items():
            text = text.replace(foreign, known)
        return unread + text

    seeds: Dict[Blob, ArrayBlob] = {}
    drawn = decide(model.net.with_layers([numbered(layer, seeds) for layer in model.net.layers])).net
    before = gentle(drawn, trace(judged(text_before), stored(drawn), inputs))
    progress = passes.run(before)
    dropped = dropped_layers(before, model.excluded, progress)
    text = model.document.render(edits(model.document, before, progress.net, dropped))
    compared = truth.compare(judged(text_before), stored(before), judged(text), stored(progress.net), inputs)
    refused = {each.layer.name: each.reason for each in progress.refusals.values()}
    return Seeded(before, progress.net, refused, compared)


def gentle(net: Net, ran: Trace) -> Net:
    """Returns the net with smaller weights where its values would saturate a Sigmoid or a Softmax.

    Saturated, they are steps: the side on which a value lies depends on the rounding of large values.
    """
    steps = {layer.name for layer in net.layers if layer.type in ("Sigmoid", "Softmax", "TanH")}
    factors: Dict[str, np.float32] = {}
    for each in (each for kept in ran.versions.values() for each in kept if each.layer in steps):
        for blob, number in each.bottoms:
            bottom = ran.versions[blob][number]
            factors[bottom.layer] = np.float32(4 / max(4, bottom.magnitude))

    def changed(layer: Layer) -> Layer:
        if layer.name not in factors or layer.type not in ("Convolution", "InnerProduct"):
            return layer
        smaller = [ArrayBlob(blob.array() * factors[layer.name]) for blob in layer.blobs]
        return dataclasses.replace(layer, blobs=tuple(smaller))

    return net.with_layers([changed(layer) for layer in net.layers])


def stored(net: Net) -> Dict[str, Sequence[np.ndarray]]:
    return {layer.name: arrays(layer) for layer in net.layers if layer.blobs}


def is_input(prototxt: bytes, name: str) -> bool:
    return re.search(rb"""(?m)^\s*input\s*:\s*["']%b["']""" % re.escape(name.encode()), prototxt) is not None


def numbered(layer: Layer, seeds: Dict[Blob, ArrayBlob]) -> Layer:
    """Returns weights that keep the size of activations; other blobs are 0.5 to 1.5, factors 1; shared stays shared."""
    random = np.random.default_rng(layer.index)
    for blob in layer.blobs:
        if blob in seeds:
            continue
        if len(blob.shape) > 1 and blob.count > max(blob.shape):
            numbers = random.standard_normal(blob.shape, np.float32) * np.float32(np.sqrt(2 / np.prod(blob.shape[1:])))
        else:
            numbers = random.uniform(0.5, 1.5, blob.shape) if blob.count > 1 else np.ones(blob.shape)
        if layer.type == "BN":  # as its Caffes shape them
            numbers = numbers.reshape(1, -1, 1, 1)
        seeds[blob] = ArrayBlob(numbers.astype(np.float32, copy=False))
    return dataclasses.replace(layer, blobs=tuple(seeds[blob] for blob in layer.blobs))


def arrays(layer: Layer) -> Sequence[np.ndarray]:
    return [blob.array().astype(np.float32, copy=False) for blob in layer.blobs]
