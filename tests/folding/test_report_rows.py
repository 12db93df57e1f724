"""The rows of a report, and its forms as a program asks for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nets
import pytest
import truth

import caffe_fuse


def fused(name: str, **options: Any) -> caffe_fuse.Result:
    folder = truth.FOLDER / name
    return caffe_fuse.fuse(caffe_fuse.load(folder / "net.prototxt", folder / "net.caffemodel"), **options)


def test_a_folded_layer_names_what_it_absorbed_and_its_top() -> None:
    first = fused("net-resnet-bottleneck").report.folded[0]
    assert ("conv0", "Convolution") == (first.layer, first.type)
    assert [("bn0", "BatchNorm"), ("scale0", "Scale")] == [(each.layer, each.type) for each in first.absorbed]


def test_the_top_is_the_one_that_is_left() -> None:
    prototxt = nets.text(nets.convolution("c", "x", "c"), nets.batch_norm("b", "c", "b"), nets.scale("s", "b", "s"))
    model = nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt)))
    assert ["s"] == [row.top for row in caffe_fuse.fuse(model).report.folded]


def test_a_refused_layer_has_its_reason_its_remedy_and_its_line() -> None:
    report = fused("keep-batch-stats").report
    refused, after = report.refused
    (left,) = report.batch_norms
    assert (left.layer, left.type, left.line) == (refused.layer, refused.type, refused.line)
    assert "batch" in refused.reason
    assert refused.remedy is not None
    assert refused.remedy.endswith("--use-global-stats")
    assert (15, None) == (refused.line, after.remedy)


def test_a_converted_layer_has_both_types() -> None:
    prototxt = nets.text(nets.layer("r", "ReLU", "x", "r"), nets.batch_norm("b", "r", "b"), nets.scale("s", "b", "s"))
    model = nets.model(prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt)))
    (row,) = caffe_fuse.fuse(model).report.converted
    assert ("b", "BatchNorm", "Scale", "s") == (row.layer, row.from_, row.to, row.top)
    assert ["s"] == [each.layer for each in row.absorbed]


@pytest.mark.parametrize("name", ["net-resnet-bottleneck", "keep-batch-stats", "keep-preact-resnet"])
def test_the_rows_are_those_of_the_json(name: str) -> None:
    report = fused(name, simplify=True).report
    document = report.to_dict()
    assert document == json.loads(report.to_json())
    assert list(document["refused"]) == [row._asdict() for row in report.refused]
    for rows in ("folded", "converted", "carried", "simplified", "batch_norms", "dropped", "unrepaired"):
        assert len(document[rows]) == len(getattr(report, rows))
    for written, converted in zip(document["converted"], report.converted):
        assert (converted.from_, converted.to) == (written["from"], written["to"])
    for written, folded in zip(document["folded"], report.folded):
        assert [{"layer": each.layer, "type": each.type} for each in folded.absorbed] == written["absorbed"]


def test_a_report_names_the_files_that_were_saved(tmp_path: Path) -> None:
    result = fused("net-resnet-bottleneck")
    paths = result.save(tmp_path / "out")
    assert list(paths) == [file["path"] for file in result.report.to_dict(paths)["outputs"]]
    assert [] == result.report.to_dict()["outputs"]
    assert str(tmp_path / "out.prototxt") in result.report.to_html([Path(path) for path in paths])
    with pytest.raises(caffe_fuse.InputError, match=r"gone\.caffemodel: cannot be read"):
        result.report.to_json([tmp_path / "gone.caffemodel"])
