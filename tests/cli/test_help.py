"""What the command says of itself: help with examples and names, versions, and which word was probably meant."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import List

import pytest
import truth
from conftest import PROJECT, Run

import caffe_fuse
from caffe_fuse.cli import process as cli
from caffe_fuse.cli import versions
from caffe_fuse.cli.parsers import COMMANDS, parser_of
from caffe_fuse.half.targets import POLICIES
from caffe_fuse.layers.batch_norm import DIALECTS
from caffe_fuse.targets import TARGETS

PAIR = [str(PROJECT / "sample_nets" / f"resnet20_cifar.{suffix}") for suffix in ("prototxt", "caffemodel")]


def help_of(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert 0 == end.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_has_examples_groups_and_the_exit_status(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = help_of(command, monkeypatch, capsys)
    assert f"\nexamples:\n  caffe-fuse {command}" in found
    for status in (0, 1, 2, 3, 130):
        assert re.search(rf"^  {status} +\w", found.split("exit status:")[1], re.MULTILINE)
    groups = set(re.findall(r"^([a-z][\w ]*):$", found, re.MULTILINE))
    options = {action.option_strings[-1] for action in parser_of(command)._actions if action.option_strings}
    assert {"examples", "exit status"} < groups
    assert len(options) < 3 or len(groups) > 4
    assert 80 >= max(len(line) for line in found.splitlines() if not line.startswith(("usage", "  caffe-fuse")))


@pytest.mark.parametrize("command", ["fuse", "check", "run", "verify"])
def test_the_help_names_every_target_policy_and_dialect(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = help_of(command, monkeypatch, capsys)
    for title, names in (
        ("targets", set(TARGETS)),
        ("half policies", set(POLICIES)),
        ("BatchNorm dialects", {dialect.name for dialect in DIALECTS}),
    ):
        section = found.split(f"\n{title}:\n")[1].split("\n\n")[0]
        assert names == set(re.split(r"[,\s]+", section.strip()))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_are_command_lines(command: str) -> None:
    for words, _ in COMMANDS[command].examples:
        options = parser_of(command).understood(words.split(" | ")[0].split())
        assert command == options.command


def test_alone_it_shows_its_help(run: Run) -> None:
    status, out, err = run()
    assert (2, "") == (status, err)
    assert [] == [name for name in COMMANDS if f"\n  {name} " not in out]
    assert "caffe-fuse show net.prototxt" in out


def test_the_help_of_all_loads_no_parser_of_a_command() -> None:
    program = (
        "import sys\nfrom caffe_fuse.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "from caffe_fuse.cli.parsers import parser_of\nassert parser_of.cache_info().currsize == 0\n"
        "assert not {'numpy', 'google.protobuf', 'h5py', 'tqdm', 'difflib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version(run: Run, option: str) -> None:
    assert (0, f"caffe-fuse {caffe_fuse.__version__}\n", "") == run(option)


def test_the_version_with_v_names_what_it_runs_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "jinja2":
            raise metadata.PackageNotFoundError(package)
        return real(package)

    real = metadata.version
    monkeypatch.setattr(versions.metadata, "version", version)
    status, out, _ = run("--version", "-v")
    rows = {line.split()[0]: line.split(None, 1)[1] for line in out.splitlines()[1:]}
    assert 0 == status
    for package in ("numpy", "protobuf", "h5py", "tqdm"):
        assert rows[package].startswith(real(package))
    assert rows["Python"].startswith(sys.version.split()[0])
    assert ", HDF5 " in rows["h5py"]
    assert rows["BLAS"]
    assert "missing: pip install 'caffe-fuse[report]' gives the report as a page (--html)" == rows["[report]"]
    assert {"[image]", "[report]", "[dask]"} <= set(rows)


def test_every_extra_for_users_is_in_the_versions() -> None:
    extras = set(metadata.metadata("caffe-fuse").get_all("Provides-Extra") or ())
    assert set(versions._GIVES) == extras - {"test", "train", "docs"}
    assert {extra: bool(versions._packages(extra)) for extra in versions._GIVES} == dict.fromkeys(versions._GIVES, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--blobs", "probabilites"], "the net has no blob probabilites (did you mean probabilities?)"),
        (["fuse", "--dry-run", "--keep", "stage1_block1_con1"], "layer of the net (did you mean stage1_block1_conv1?)"),
        (["fuse", "--dry-run", "--keep-blob", "pol"], "blob of the net (did you mean pool?)"),
        (["fuse", "--dry-run", "--strict=refusd"], "strict refusd is not known (did you mean refused?)"),
        (["check", "--target", "tensort"], "target tensort is not known (did you mean tensorrt?)"),
        (["check", "--half-policy", "flsh"], "half policy flsh is not known (did you mean flush?)"),
        (["check", "--bn-dialect", "bvcl"], "BatchNorm dialect bvcl (did you mean bvlc?)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_misspelt_name_is_told_with_the_one_that_was_meant(run: Run, words: List[str], message: str) -> None:
    status, out, err = run(words[0], *PAIR, *words[1:])
    assert (2, "") == (status, out)
    assert message in err


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        (["--target", "TensorRT"], ["--target", "tensorrt"]),
        (["--half-policy", "IEEE"], ["--half-policy", "ieee"]),
        (["--phase", "test", "--bn-dialect", "BVLC"], ["--bn-dialect", "bvlc"]),
        (["--rescale", "Never"], ["--rescale", "never"]),
    ],
    ids=lambda words: words[0],
)
def test_names_are_known_in_any_case(run: Run, tmp_path: Path, typed: List[str], known: List[str]) -> None:
    reports = []
    for name, options in (("a", typed), ("b", known)):
        status, _, err = run("fuse", *PAIR, "--dry-run", "-q", "--report", tmp_path / name, *options)
        assert (0, "") == (status, err)
        reports.append((tmp_path / name).read_text())
    assert reports[0] == reports[1]


def test_the_next_command_names_the_device_once(run: Run) -> None:
    net = truth.load("half-weights-one-channel")
    pair = [str(net.prototxt_path), str(net.weights_path)]
    for options in (["--half-policy", "ncnn"], ["--target=ncnn"], ["--half-policy", "saturate"]):
        _, out, _ = run("check", *PAIR, *options)
        command = out.splitlines()[-1].split(": caffe-fuse ")[1]
        assert 1 == command.count("--half-policy") + command.count("--target")
    assert 0 == run("check", *pair, "--half-policy", "off", "-q")[0]
