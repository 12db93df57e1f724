"""How often a fold reads the numbers of the weights: once where nothing has to be repaired."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

import nets
import numpy as np
import pytest
from nets import batch_norm, convolution, layer, text

import caffe_fuse
from caffe_fuse.folding.save import prove_written
from caffe_fuse.protobuf.wire import Source

# More than a chunk of weights in c, and more than a small blob in d, which nothing folds into.
NET = text(
    layer("c", "Convolution", "x", "c", "convolution_param { num_output: 600 kernel_size: 1 bias_term: false }"),
    batch_norm(),
    layer("d", "InnerProduct", "b", "d", "inner_product_param { num_output: 40 }"),
    shape=(1, 512, 2, 2),
)


class Reads:
    """Counts the bytes that are read of each file."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of: Dict[str, int] = {}
        read = Source.read_into

        def counted(source: Source, start: int, target: memoryview) -> None:
            self.of[source.name] = self.of.get(source.name, 0) + len(target)
            read(source, start, target)

        monkeypatch.setattr(Source, "read_into", counted)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def loaded(folder: Path, prototxt: bytes = NET, blobs: Optional[nets.Blobs] = None) -> caffe_fuse.Model:
    (folder / "net.prototxt").write_bytes(prototxt)
    (folder / "net.caffemodel").write_bytes(nets.caffemodel(prototxt, blobs or nets.numbers(prototxt)))
    return caffe_fuse.load(folder / "net.prototxt", folder / "net.caffemodel")


def times_read(reads: Reads, model: caffe_fuse.Model) -> float:
    (name,) = (name for name in reads.of if name.endswith("net.caffemodel"))
    return reads.of[name] / Path(model.paths[1]).stat().st_size


@pytest.mark.parametrize("policy", ["ieee", "flush", "off"])
def test_a_fold_that_is_saved_reads_the_weights_once(reads: Reads, policy: Any, tmp_path: Path) -> None:
    model = loaded(tmp_path)
    result = caffe_fuse.fuse(model, half_policy=policy, rescale="never", allow_bn=True)
    result.save(tmp_path / "folded", force=True)
    assert (1, 1) == (len(result.report.folded), len(result.report.vanished_blobs))
    assert times_read(reads, model) < 1.1


def test_a_report_alone_reads_the_weights_once(reads: Reads, tmp_path: Path) -> None:
    model = loaded(tmp_path)
    assert caffe_fuse.fuse(model, rescale="never").report.folded
    assert times_read(reads, model) < 1.1


def test_a_fold_alone_reads_no_large_weights(reads: Reads, tmp_path: Path) -> None:
    model = loaded(tmp_path)
    caffe_fuse.fuse(model)
    assert times_read(reads, model) < 0.1


def test_the_report_is_the_same_before_and_after_the_files(tmp_path: Path) -> None:
    model = loaded(tmp_path)
    alone, saved = caffe_fuse.fuse(model), caffe_fuse.fuse(model)
    saved.save(tmp_path / "folded")
    assert alone.report.before == saved.report.before
    assert alone.report.after == saved.report.after


def test_a_fold_that_needs_a_repair_is_written_again(reads: Reads, tmp_path: Path) -> None:
    blobs = nets.numbers(NET)
    blobs["c"][0][7] *= 1e7
    model = loaded(tmp_path, blobs=blobs)
    result = caffe_fuse.fuse(model)
    weights, _ = result.save(tmp_path / "folded")
    assert result.report.rescaled
    assert result.safe
    prove_written(result.facts, weights)
    read_back = nets.arrays_of(Path(weights).read_bytes())["c"][0]
    assert np.array_equal(read_back.ravel(), result.model.net.layers[0].blobs[0].array().ravel())


def test_a_fold_whose_weights_would_not_be_finite_leaves_nothing_of_the_longer_draft(tmp_path: Path) -> None:
    power = layer("p", "Power", "c", "p", "power_param { scale: 4 }")
    prototxt = text(convolution(settings="bias_term: false"), power)
    blobs = nets.numbers(prototxt)
    blobs["c"][0][3, 1] = 3e38  # the draft has a bias
    result = caffe_fuse.fuse(loaded(tmp_path, prototxt, blobs), half_policy="off")
    weights, _ = result.save(tmp_path / "folded")
    assert (0, 1) == (len(result.report.folded), len(result.report.refused))
    assert (tmp_path / "net.caffemodel").read_bytes() == Path(weights).read_bytes()
