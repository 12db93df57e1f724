"""Folds of the nets with Caffe's recorded results: no BatchNorm is left, and every remaining blob is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import truth

import caffe_fuse

FOLDABLE = [
    name for pattern in ("fold-*", "net-*", "random-*", "keep-*", "half-*", "layer-*") for name in truth.names(pattern)
]
BATCH_STATISTICS = {"keep-batch-stats", "layer-batchnorm-batch-stats"}


@pytest.mark.parametrize("name", FOLDABLE)
def test_no_batch_norm_is_left_and_every_blob_is_the_same(name: str, tmp_path: Path) -> None:
    net = truth.load(name)
    result = caffe_fuse.fuse(caffe_fuse.load(net.prototxt_path, net.weights_path), half_policy="off", allow_bn=True)
    weights, prototxt = result.save(str(tmp_path / "out"))
    after = caffe_fuse.load(prototxt, weights)
    left = [layer.name for layer in after.net.layers if layer.type == "BatchNorm"]
    assert (name in BATCH_STATISTICS) == bool(left)
    compared = truth.compare(
        net.prototxt, net.weights, Path(prototxt).read_bytes(), Path(weights).read_bytes(), net.inputs
    )
    assert () == compared.violations
    assert () == compared.unknown
