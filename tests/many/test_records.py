"""What is done is on the disk at once, and counts as long as nothing that it depends on has changed."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import pytest

from caffe_fuse import SystemFailure
from caffe_fuse.many import entry as entries
from caffe_fuse.many.entry import Finished, finished, lost
from caffe_fuse.many.jobs import Job
from caffe_fuse.many.outcome import Outcome, Summary
from caffe_fuse.many.pairs import Left
from caffe_fuse.many.records import Records


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        Path(f"{name}.net").write_text(f"net {name}")
        Path(f"{name}.w").write_text(f"weights {name}")
    return tmp_path


def job(name: str, *options: str, reads: Sequence[str] = ()) -> Job:
    return Job("fuse", f"{name}.net", f"{name}.w", options, ("-o", name), tuple(reads), (f"{name}.out",))


def done(each: Job, status: int = 0) -> Finished:
    """The job, done by a command that writes one file."""

    def perform(words: Sequence[str]) -> Outcome:
        Path(each.targets[0]).write_text(" ".join(words))
        return Outcome(status, ("line",), ("warning",), (), Summary("safe", {"folded": 1}, ("next",)), each.targets)

    return finished(perform, each, True)


def record(jobs: Sequence[Job], resume: bool = False, status: int = 0) -> List[Optional[Finished]]:
    with Records("r.json", resume) as records:
        before = [records.done(turn, each) for turn, each in enumerate(jobs)]
        for turn, each in enumerate(jobs):
            if before[turn] is None:
                records.add(turn, done(each, status).text)
    return before


def test_the_report_has_the_jobs_in_their_order(folder: Path) -> None:
    jobs = [job("a"), job("b", "--prune"), job("c")]
    with Records("r.json", False) as records:
        for turn in (2, 0, 1):
            records.add(turn, done(jobs[turn]).text)
            assert Path("r.json.partial").read_bytes().endswith(b"}\n")
        assert not Path("r.json").exists()
        records.complete("fuse", [Left("x", "why")], 1, ())
    assert ["r.json"] == [path.name for path in folder.glob("r.*")]
    report: Dict[str, Any] = json.loads(Path("r.json").read_text())
    assert {"schema", "tool", "command", "models", "not_paired", "status"} == set(report)
    assert (["a.net", "b.net", "c.net"], 1) == ([each["net"] for each in report["models"]], report["status"])
    assert [{"file": "x", "reason": "why"}] == report["not_paired"]
    assert ["--prune"] == report["models"][1]["options"]
    assert {"safe"} == {each["verdict"] for each in report["models"]}


def change(name: str) -> Callable[[], object]:
    return lambda: Path(name).write_text("other")


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        (lambda: None, False),
        (change("a.net"), True),
        (change("a.w"), True),
        (change("a.out"), True),
        (change("ranges"), True),
        (lambda: Path("a.out").unlink(), True),
        (lambda: Path("samples/one").write_text("other"), True),
        (lambda: Path("samples/one").rename("samples/two"), True),
        (change("b.net"), False),
    ],
    ids=["nothing", "net", "weights", "output", "ranges", "no output", "a sample", "a name of a sample", "another net"],
)
@pytest.mark.parametrize("complete", [False, True], ids=["partial", "complete"])
def test_what_is_done_is_done_again_where_something_has_changed(
    what: Callable[[], object], changed: bool, complete: bool, folder: Path
) -> None:
    Path("ranges").write_text("ranges")
    Path("samples").mkdir()
    Path("samples/one").write_text("sample")
    jobs = [job("a", "--ranges", "ranges", reads=("ranges", "samples"))]
    record(jobs)
    if complete:
        with Records("r.json", True) as records:
            assert records.done(0, jobs[0]) is not None
            records.complete("fuse", (), 0, ())
        assert not Path("r.json.partial").exists()
    what()
    (found,) = record(jobs, resume=True)
    assert changed == (found is None)
    if found is not None:
        assert (0, Summary("safe", {"folded": 1}, ("next",))) == (found.status, found.summary)


def test_other_options_or_another_version_are_another_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record([job("a")])
    assert [None] == record([job("a", "--prune")], resume=True)
    monkeypatch.setattr(entries, "__version__", "0.0.0")
    assert [None] == record([job("a")], resume=True)


def test_without_resume_all_is_done_again(folder: Path) -> None:
    record([job("a"), job("b")])
    with Records("r.json", False):
        assert b"" == Path("r.json.partial").read_bytes()


def test_a_failure_is_tried_again_and_a_refusal_is_not(folder: Path) -> None:
    record([job("a")], status=3)
    assert [None] == record([job("a")], resume=True, status=2)
    (found,) = record([job("a")], resume=True)
    assert found is not None
    assert 2 == found.status


def test_half_a_line_is_no_error(folder: Path) -> None:
    record([job("a"), job("b")])
    partial = Path("r.json.partial")
    whole = partial.read_bytes()
    for size in (1, 10, len(whole) // 2 + 20, len(whole) - 1):
        partial.write_bytes(whole[:size])
        found = record([job("a"), job("b")], resume=True)
        assert [size > len(whole) // 2, False] == [each is not None for each in found]
        assert whole == partial.read_bytes()


def test_what_was_resumed_gives_the_same_bytes(folder: Path) -> None:
    jobs = [job("a"), job("b"), job("c")]
    reports = []
    for before in ((), (1,), (0, 2), (2, 1, 0)):
        with Records("r.json", False) as records:
            for turn in before:
                records.add(turn, done(jobs[turn]).text)
        with Records("r.json", True) as records:
            for turn, each in enumerate(jobs):
                assert (turn in before) == (records.done(turn, each) is not None)
                if turn not in before:
                    records.add(turn, done(each).text)
            records.complete("fuse", (), 0, ())
        reports.append(Path("r.json").read_bytes())
        Path("r.json").unlink()
    assert 1 == len(set(reports))


def test_a_job_without_its_process_is_a_failure(folder: Path) -> None:
    found = lost(job("a"), "its process was ended by SIGKILL", True)
    entry = json.loads(found.text)
    assert (3, ("a.net: its process was ended by SIGKILL",)) == (found.status, found.errors)
    assert (3, found.errors[0], None, {}) == (entry["status"], entry["error"], entry["report"], entry["outputs"])


def test_a_folder_that_cannot_be_written(folder: Path) -> None:
    Path("r.json.partial").mkdir()
    with pytest.raises(SystemFailure, match=r"r\.json\.partial: cannot write"):
        Records("r.json", False)


def test_a_full_disk_keeps_what_is_done_and_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job("a"), job("b")]
    with Records("r.json", False) as records:
        records.add(0, done(jobs[0]).text)

        def full(_handle: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("caffe_fuse.many.records.os.fsync", full)
            with pytest.raises(SystemFailure, match="--resume goes on from there"):
                records.add(1, done(jobs[1]).text)
    with Records("r.json", True) as records:
        assert records.done(0, jobs[0]) is not None
