"""Net definitions from the wild with seeded weights: no BatchNorm is left, and every blob keeps its value.

Pictures are small, or the judge would need minutes. Definitions that it cannot run in seconds are planned only, in
test_real_models.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, FrozenSet, NamedTuple

import pytest
import reference
import seeded
from conftest import SHARED

import caffe_fuse


class Judged(NamedTuple):
    """size: of the picture. unknown: layer types that the judge does not know; it says nothing behind them."""

    size: int = 64
    unknown: FrozenSet[str] = frozenset()


SSD = frozenset({"DetectionOutput", "PriorBox"})
DEFINITIONS: Dict[str, Judged] = {
    "air26.prototxt": Judged(),
    "crossroad-0078-train.prototxt": Judged(unknown=frozenset({"PriorBoxClustered"})),
    "emotions-omz.prototxt": Judged(),
    "enet-deploy-final.prototxt": Judged(),
    "mobilefacenet-res2-lcings.prototxt": Judged(112),
    "mobilenet-ssd-test.prototxt": Judged(unknown=SSD | {"DetectionEvaluate"}),
    "mobilenet-v1-shicai.prototxt": Judged(),
    "mobilenet-v2-tf.prototxt": Judged(),
    "ocr-inception-bn.prototxt": Judged(unknown=frozenset({"CTCGreedyDecoder", "Lstm", "Reverse", "Transpose"})),
    "resnet10-preact-cvgj.prototxt": Judged(),
    "tinyssd-test.prototxt": Judged(unknown=SSD | {"DetectionEvaluate"}),
}


def shapes_of(path: Path, size: int) -> Dict[str, seeded.Shape]:
    """A picture for the first input, and one of everything else."""
    net = caffe_fuse.load(path).net
    inputs = dict(net.inputs)
    sources = [layer for layer in net.layers if not layer.bottoms]
    inputs.update({value.blob: net.shapes[value] for layer in sources for value in net.tops(layer)})
    picture, *others = inputs
    rest = {name: (1, *(dim or 1 for dim in (inputs[name] or (1,))[1:])) for name in others}
    return {picture: (1, 3, size, size), **rest}


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_with_seeded_weights_folds_and_keeps_its_blobs(shared: Path, name: str) -> None:
    path, judged = shared / "prototxt" / name, DEFINITIONS[name]
    found = seeded.fold(path, shapes_of(path, judged.size))
    assert [] == [layer.name for layer in found.after.layers if layer.type in ("BatchNorm", "BN")]
    assert () == found.comparison.violations
    types = {layer.type for layer in found.before.layers if layer.bottoms}
    assert judged.unknown == types - set(reference.LAYERS)
    assert bool(judged.unknown) == bool(found.comparison.unknown)


def test_the_definitions_are_there(shared: Path) -> None:
    assert set(DEFINITIONS) <= {path.name for path in (SHARED / "prototxt").iterdir()}
