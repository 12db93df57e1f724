"""The command: exit status, messages, what is written and what is not."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
from conftest import Run
from truth import FOLDER as TRUTH

import caffe_fuse
from caffe_fuse.cli import process as cli
from caffe_fuse.execution.run import seeded


@pytest.fixture
def model(tmp_path: Path) -> Tuple[Path, Path]:
    """Returns a small ResNet block in its own folder."""
    folder = tmp_path / "block"
    folder.mkdir()
    for name in ("net.prototxt", "net.caffemodel"):
        shutil.copy(TRUTH / "net-resnet-bottleneck" / name, folder / name)
    return folder / "net.prototxt", folder / "net.caffemodel"


def files(folder: Path) -> List[str]:
    return sorted(path.name for path in folder.iterdir())


def test_fuse_writes_both_files_and_says_what_it_did(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    status, out, err = run("fuse", *model, "-o", tmp_path / "small")
    assert (0, "") == (status, err)
    assert ["block", "small.caffemodel", "small.prototxt"] == files(tmp_path)
    assert "BatchNorm" in out.splitlines()[0]
    assert "verdict    safe: every value rounds to an fp16 value near it" == out.splitlines()[-1]


def test_the_two_files_may_come_in_either_order(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    net, weights = model
    assert 0 == run("fuse", net, weights, "-o", tmp_path / "a")[0]
    assert 0 == run("fuse", weights, net, "-o", tmp_path / "b")[0]
    for ending in (".prototxt", ".caffemodel"):
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_a_prefix_may_carry_the_ending_that_is_added(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    run("fuse", *model, "-o", tmp_path / "a.caffemodel")
    run("fuse", *model, "-o", tmp_path / "b.prototxt")
    assert ["a.caffemodel", "a.prototxt", "b.caffemodel", "b.prototxt", "block"] == files(tmp_path)


def test_the_default_name_is_the_nets(run: Run, model: Tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    net, _ = model
    monkeypatch.chdir(net.parent)
    run("fuse", "net.prototxt", "net.caffemodel")
    assert ["net.caffemodel", "net.prototxt", "net_fused.caffemodel", "net_fused.prototxt"] == files(net.parent)


def test_a_net_called_deploy_takes_its_folders_name(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    net, weights = model
    deploy = net.rename(net.with_name("deploy.prototxt"))
    (tmp_path / "out").mkdir()
    run("fuse", deploy, weights, "-o", f"{tmp_path}/out/")
    assert ["block_fused.caffemodel", "block_fused.prototxt"] == files(tmp_path / "out")


def test_quiet_prints_nothing(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    assert (0, "", "") == run("fuse", *model, "-q", "-o", tmp_path / "a")


def test_dry_run_writes_nothing_but_the_report(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    status, _, _ = run("fuse", *model, "-o", tmp_path / "a", "--dry-run", "--report", tmp_path / "r.json")
    assert 0 == status
    assert ["block", "r.json"] == files(tmp_path)
    assert [] == json.loads((tmp_path / "r.json").read_text())["outputs"]


def test_outputs_follow_the_umask(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        run("fuse", *model, "-o", tmp_path / "a")
    finally:
        os.umask(before)
    assert 0o640 == (tmp_path / "a.caffemodel").stat().st_mode & 0o777
    assert 0o640 == (tmp_path / "a.prototxt").stat().st_mode & 0o777


def test_the_same_call_gives_the_same_bytes(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        run("fuse", *model, "-o", tmp_path / name)
    assert (tmp_path / "a.prototxt").read_bytes() == (tmp_path / "b.prototxt").read_bytes()
    assert (tmp_path / "a.caffemodel").read_bytes() == (tmp_path / "b.caffemodel").read_bytes()


def test_a_second_fold_changes_nothing(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    run("fuse", *model, "-o", tmp_path / "a")
    run("fuse", tmp_path / "a.prototxt", tmp_path / "a.caffemodel", "-o", tmp_path / "b")
    assert (tmp_path / "a.prototxt").read_bytes() == (tmp_path / "b.prototxt").read_bytes()
    assert (tmp_path / "a.caffemodel").read_bytes() == (tmp_path / "b.caffemodel").read_bytes()


def test_an_existing_output_is_replaced(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "a.prototxt").write_text("old")
    assert 0 == run("fuse", *model, "-o", tmp_path / "a")[0]
    assert b"old" != (tmp_path / "a.prototxt").read_bytes()


@pytest.mark.parametrize("strict", [[], ["--strict"], ["--strict=bn"]])
def test_no_batch_norm_may_remain_unless_it_is_allowed(run: Run, tmp_path: Path, strict: List[str]) -> None:
    folder = TRUTH / "keep-batch-stats"
    pair = (folder / "net.prototxt", folder / "net.caffemodel")
    assert 0 == run("fuse", *pair, "-o", tmp_path / "a", "--allow-bn")[0]
    status, out, _ = run("fuse", *strict, *pair, "-o", tmp_path / "b")
    assert 1 == status
    last = out[out.index("not safe ") :].splitlines()
    command = " ".join(["caffe-fuse fuse", *map(str, pair), f"-o {tmp_path / 'b'}"])
    assert [
        "not safe   1 BatchNorm layer remains: n",
        "verdict    NOT BN-free: 1 BatchNorm layer remains; no model file was written",
        f"next       give the deploy net, or use the stored statistics: {command} --use-global-stats",
        f"next       accept it as it is: {command} --allow-bn",
    ] == last
    assert ["a.caffemodel", "a.prototxt"] == files(tmp_path)
    assert 0 == run(*last[-1].split(": caffe-fuse ")[1].split(" "))[0]  # as it is typed
    assert 0 == run("fuse", *pair, "-o", tmp_path / "c", "--use-global-stats")[0]
    assert b"BatchNorm" not in (tmp_path / "c.prototxt").read_bytes()


def test_an_unsafe_model_is_written_only_by_force(run: Run, tmp_path: Path) -> None:
    folder = TRUTH / "half-weights-last-layer"
    pair = (folder / "net.prototxt", folder / "net.caffemodel")
    report = tmp_path / "r.json"
    status, out, _ = run("fuse", *pair, "-o", tmp_path / "a", "--report", report)
    assert 1 == status
    assert ["r.json"] == files(tmp_path)
    assert 1 == json.loads(report.read_text())["status"]
    verdict, step = out.splitlines()[-2:]
    assert "verdict    NOT safe in half precision; no model file was written" == verdict
    assert "next       no power of two helps: have the device keep these layers in float32: conv2" == step
    assert 1 == run("fuse", *pair, "-o", tmp_path / "a", "--force")[0]
    assert ["a.caffemodel", "a.prototxt", "r.json"] == files(tmp_path)
    assert 0 == run("fuse", *pair, "-o", tmp_path / "b", "--half-policy", "off")[0]


def test_the_report_names_files_by_their_sha256(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    import hashlib

    run("fuse", *model, "-o", tmp_path / "a", "--report", tmp_path / "r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    paths = [*report["inputs"], *report["outputs"]]
    assert 4 == len(paths)
    for entry in paths:
        assert hashlib.sha256(Path(entry["path"]).read_bytes()).hexdigest() == entry["sha256"]


def test_show_ends_quietly_when_its_reader_has_seen_enough(model: Tuple[Path, Path]) -> None:
    command = f'"{sys.executable}" -m caffe_fuse show {model[0]} {model[1]} | head -n 1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (0, "") == (done.returncode, done.stderr)


def test_hdf5_weights_may_come_through_a_pipe(tmp_path: Path) -> None:
    folder = TRUTH / "format-hdf5"
    content = (folder / "net.caffemodel.h5").read_bytes()
    command = [sys.executable, "-m", "caffe_fuse", "fuse", "-q", str(folder / "net.prototxt"), "/dev/stdin"]
    done = subprocess.run([*command, "-o", str(tmp_path / "out")], input=content, capture_output=True, check=False)
    assert (0, b"") == (done.returncode, done.stderr)
    assert (tmp_path / "out.caffemodel.h5").exists()


def test_help_needs_neither_numpy_nor_protobuf_nor_h5py() -> None:
    program = (
        "import sys\nfrom caffe_fuse.cli import process as cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'numpy', 'google.protobuf', 'h5py'} & set(sys.modules)))"
    )
    assert 0 == subprocess.run([sys.executable, "-c", program], capture_output=True).returncode


@pytest.mark.parametrize("command", ["fuse", "check", "show", "run", "upgrade", "verify"])
def test_options_may_stand_between_the_files(run: Run, model: Tuple[Path, Path], tmp_path: Path, command: str) -> None:
    options: Dict[str, List[object]] = {
        "show": ["--phase", "TEST"],
        "fuse": ["--dry-run"],
        "upgrade": ["-o", tmp_path / "a"],
    }
    option = options.get(command, ["-q"])
    pairs = model if command != "verify" else (*model, *model)
    whole = run(command, *pairs, *option)
    assert 0 <= whole[0] <= 1
    assert whole == run(command, pairs[0], *option, *pairs[1:])


# --- what cannot be used: status 2, a message, no file ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fuse NET NET --bogus", "unrecognized arguments: --bogus; see caffe-fuse fuse --help"),
        ("show NET NET NET", "unrecognized arguments: NET; see caffe-fuse show --help"),
        ("fuse NET", "the following arguments are required: WEIGHTS; see caffe-fuse fuse --help"),
        ("fuse NET NET --rescale x", "'x' is not known; choose from needed, always, never; see caffe-fuse fuse --help"),
        (
            "fuse NET NET --rescale nedeed",
            "'nedeed' is not known (did you mean needed?); choose from needed, always, never; "
            "see caffe-fuse fuse --help",
        ),
        ("run NET NET --seed x", "argument --seed: invalid int value: 'x'; see caffe-fuse run --help"),
        ("bogus NET", "error: bogus is no command; see caffe-fuse --help"),
        ("fues NET", "error: fues is no command (did you mean fuse?); see caffe-fuse --help"),
        ("--frob fuse NET", "error: --frob stands where a command is expected; see caffe-fuse --help"),
        ("run NET NET --taget=mnn", "--taget=mnn (did you mean --target?); see caffe-fuse run --help"),
    ],
)
def test_a_command_line_that_is_none_points_to_the_help_of_its_command(run: Run, arguments: str, message: str) -> None:
    status, out, err = run(*arguments.split())
    assert (2, "") == (status, out)
    assert err.startswith("caffe-fuse: error: ")
    assert err.endswith(f"{message}\n")


def fails(run: Run, folder: Path, *arguments: object) -> str:
    before = files(folder)
    status, out, err = run("fuse", *arguments, "-o", folder / "out")
    assert (2, "") == (status, out)
    assert err.startswith("caffe-fuse: error: ")
    assert before == files(folder)
    return err[len("caffe-fuse: error: ") :].replace(f"{folder}/", "")


def test_a_truncated_caffemodel(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    net, weights = model
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "truncated" in fails(run, tmp_path, net, weights)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\n\n<!DOCTYPE html><html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a git-LFS pointer"),
        (b"", "is empty"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "is compressed with gzip"),
    ],
    ids=["html", "git-lfs", "empty", "gzip"],
)
def test_weights_that_are_something_else(
    run: Run, model: Tuple[Path, Path], tmp_path: Path, content: bytes, expected: str
) -> None:
    net, weights = model
    weights.write_bytes(content)
    message = fails(run, tmp_path, net, weights)
    assert message.startswith("block/net.caffemodel: ")
    assert expected in message


def test_a_net_that_is_empty(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    model[0].write_bytes(b"")
    assert "block/net.prototxt: is empty; get the file itself\n" == fails(run, tmp_path, *model)


def test_files_that_are_not_there(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    assert fails(run, tmp_path, tmp_path / "no.prototxt", model[1]).startswith("no.prototxt: ")
    assert fails(run, tmp_path, model[0], tmp_path / "no.caffemodel").startswith("no.caffemodel: ")


def test_a_folder_in_the_place_of_a_file(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    assert "is a directory" in fails(run, tmp_path, model[0], model[1].parent)
    assert "is a directory" in fails(run, tmp_path, model[0].parent, model[1])


def test_weights_of_another_net(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    other = TRUTH / "net-unet" / "net.caffemodel"
    assert "layers with weights matched by name" in fails(run, tmp_path, model[0], other)


def test_a_broken_prototxt_shows_the_place(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    model[0].write_text('name: "x"\nlayer { name: }\n')
    message = fails(run, tmp_path, *model)
    assert message.startswith("block/net.prototxt:2:15: ")
    assert "  layer { name: }\n                ^" in message


def test_a_solver_is_not_a_net(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    model[0].write_text('net: "train_val.prototxt"\nbase_lr: 0.1\n')
    assert "is a solver, not a net" in fails(run, tmp_path, *model)


def test_a_mean_image_is_not_a_model(run: Run, model: Tuple[Path, Path], tmp_path: Path) -> None:
    model[1].write_bytes(b"\x08\x01\x10\x03\x18\x02\x20\x02\x2a\x30" + bytes(48))
    assert "mean.binaryproto" in fails(run, tmp_path, *model)


@pytest.mark.parametrize("link", [None, "symbolic", "hard"])
def test_an_output_that_is_an_input(run: Run, model: Tuple[Path, Path], link: str) -> None:
    net, weights = model
    before = net.read_bytes(), weights.read_bytes()
    prefix = net.with_suffix("")
    if link is not None:
        prefix = net.with_name("out")
        place = net.with_name("out.caffemodel")
        place.symlink_to(weights) if link == "symbolic" else os.link(weights, place)
    listed = files(net.parent)
    status, _, err = run("fuse", net, weights, "-o", prefix)
    assert 2 == status
    assert "this output is the input" in err
    assert before == (net.read_bytes(), weights.read_bytes())
    assert listed == files(net.parent)


def test_an_output_without_a_name(run: Run, model: Tuple[Path, Path]) -> None:
    status, _, err = run("fuse", *model, "-o", "")
    assert 2 == status
    assert "has no file name" in err


OUTPUTS = ["fuse -o", "fuse --dry-run --report", "fuse --html", "check --report", "verify --report", "calibrate -o"]
WORK = ["folding.fuse.fuse", "folding.check.check", "judging.compare.verify", "execution.run.run"]
WORK += ["ranges.calibrate.calibrate"]


@pytest.mark.parametrize("command", [*OUTPUTS, "run -o", "upgrade -o"])
@pytest.mark.parametrize("output", ["no/a", "no/"])
def test_an_output_folder_that_does_not_exist_is_told_before_the_work(
    run: Run, model: Tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for work in WORK:
        monkeypatch.setattr(f"caffe_fuse.{work}", None)
    name, *options = command.split()
    if output.endswith("/") and command in ("fuse -o", "upgrade -o"):
        output = f"no/{output}"  # the last folder would be made
    samples = ["--input", tmp_path] if name == "calibrate" else []
    status, _, err = run(name, *model, *(model if name == "verify" else ()), *samples, *options, output)
    assert 2 == status
    assert f"error: {output}" in err
    assert f"the folder {tmp_path / os.path.dirname(output)} does not exist; create it, or write to another one" in err


def test_inputs_without_a_run_are_told(run: Run, model: Tuple[Path, Path]) -> None:
    for option in ("--input", "--image"):
        assert (
            "the inputs were not read: only --verify needs them" in run("fuse", *model, "--dry-run", option, "x.npz")[2]
        )


def test_a_dry_run_needs_no_folder_for_the_model(run: Run, model: Tuple[Path, Path]) -> None:
    assert 0 == run("fuse", *model, "--dry-run", "-o", "no/a")[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--keep", "nothing"],
        ["--strict=everything"],
        ["--strict=flush", "--half-policy=off"],
        ["--half-policy=ieee", "--target=mnn"],
        ["--half-policy", "quarter"],
        ["--input-shape", "data"],
    ],
    ids=" ".join,
)
def test_options_that_do_not_fit(run: Run, model: Tuple[Path, Path], tmp_path: Path, arguments: List[str]) -> None:
    fails(run, tmp_path, *model, *arguments)


OTHER_INPUTS = {
    "ranges of fuse": "fuse NET -o OUT/a --ranges RANGES --report RANGES",
    "ranges of a dry run": "fuse NET --dry-run --ranges RANGES --report RANGES",
    "ranges of check": "check NET --ranges RANGES --report RANGES",
    "samples of fuse": "fuse NET -o OUT/a --verify --input SAMPLES --html SAMPLES",
    "samples of run": "run NET --input SAMPLES -o SAMPLES",
    "samples of calibrate": "calibrate NET --input SAMPLES -o SAMPLES",
    "samples of verify": "verify NET NET --input SAMPLES --report SAMPLES",
    "a report of verify": "verify NET NET --rescaled REPORT --report REPORT",
}


@pytest.mark.parametrize("name", OTHER_INPUTS)
def test_no_other_input_is_written_to(run: Run, model: Tuple[Path, Path], tmp_path: Path, name: str) -> None:
    samples, ranges, report = (tmp_path / each for each in ("samples.npz", "ranges.json", "report.json"))
    inputs: Dict[str, Any] = seeded(caffe_fuse.load(*model).net, 1)
    np.savez(samples, **inputs)
    assert 0 == run("calibrate", *model, "--input", samples, "-o", ranges)[0]
    assert 0 == run("fuse", *model, "--dry-run", "--report", report)[0]
    places = {"NET": model, "SAMPLES": [samples], "RANGES": [ranges], "REPORT": [report], "OUT/a": [tmp_path / "a"]}
    before = {path: path.read_bytes() for path in (samples, ranges, report)}
    status, _, err = run(*(path for word in OTHER_INPUTS[name].split() for path in places.get(word, [word])))
    assert 2 == status
    assert "this output is the input" in err
    assert before == {path: path.read_bytes() for path in before}
    assert ["block", "ranges.json", "report.json", "samples.npz"] == files(tmp_path)


# --- what the system refuses: status 3, no file is left ---


def test_a_folder_that_cannot_be_written(
    run: Run, model: Tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may write to every folder, so the error of the system is simulated."""
    real = os.open

    def refuse(path: str, flags: int, *rest: int) -> int:
        if flags & (os.O_CREAT | os.O_TMPFILE) and flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, flags, *rest)

    monkeypatch.setattr("caffe_fuse.files.outputs.os.open", refuse)
    status, _, err = run("fuse", *model, "-o", tmp_path / "a")
    assert 3 == status
    assert "Permission denied" in err


def test_a_memory_that_is_too_small(
    run: Run, model: Tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise MemoryError("Unable to allocate 3.64 TiB")

    monkeypatch.setattr("caffe_fuse.judging.compare.seeded", refuse)
    status, _, err = run("fuse", *model, "--verify", "-o", tmp_path / "a")
    assert (3, "caffe-fuse: error: the memory is too small: Unable to allocate 3.64 TiB\n") == (status, err)
    assert ["block"] == files(tmp_path)


def run_with_room(room: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs with a limit on the size of files, which behaves as a full disk: a write ends short, then fails."""
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        "from caffe_fuse.cli import process as cli\n"
        "cli.console()"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_full_disk_leaves_nothing_behind(model: Tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "a.prototxt").write_text("old")
    done = run_with_room(2000, "fuse", *model, "-o", tmp_path / "a")
    assert 3 == done.returncode
    assert "cannot write" in done.stderr
    assert ["a.prototxt", "block"] == files(tmp_path)
    assert "old" == (tmp_path / "a.prototxt").read_text()


def test_a_disk_that_is_full_when_the_report_is_written_leaves_no_model_behind(tmp_path: Path) -> None:
    pair = [TRUTH / "fold-bias-layer" / name for name in ("net.prototxt", "net.caffemodel")]
    command = ("fuse", *pair, "-o", tmp_path / "a", "--report", tmp_path / "r.json")
    assert 0 == run_with_room(100_000, *command).returncode
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    room = max(sizes.pop("a.caffemodel"), sizes.pop("a.prototxt"))
    assert room < sizes["r.json"]
    for path in tmp_path.iterdir():
        path.write_text("old")
    done = run_with_room(room, *command)
    assert 3 == done.returncode
    assert "r.json: cannot write" in done.stderr
    assert {"old"} == {path.read_text() for path in tmp_path.iterdir()}
    assert ["a.caffemodel", "a.prototxt", "r.json"] == files(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(model: Tuple[Path, Path], tmp_path: Path, number: int) -> None:
    program = (
        "import signal, sys, time\nfrom caffe_fuse.cli import process as cli\nfrom caffe_fuse.folding import save\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a job in the background starts without it
        "def wait(*_):\n    print('writing', flush=True)\n    time.sleep(60)\n"
        "save.prove_written = wait\n"
        "cli.console()"
    )
    command = [sys.executable, "-c", program, "fuse", *map(str, model), "-o", str(tmp_path / "a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "writing\n" == process.stdout.readline()
        assert ["block"] == files(tmp_path)
        time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert 130 == process.returncode
    assert "interrupted" in err
    assert ["block"] == files(tmp_path)


def test_an_error_of_ours_names_the_file_with_its_traceback(
    run: Run, model: Tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("caffe_fuse.folding.save.prove_written", fail)
    status, _, err = run("fuse", *model, "-o", tmp_path / "a")
    assert 3 == status
    trace = Path(err.strip().rsplit(" ", 1)[1])
    assert "a defect" in trace.read_text()
    trace.unlink()
    assert ["block"] == files(tmp_path)


@pytest.mark.parametrize(
    ("name", "environment", "code"),
    [
        ("keep-preact-resnet", {"TERM": "xterm"}, "\033[32m"),
        ("half-weights-last-layer", {"TERM": "xterm"}, "\033[31m"),
        ("keep-preact-resnet", {"TERM": "xterm", "NO_COLOR": "1"}, ""),
        ("keep-preact-resnet", {"TERM": "dumb"}, ""),
    ],
)
def test_only_the_verdict_has_colour_and_only_on_a_terminal(
    name: str, environment: Dict[str, str], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    command = ["fuse", str(TRUTH / name / "net.prototxt"), str(TRUTH / name / "net.caffemodel"), "--dry-run"]
    monkeypatch.delenv("NO_COLOR", raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    shown = {kind: kind() for kind in (Terminal, io.StringIO)}
    for stream in shown.values():
        monkeypatch.setattr(sys, "stdout", stream)
        cli.main(command)
    plain, coloured = shown[io.StringIO].getvalue(), shown[Terminal].getvalue()
    assert "\033" not in plain
    assert (1 if code else 0) == coloured.count(code or "\033[3")
    assert plain == re.sub(r"\033\[\d+m", "", coloured)
    assert f"\nverdict    {code}" in coloured


@pytest.mark.parametrize(("name", "known"), [("layer-conv-stride-dilation", False), ("net-resnet-bottleneck", True)])
@pytest.mark.parametrize("command", [["check"], ["fuse", "--dry-run"]], ids=["check", "fuse"])
def test_sums_that_have_no_bound_are_a_warning(run: Run, name: str, known: bool, command: List[str]) -> None:
    pair = [TRUTH / name / f"net.{ending}" for ending in ("prototxt", "caffemodel")]
    _, out, err = run(*command, *pair, "--half-sums")
    assert known == ("half sums" in out)
    assert known != ("--half-sums found no bound: no range of a bottom" in err)
    assert "" == run(*command, *pair)[2]
