"""Where outputs go: stdout, new folders, files that must not be replaced; and where inputs come from: stdin."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest
from conftest import Run
from json_schema import require_valid
from truth import FOLDER as TRUTH

import caffe_fuse
from caffe_fuse.cli import process as cli
from caffe_fuse.execution.run import seeded


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """Returns the two files of a small model, in the current folder, beside samples for it."""
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(TRUTH / "net-resnet-bottleneck" / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    inputs: Dict[str, Any] = seeded(caffe_fuse.load("net.prototxt", "net.caffemodel").net, 1)
    np.savez("samples.npz", **inputs)
    return ["net.prototxt", "net.caffemodel"]


def command(name: str, model: List[str]) -> List[str]:
    """Returns a command with its files."""
    files = [*model, *model] if name == "verify" else model
    return [name, *files, *(["--input", "samples.npz"] if name == "calibrate" else [])]


def new_files(model: List[str]) -> List[str]:
    return sorted(
        str(path) for path in Path().rglob("*") if path.is_file() and path.name not in (*model, "samples.npz")
    )


# --- stdout ---


@pytest.mark.parametrize("name", ["fuse", "check", "verify"])
def test_the_json_report_alone_goes_to_stdout(run: Run, model: List[str], name: str) -> None:
    output = ["-o", "a"] if name == "fuse" else []
    status, out, err = run(*command(name, model), *output, "--report", "-")
    assert 0 == status
    verdict = json.loads(out)["verdict"]
    assert err.splitlines()[-1] == f"verdict    {verdict}"
    run(*command(name, model), *output, "-q", "--report", "r.json")
    assert (0, Path("r.json").read_text(), "") == run(*command(name, model), *output, "-q", "--report", "-")
    assert "-" not in new_files(model)


def test_a_model_that_is_not_safe_has_its_json_report_on_stdout(run: Run) -> None:
    folder = TRUTH / "half-weights-last-layer"
    status, out, err = run("fuse", folder / "net.prototxt", folder / "net.caffemodel", "--dry-run", "--report", "-")
    assert (1, 1) == (status, json.loads(out)["status"])
    assert "verdict    NOT safe" in err


def test_an_error_leaves_stdout_empty(run: Run, model: List[str]) -> None:
    status, out, err = run("fuse", *model, "--report", "-", "--keep", "nothing")
    assert (2, "") == (status, out)
    assert err.startswith("caffe-fuse: error: ")


def test_the_json_report_of_many_models_needs_a_file(run: Run, model: List[str]) -> None:
    status, _, err = run("check", *model, *model, "--report", "-")
    assert 2 == status
    assert "--report - is for one model; give the report of many models a file" in err


# --- what was written ---


@pytest.mark.parametrize(
    ("name", "options", "files"),
    [
        ("fuse", ["-o", "a", "--report", "r.json"], ["a.caffemodel", "a.prototxt", "r.json"]),
        ("fuse", ["--dry-run", "--report", "r.json"], ["r.json"]),
        ("check", ["--report", "r.json"], ["r.json"]),
        ("verify", ["--report", "r.json"], ["r.json"]),
        ("run", ["-o", "o.npz"], ["o.npz"]),
        ("calibrate", ["-o", "ranges.json"], ["ranges.json"]),
        ("upgrade", ["-o", "u"], ["u.caffemodel", "u.prototxt"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_every_file_that_is_written_is_named(
    run: Run, model: List[str], name: str, options: List[str], files: List[str]
) -> None:
    status, out, _ = run(*command(name, model), *options)
    named = [line.split(None, 1)[1] for line in out.splitlines() if line.startswith("wrote ")]
    assert (0, files, files) == (status, sorted(named), new_files(model))


# --- folders ---


@pytest.mark.parametrize("name", ["fuse", "upgrade"])
def test_a_folder_for_the_output_is_made(run: Run, model: List[str], name: str) -> None:
    assert 0 == run(name, *model, "-q", "-o", "new/")[0]
    made = {"fuse": "net_fused", "upgrade": "net_upgraded"}[name]
    assert [f"new/{made}.caffemodel", f"new/{made}.prototxt"] == new_files(model)


def test_folders_for_many_models_are_made(run: Run, model: List[str]) -> None:
    os.mkdir("m")
    for file in model:
        shutil.copy(file, "m")
    assert 0 == run("fuse", "m", "-q", "-o", "new/")[0]
    assert ["new/net_fused.caffemodel", "new/net_fused.prototxt"] == sorted(map(str, Path("new").iterdir()))


@pytest.mark.parametrize("options", [["--keep", "nothing"], ["--dry-run"]], ids=" ".join)
def test_a_folder_into_which_nothing_is_written_goes_again(run: Run, model: List[str], options: List[str]) -> None:
    assert run("fuse", *model, "-o", "new/", *options)[0] in (0, 2)
    assert not Path("new").exists()
    os.mkdir("old")
    run("fuse", *model, "-o", "old/", *options)
    assert Path("old").is_dir()


def test_a_file_in_the_place_of_the_folder_is_told(run: Run, model: List[str]) -> None:
    Path("new").write_text("a file")
    status, _, err = run("fuse", *model, "-o", "new/")
    assert 2 == status
    assert "the folder" in err
    assert "a file" == Path("new").read_text()


# --- files that are there already ---


@pytest.mark.parametrize(
    ("name", "options", "there"),
    [
        ("fuse", ["-o", "a"], "a.prototxt"),
        ("fuse", ["-o", "a"], "a.caffemodel"),
        ("fuse", ["-o", "a", "--report", "r.json"], "r.json"),
        ("check", ["--report", "r.json"], "r.json"),
        ("verify", ["--report", "r.json"], "r.json"),
        ("run", ["-o", "o.npz"], "o.npz"),
        ("calibrate", ["-o", "ranges.json"], "ranges.json"),
        ("upgrade", ["-o", "u"], "u.prototxt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_with_no_clobber_no_output_is_replaced(
    run: Run, model: List[str], name: str, options: List[str], there: str
) -> None:
    Path(there).write_text("old")
    status, out, err = run(*command(name, model), *options, "--no-clobber")
    assert (2, "", f"caffe-fuse: error: {there}: exists already; choose another name, or omit --no-clobber\n") == (
        status,
        out,
        err,
    )
    assert ([there], "old") == (new_files(model), Path(there).read_text())
    Path(there).unlink()
    assert 0 == run(*command(name, model), *options, "--no-clobber")[0]


def test_with_no_clobber_another_format_of_weights_is_no_obstacle(run: Run, model: List[str]) -> None:
    Path("a.caffemodel.h5").write_text("old")
    assert 0 == run("fuse", *model, "-o", "a", "--no-clobber", "-q")[0]
    assert 2 == run("fuse", *model, "-o", "a", "--no-clobber", "-q", "--weights-format", "hdf5")[0]


# --- stdin ---


@pytest.mark.parametrize("place", [0, 1], ids=["net", "weights"])
def test_a_file_may_come_from_stdin(model: List[str], place: int) -> None:
    words = [word if turn != place else "-" for turn, word in enumerate(model)]
    done = subprocess.run(
        [sys.executable, "-m", "caffe_fuse", "fuse", *words, "-o", "a", "--report", "r.json"],
        input=Path(model[place]).read_bytes(),
        capture_output=True,
        check=False,
    )
    assert (0, b"") == (done.returncode, done.stderr)
    assert 0 == cli.main(["fuse", *model, "-o", "b", "-q"])
    assert Path("a.prototxt").read_bytes() == Path("b.prototxt").read_bytes()
    assert Path("a.caffemodel").read_bytes() == Path("b.caffemodel").read_bytes()
    piped, other = (json.loads(Path("r.json").read_text())["inputs"][each] for each in (place, 1 - place))
    assert ("/dev/stdin", None, None) == (piped["path"], piped["sha256"], piped["bytes"])
    assert len(other["sha256"]) == 64
    require_valid(Path("r.json").read_text())


def test_upgrade_and_show_read_stdin(model: List[str]) -> None:
    content = Path(model[0]).read_bytes()
    for words in (["upgrade", "-", "-o", "u"], ["show", "-"]):
        done = subprocess.run([sys.executable, "-m", "caffe_fuse", *words], input=content, capture_output=True)
        assert (0, b"") == (done.returncode, done.stderr)
    assert content == Path("u.prototxt").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fuse", "-", "-"], "two files are - (stdin); give one of them by its name"),
        (["verify", "-", "W", "NET", "-"], "two files are - (stdin)"),
        (["check", "-", "W", "NET", "W"], "- (stdin) is for one model in one process"),
        (["calibrate", "-", "W", "--input", "s", "-o", "r", "-j", "2"], "- (stdin) is for one model in one process"),
    ],
)
def test_stdin_is_read_once(run: Run, monkeypatch: pytest.MonkeyPatch, words: List[str], message: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    status, out, err = run(*words)
    assert (2, "") == (status, out)
    assert message in err
