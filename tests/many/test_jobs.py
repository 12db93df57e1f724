"""Jobs are words, and no two of them write one file."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

import pytest

from caffe_fuse import InputError
from caffe_fuse.many.jobs import Job, require_apart

A = Job("fuse", "a.prototxt", "a.caffemodel", ("--prune",), ("-o", "o/a"), ("r.json",), ("o/a.prototxt", "o/a.h5"))


def test_a_job_is_the_command_of_one_model() -> None:
    assert "fuse a.prototxt a.caffemodel --prune -o o/a" == " ".join(A.words)


@pytest.mark.parametrize(
    ("other", "report", "message"),
    [
        (
            A._replace(net="b.prototxt"),
            None,
            "o/a.prototxt: this is an output of a.prototxt and of b.prototxt; give each",
        ),
        (A._replace(targets=("o/../o/a.h5",)), None, "o/../o/a.h5: this is an output of a.prototxt and of a.prototxt"),
        (A._replace(targets=("a.caffemodel",)), None, "a.caffemodel: this output of a.prototxt is an input"),
        (A._replace(targets=("r.json",)), None, "r.json: this output of a.prototxt is an input"),
        (A._replace(targets=()), "o/a.h5", "o/a.h5: this is an output of the report and of a.prototxt"),
        (A._replace(targets=()), "a.prototxt", "a.prototxt: the report is an input"),
        (A._replace(targets=("o/b",)), "o/report", None),
    ],
)
def test_no_file_is_written_twice_or_read_by_another(
    other: Job, report: Optional[str], message: Optional[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("o").mkdir()
    found: List[str] = []
    try:
        require_apart([A, other], report)
    except InputError as error:
        found.append(str(error))
    assert (message is None) == (not found)
    assert message is None or found[0].startswith(message)
