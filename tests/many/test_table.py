"""The table of many models."""

from __future__ import annotations

import pytest

from caffe_fuse.many.outcome import Summary
from caffe_fuse.many.table import Row, table

SAFE = "safe: every value rounds to an fp16 value near it"


def summary(verdict: str, folded: int, overflow: int, *following: str) -> Summary:
    return Summary(verdict, {"folded": folded, "overflow": overflow}, following)


def test_each_model_has_a_line_and_below_it_what_to_do() -> None:
    rows = [
        Row("a.prototxt", 0, summary(SAFE, 20, 0)),
        Row("long/b.prototxt", 1, summary("NOT safe in half precision", 9, 12345, "do this", "or that")),
        Row("c.prototxt", 2, None),
        Row("d.prototxt", 3, None),
    ]
    assert [
        "net              verdict         folded  overflow",
        "a.prototxt       safe                20         0",
        "long/b.prototxt  NOT safe             9    12,345",
        "  next     do this",
        "  next     or that",
        "c.prototxt       cannot be used",
        "d.prototxt       failed",
        "4 models: 1 done, 1 not safe, 1 cannot be used, 1 failed; 2 files not paired",
    ] == table(rows, 2)


@pytest.mark.parametrize(
    ("verdict", "short"),
    [
        (SAFE, "safe"),
        (f"{SAFE}; 3 BatchNorm layers accepted (--allow-bn)", "safe"),
        ("done; half range not checked", "done"),
        ("NOT BN-free: 1 BatchNorm layer remains", "NOT BN-free"),
        ("NOT BN-free: 2 BatchNorm layers remain, and NOT safe in half precision", "NOT BN-free, and NOT safe"),
        ("NOT the same net, and NOT all folded", "NOT the same net, and NOT all folded"),
    ],
)
def test_a_verdict_is_short(verdict: str, short: str) -> None:
    line = table([Row("n", 0, summary(verdict, 0, 0))], 0)[1]
    assert ["n", *short.split(), "0", "0"] == line.split()


def test_the_end_of_a_long_path_is_shown_and_the_line_fits_a_terminal() -> None:
    path = "models/" + "x" * 60 + "/deploy.prototxt"
    line = table([Row(path, 1, summary("NOT BN-free: 1 BatchNorm layer remains", 1234, 0))], 0)[1]
    assert line.startswith(f"...{path[-34:]}  NOT BN-free")
    assert len(line) <= 80


def test_no_model_has_no_columns() -> None:
    assert ["net  verdict", "n    failed", "1 model: 1 failed"] == table([Row("n", 3, None)], 0)
