"""The table of what a fold saves, in every form that shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List

import pytest
from nets import batch_norm, caffemodel, convolution, layer, model, numbers, scale, text

import caffe_fuse
from caffe_fuse.cli import main
from caffe_fuse.net.cost import Cost, Savings
from caffe_fuse.report.cost_table import cost_lines, cost_rows
from caffe_fuse.report.show import plan_report

LAYERS = (convolution(), batch_norm(), scale(), layer("r", "ReLU", "s", "s"))


def folded_pair(folder: Path) -> List[str]:
    prototxt = text(*LAYERS)
    paths = [folder / "net.prototxt", folder / "net.caffemodel"]
    paths[0].write_bytes(prototxt)
    paths[1].write_bytes(caffemodel(prototxt, numbers(prototxt)))
    return list(map(str, paths))


def test_the_columns_are_aligned_and_unknown_sizes_say_so() -> None:
    before = Cost({"Convolution": 2, "Scale": 1}, 1234567, 10**9, 3_500_000)
    after = Cost({"Convolution": 2}, 1234, None, None)
    assert [
        "cost                           before    after  changed before  changed after",
        "  layers                            3        2               3              2",
        "    Scale                           1        0               1              0",
        "  parameters                1,234,567    1,234       1,234,567          1,234",
        "  multiply-adds         1,000,000,000  unknown   1,000,000,000        unknown",
        "  activations, float32         3.5 MB  unknown          3.5 MB        unknown",
        "  activations, fp16            1.8 MB  unknown          1.8 MB        unknown",
    ] == cost_lines("cost", cost_rows(Savings(before, after, before, after)))


def test_types_that_stay_are_listed_on_request() -> None:
    cost = Cost({"ReLU": 2}, 0, 0, 0)
    titles = [row.title for row in cost_rows(Savings(cost, cost, cost, cost), every_type=True)]
    assert "  ReLU" in titles
    assert "  ReLU" not in [row.title for row in cost_rows(Savings(cost, cost, cost, cost))]


def test_a_fold_prints_and_reports_the_files_that_it_read_and_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, weights = folded_pair(tmp_path)
    report, page = tmp_path / "report.json", tmp_path / "page.html"
    out = tmp_path / "new"
    arguments = ["fuse", net, weights, "-o", str(out), "--report", str(report), "--html", str(page)]
    assert 0 == main(arguments)
    printed = capsys.readouterr().out
    content = json.loads(report.read_text())
    sizes = [sum(each["bytes"] for each in content[side]) for side in ("inputs", "outputs")]
    assert [sum(Path(path).stat().st_size for path in (net, weights)), content["outputs"][0]["bytes"]] == [
        sizes[0],
        out.with_suffix(".caffemodel").stat().st_size,
    ]
    row = next(line.split() for line in printed.splitlines() if line.startswith("  files"))
    assert ["files", f"{sizes[0] / 1e3:.1f}", "kB", f"{sizes[1] / 1e3:.1f}", "kB"] == row
    shown = page.read_text()
    assert "What the fold saves" in shown
    saved = content["cost"]
    for moment in ("before", "after", "changed_before", "changed_after"):
        assert f'class="n">{saved[moment]["multiply_adds"]:,}</td>' in shown
    assert 2 == saved["before"]["layers"]["BatchNorm"] + saved["before"]["layers"]["Scale"]


def test_a_dry_run_has_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["fuse", *folded_pair(tmp_path), "--dry-run"])
    printed = capsys.readouterr().out
    assert "  multiply-adds" in printed
    assert "  files" not in printed


def test_show_ends_with_what_a_fold_would_save() -> None:
    prototxt = text(*LAYERS)
    stored = model(prototxt, caffemodel(prototxt, numbers(prototxt)))
    planned, folded = plan_report(model(prototxt, None)), caffe_fuse.fuse(stored).report
    table = cost_lines("cost", cost_rows(folded.savings))
    assert table == planned[-len(table) - 1 : -1]
