"""Net definitions without weights, with seeded numbers of the right shapes: what a fold makes of them, in memory."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Dict, Mapping, NamedTuple, Sequence, Tuple

import numpy as np
import truth

import caffe_fuse
from caffe_fuse import passes
from caffe_fuse.blob import ArrayBlob, Blob
from caffe_fuse.dialects import decide
from caffe_fuse.emit import dropped_layers, edits
from caffe_fuse.net import Layer, Net

Shape = Tuple[int, ...]


class Seeded(NamedTuple):
    """A definition before and after the fold; refused: the reasons by layer."""

    before: Net
    after: Net
    refused: Dict[str, str]
    comparison: truth.Comparison


def fold(path: Path, shapes: Mapping[str, Shape], for_the_judge: Mapping[bytes, bytes]) -> Seeded:
    """shapes: of all inputs of the net, its data layers included.

    for_the_judge: what it cannot read in the text before and after, and what it reads instead.
    """
    model = caffe_fuse.load(path, input_shapes=shapes)
    seeds: Dict[Blob, ArrayBlob] = {}
    before = decide(model.net.with_layers([numbered(layer, seeds) for layer in model.net.layers])).net
    progress = passes.run(before)
    dropped = dropped_layers(before, model.excluded, progress.rewrites)
    text = model.document.render(edits(model.document, before, progress.net, dropped))
    random = np.random.RandomState(1)
    inputs = {name: (random.rand(*shape) * 2 - 1).astype(np.float32) for name, shape in shapes.items()}
    text_before = path.read_bytes()
    for foreign, known in for_the_judge.items():
        text_before, text = text_before.replace(foreign, known), text.replace(foreign, known)
    # Blobs that only layers of another phase make.
    unread = b"".join(b'input: "%b" ' % name.encode() for name in model.net.inputs if not is_input(text_before, name))
    stored = [{layer.name: arrays(layer) for layer in net.layers if layer.blobs} for net in (before, progress.net)]
    compared = truth.compare(unread + text_before, stored[0], unread + text, stored[1], inputs)
    refused = {each.layer.name: each.reason for each in progress.refusals.values()}
    return Seeded(before, progress.net, refused, compared)


def is_input(prototxt: bytes, name: str) -> bool:
    return re.search(rb"""(?m)^\s*input\s*:\s*["']%b["']""" % re.escape(name.encode()), prototxt) is not None


def numbered(layer: Layer, seeds: Dict[Blob, ArrayBlob]) -> Layer:
    """Weights that keep the size of the activations; all else between 0.5 and 1.5, a factor 1. Shared stays shared."""
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
