"""Many models: each as if it were alone, in one table and one report, whatever the engine, and after an interrupt."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
import pytest
from conftest import Run
from truth import FOLDER as TRUTH

from caffe_fuse.cli import several
from caffe_fuse.many.engines import Lost

SAFE, BAD, BN = "net-resnet-bottleneck", "half-weights-last-layer", "keep-batch-stats"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the current folder, with the models m/NAME/net.prototxt and .caffemodel, and an empty folder out."""
    for name in (SAFE, BAD, BN):
        (tmp_path / "m" / name).mkdir(parents=True)
        for file in ("net.prototxt", "net.caffemodel"):
            shutil.copy(TRUTH / name / file, tmp_path / "m" / name / file)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def damaged(name: str = "damaged") -> None:
    """Adds a model whose weights end too soon."""
    Path("m", name).mkdir()
    shutil.copy(TRUTH / SAFE / "net.prototxt", f"m/{name}/net.prototxt")
    Path(f"m/{name}/net.caffemodel").write_bytes((TRUTH / SAFE / "net.caffemodel").read_bytes()[:-100])


def tree(folder: str) -> Dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def facts(report: Dict[str, Any]) -> Dict[str, Any]:
    """Returns a report without the commands to type, which repeat the options."""
    refused = [{**each, "remedy": None} for each in report.get("refused", [])]
    return {**report, "next": None, "refused": refused}


def test_each_model_is_folded_as_alone_and_the_worst_status_counts(run: Run, fleet: Path) -> None:
    damaged()
    status, out, err = run("fuse", "m", "-o", "out", "--report", "r.json", "--force")
    assert 2 == status
    assert err.startswith("caffe-fuse: error: m/damaged/net.caffemodel: ")
    report = json.loads(Path("r.json").read_text())
    statuses = {each["net"].split("/")[1]: each["status"] for each in report["models"]}
    assert (2, {"damaged": 2, BAD: 1, BN: 1, SAFE: 0}) == (report["status"], statuses)
    Path("alone").mkdir()
    expected: Dict[str, bytes] = {}
    for each in report["models"]:
        name = each["net"].split("/")[1]
        if name == "damaged":
            assert each["report"] is None
            assert err == f"caffe-fuse: error: {each['error']}\n"
            continue
        prefix = Path("alone", name, "net_fused")
        prefix.parent.mkdir()
        run("fuse", each["net"], each["weights"], "-o", prefix, "--force", "--report", "alone.json")
        alone = Path("alone.json").read_text().replace("alone/", "out/")
        assert facts(json.loads(alone)) == facts(each["report"])
        expected.update({f"{name}/{file}": content for file, content in tree(str(prefix.parent)).items()})
    assert 6 == len(expected)
    assert expected == tree("out")
    lines = out.splitlines()
    assert "4 models: 1 done, 2 not safe, 1 cannot be used" == lines[-2]
    assert "wrote      r.json" == lines[-1]
    assert max(map(len, [line for line in lines if not line.startswith("  next")])) <= 80


def test_the_next_command_is_right_for_each(run: Run, fleet: Path) -> None:
    _, out, _ = run("fuse", "m", "-o", "out/", "--stage", "x y", "--folds", "direct")
    (command,) = re.findall(r"^  next     accept it as it is: caffe-fuse (.*)$", out, re.MULTILINE)
    net = f"m/{BN}/net"
    assert (
        f"fuse {net}.prototxt {net}.caffemodel --folds direct --stage 'x y' -o out/{BN}/net_fused --allow-bn" == command
    )
    assert 0 == run("fuse", "m", "-o", "out/", "--allow-bn", "--half-policy", "off")[0]


@pytest.mark.parametrize("options", [[], ["-v"], ["-q"]])
def test_the_count_of_processes_changes_no_byte(run: Run, fleet: Path, options: List[str]) -> None:
    damaged()
    found = []
    for count in (1, 2, 3):
        shutil.rmtree("out")
        Path("out").mkdir()
        said = run("fuse", "m", "-o", "out", "-j", count, "--report", "r.json", *options)
        found.append((said, tree("out"), Path("r.json").read_bytes()))
    assert found[0] == found[1] == found[2]
    assert ("" == found[0][0][1]) == (options == ["-q"])
    assert (3 == found[0][0][1].count("\n  verdict    ")) == (options == ["-v"])


def test_pairs_folders_and_a_manifest_are_ways_to_say_the_same(run: Run, fleet: Path) -> None:
    pairs = [f"m/{name}/net.{ending}" for name in (BAD, SAFE) for ending in ("caffemodel", "prototxt")]
    rows = "".join(f"{name}/net.prototxt\t{name}/net.caffemodel\n" for name in (BAD, SAFE))
    Path("m/list").write_text(f"net\tweights\n{rows}")
    found = []
    for models in (pairs, [f"m/{BAD}", f"m/{SAFE}"], ["--manifest", "m/list"]):
        run("check", *models, "--report", "r.json")
        found.append(Path("r.json").read_bytes())
    assert found[0] == found[1] == found[2]
    status, _, err = run("fuse", *pairs, "-o", "out")
    message = f"out/net_fused.prototxt: this is an output of m/{BAD}/net.prototxt and of m/{SAFE}/net.prototxt"
    assert (2, {}) == (status, tree("out"))
    assert err.startswith(f"caffe-fuse: error: {message}; give each its own output in a manifest")


def test_a_manifest_gives_each_model_its_options(run: Run, fleet: Path) -> None:
    row = (
        f'{{"net": "m/{BN}/net.prototxt", "weights": "m/{BN}/net.caffemodel", "options": "--allow-bn", "output": "x"}}'
    )
    Path("list").write_text(row.replace("--allow-bn", "") + "\n" + row.replace('"x"', '"y"') + "\n")
    assert 1 == run("fuse", "--manifest", "list", "--report", "r.json", "--prune")[0]
    report = json.loads(Path("r.json").read_text())
    assert [(["--prune"], 1), (["--prune", "--allow-bn"], 0)] == [
        (each["options"], each["status"]) for each in report["models"]
    ]
    assert {"y.prototxt", "y.caffemodel"} == {path.name for path in fleet.glob("[xy].*")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--frobnicate", "list:2: unrecognized arguments: --frobnicate; see caffe-fuse fuse --help"),
        ("--level x", "list:2: argument --level: invalid int value: 'x'"),
        ("-j 3", "list:2: --jobs is for all models; give it on the command line"),
        ("--report x.json", "list:2: --report is for all models"),
        ("-o x", "list:2: --output is for all models"),
        ("more", "list:2: a line is one model"),
    ],
)
def test_options_of_a_line_that_do_not_fit_are_told_with_the_line(
    run: Run, fleet: Path, options: str, message: str
) -> None:
    Path("list").write_text(f"net\tweights\toptions\nm/{BN}/net.prototxt\tm/{BN}/net.caffemodel\t{options}\n")
    status, _, err = run("fuse", "--manifest", "list", "-o", "out")
    assert 2 == status
    assert err.startswith(f"caffe-fuse: error: {message}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("fuse m -o none", "none: the outputs of many models go to a folder, and this is none; create it, or write /"),
        (
            "fuse m --html p.html",
            "p.html: with many models --html names a folder, and this is none; create",
        ),
        ("fuse m --resume", "--resume is for many models with --report; see caffe-fuse fuse --help"),
        ("fuse m/x/net.prototxt m/x/net.caffemodel --resume --report r", "--resume is for many models with --report"),
        ("fuse m/x/net.prototxt m/x/net.caffemodel --dask x", "--dask is for many models, and for calibrate"),
        ("fuse m -j 0", "-j 0 is no count of processes"),
        ("fuse out", "no model found in out; give folders with nets and weights"),
        ("fuse m --manifest l", "--manifest names the models, and so does the command line"),
        ("fuse --manifest l", "l: cannot be read"),
        ("fuse m -o out --report none/r.json", "none/r.json: the folder"),
        ("calibrate m -o out", "the following arguments are required: --input; see caffe-fuse calibrate --help"),
        ("calibrate a b", "the following arguments are required: --input, -o/--output"),
        ("check", "the following arguments are required: NET, WEIGHTS; see caffe-fuse check --help"),
    ],
)
def test_what_does_not_fit_is_told_before_the_work(
    run: Run, fleet: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.setattr(several, "_work", None)
    status, out, err = run(*words.split())
    assert (2, "") == (status, out)
    assert err.startswith(f"caffe-fuse: error: {message}")
    assert {} == tree("out")


def test_what_is_no_model_is_told(run: Run, fleet: Path) -> None:
    Path("m/solver.prototxt").write_text("base_lr: 1\n")
    status, out, err = run("fuse", "m", "-q", "-o", "out", "--dry-run", "--report", "r.json", "--allow-bn")
    assert (1, "") == (status, out)
    assert "caffe-fuse: warning: m/solver.prototxt: not paired: is a solver, not a net\n" == err
    expected = [{"file": "m/solver.prototxt", "reason": "is a solver, not a net"}]
    assert expected == json.loads(Path("r.json").read_text())["not_paired"]


def test_what_the_command_wrote_before_is_no_model_of_it(run: Run, fleet: Path) -> None:
    words = ["fuse", "m", "-o", "m", "--force", "--report", "r.json"]
    first = run(*words), Path("r.json").read_bytes(), tree("m")
    assert first == (run(*words), Path("r.json").read_bytes(), tree("m"))


def test_two_snapshots_of_a_net_are_called_as_these(run: Run, fleet: Path) -> None:
    for number in (1, 2):
        shutil.copy(TRUTH / SAFE / "net.caffemodel", f"m/{SAFE}/net_iter_{number}.caffemodel")
    Path(f"m/{SAFE}/net.caffemodel").unlink()
    assert 0 == run("fuse", f"m/{SAFE}", "-o", "out")[0]
    endings = ("caffemodel", "prototxt")
    assert [f"net_iter_{number}_fused.{ending}" for number in (1, 2) for ending in endings] == sorted(tree("out"))


def test_a_page_for_each(run: Run, fleet: Path) -> None:
    pytest.importorskip("jinja2")
    assert 1 == run("fuse", "m", "-o", "out", "--html", "out")[0]
    pages = {path for path in tree("out") if path.endswith(".html")}
    assert {f"{name}/net_fused.html" for name in (SAFE, BAD, BN)} == pages
    assert 1 == run("check", "m", "--html", "out")[0]
    checked = {path for path in tree("out") if path.endswith("_checked.html")}
    assert {f"{name}/net_checked.html" for name in (SAFE, BAD, BN)} == checked


def test_check_of_many(run: Run, fleet: Path) -> None:
    status, out, err = run("check", "m", "--report", "r.json", "-j", 2)
    assert (1, "") == (status, err)
    assert ["net", "verdict", "overflow"] == out.splitlines()[0].split()
    for each in json.loads(Path("r.json").read_text())["models"]:
        run("check", each["net"], each["weights"], "--report", "alone.json")
        assert facts(json.loads(Path("alone.json").read_text())) == facts(each["report"])
        assert {} == each["outputs"]


def test_calibrate_of_many(run: Run, fleet: Path) -> None:
    shape = re.findall(r"dim: (\d+)", Path(f"m/{SAFE}/net.prototxt").read_text())[:4]
    Path("m", BAD, "net.prototxt").unlink()
    Path("m", BN, "net.prototxt").unlink()
    (name,) = re.findall(r'^  top: "(.*)"|^input: "(.*)"', Path(f"m/{SAFE}/net.prototxt").read_text(), re.MULTILINE)[:1]
    samples: Dict[str, Any] = {name[0] or name[1]: np.ones([3, *map(int, shape[1:])], np.float32)}
    np.savez("x.npz", **samples)
    shutil.copytree(f"m/{SAFE}", "m/again")
    status, out, _ = run("calibrate", "m", "--input", "x.npz", "-o", "out", "-j", 2)
    assert 0 == status
    assert ["net", "verdict", "blobs", "samples"] == out.splitlines()[0].split()
    run("calibrate", f"m/{SAFE}/net.prototxt", f"m/{SAFE}/net.caffemodel", "--input", "x.npz", "-o", "alone")
    ranges = Path("alone").read_bytes()
    assert {f"{SAFE}/net_ranges.json": ranges, "again/net_ranges.json": ranges} == tree("out")


def test_a_model_whose_process_dies_stops_no_other(run: Run, fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        width = 1

        def results(self, function: Callable[..., Any], tasks: List[Tuple[Any, ...]]) -> Iterator[Tuple[int, Any]]:
            for place in (2, 0, 1):
                yield place, Lost("its process was ended by SIGKILL") if place == 1 else function(*tasks[place])

    monkeypatch.setattr(several, "engine", lambda options: Engine())
    status, out, err = run("fuse", "m", "-o", "out", "--force", "--report", "r.json")
    assert (3, f"caffe-fuse: error: m/{BN}/net.prototxt: its process was ended by SIGKILL\n") == (status, err)
    assert "3 models: 1 done, 1 not safe, 1 failed" == out.splitlines()[-2]
    assert 4 == len(tree("out"))
    monkeypatch.undo()
    os.chdir(fleet)
    assert 1 == run("fuse", "m", "-o", "out", "--force", "--report", "r.json", "--resume")[0]
    assert 6 == len(tree("out"))


# --- interrupted, and resumed ---


@pytest.fixture
def waiting(fleet: Path) -> Path:
    """Adds a model whose weights are a pipe: it takes as long as nobody writes to it."""
    shutil.copytree(f"m/{SAFE}", "m/z")
    Path("m/z/net.caffemodel").unlink()
    os.mkfifo("m/z/net.caffemodel")
    Path("list").write_text(
        "net\tweights\toutput\n"
        + "".join(f"m/{name}/net.prototxt\tm/{name}/net.caffemodel\t{name}\n" for name in ("z", SAFE, BAD, BN))
    )
    return fleet


WORDS = ["fuse", "--manifest", "list", "-o", "out", "--force", "--report", "r.json"]
PRELUDE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def started(*options: str) -> subprocess.Popen[bytes]:
    program = f"{PRELUDE}from caffe_fuse.cli import process\nprocess.console()"
    command = [sys.executable, "-c", program, *WORDS, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def children(process: int) -> List[int]:
    """Returns the processes below one."""
    parents: Dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass
    found = [process]
    for parent in found:
        found += [child for child, above in parents.items() if above == parent]
    return found[1:]


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds its processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_done_before_an_interrupt_is_not_done_again(waiting: Path, run: Run, number: int) -> None:
    with started("-j", "2") as process:
        partial = Path("r.json.partial")
        until(lambda: partial.exists() and 3 == partial.read_bytes().count(b"\n"), "three models are done")
        below = children(process.pid)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    if number != signal.SIGKILL:
        assert 130 == process.returncode
        assert (
            b"caffe-fuse: what is done is in r.json.partial: go on from there with --resume\n"
            b"caffe-fuse: error: interrupted\n"
        ) == err
        until(lambda: not [each for each in below if Path(f"/proc/{each}").exists()], "no process is left")
    assert not Path("r.json").exists()
    names = {f"{name}.{ending}" for name in (SAFE, BAD, BN) for ending in ("prototxt", "caffemodel")}
    assert names == set(tree("out"))
    times = {name: Path("out", name).stat().st_mtime_ns for name in names}

    Path("m/z/net.caffemodel").unlink()
    shutil.copy(TRUTH / SAFE / "net.caffemodel", "m/z/net.caffemodel")
    status, out, _ = run(*WORDS, "--resume", "-v")
    assert (1, 3) == (status, out.count("\n  done before\n"))
    assert times == {name: Path("out", name).stat().st_mtime_ns for name in names}
    resumed = Path("r.json").read_bytes(), tree("out")
    assert 1 == run(*WORDS)[0]
    assert resumed == (Path("r.json").read_bytes(), tree("out"))
    assert not partial.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds its processes in /proc")
def test_a_process_that_is_killed_is_one_model(waiting: Path) -> None:
    with started("-j", "2") as process:
        partial = Path("r.json.partial")
        until(lambda: partial.exists() and 3 == partial.read_bytes().count(b"\n"), "three models are done")
        for each in children(process.pid):
            files = Path(f"/proc/{each}/fd")
            if b"forkserver" in Path(f"/proc/{each}/cmdline").read_bytes() and children(each) == []:
                assert files.exists()
                os.kill(each, signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    assert 3 == process.returncode
    message = "m/z/net.prototxt: its process was ended by SIGKILL: is the memory too small?"
    assert f"caffe-fuse: error: {message}" in err.decode()
    assert out.decode().splitlines()[-2].endswith(", 1 failed")
    assert message == json.loads(Path("r.json").read_text())["models"][0]["error"]


def test_a_folder_that_is_given_twice_counts_once(run: Run, fleet: Path) -> None:
    assert run("check", "m")[1] == run("check", "m", "m")[1]
