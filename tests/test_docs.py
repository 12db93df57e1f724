"""README and docs/ are true and complete: their commands run, and every option and field is documented."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Dict, List, Set

import numpy as np
import pytest
import truth
from conftest import PROJECT

import caffe_fuse
from caffe_fuse.cli import process as cli
from caffe_fuse.folding.diagnosis import STATES, Channel
from caffe_fuse.half.targets import POLICIES, TARGETS
from caffe_fuse.layers.batch_norm import DIALECTS
from caffe_fuse.targets import TARGETS as ROWS

README = (PROJECT / "README.md").read_text(encoding="utf-8")
COMMAND = (PROJECT / "docs" / "command.md").read_text(encoding="utf-8")
DOCUMENTS = [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").glob("*.md"))]


@pytest.fixture
def resnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a current folder with the files that the README names."""
    shutil.copy(PROJECT / "sample_nets" / "resnet20_cifar.prototxt", tmp_path / "deploy.prototxt")
    shutil.copy(PROJECT / "sample_nets" / "resnet20_cifar.caffemodel", tmp_path / "resnet50.caffemodel")
    model = caffe_fuse.load(tmp_path / "deploy.prototxt", tmp_path / "resnet50.caffemodel")
    caffe_fuse.fuse(model, half_policy="off").save(tmp_path / "other")
    np.savez(tmp_path / "pictures.npz", data=np.random.RandomState(7).rand(2, 3, 32, 32).astype(np.float32) * 255)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def readme_commands() -> List[List[str]]:
    """Returns each `caffe-fuse ...` line of the README twice: without and with the words in brackets."""
    found: List[List[str]] = []
    for line in re.findall(r"^ {4}caffe-fuse (.*)$", README, re.MULTILINE):
        words = re.split(r"\s{3,}", line)[0]
        found += [[*re.sub(r"\[.*?\]", "", words).split()], words.replace("[", "").replace("]", "").split()]
    return found


@pytest.mark.parametrize("words", readme_commands(), ids=" ".join)
def test_every_command_of_the_readme_runs(resnet: Path, words: List[str], capsys: pytest.CaptureFixture[str]) -> None:
    # The sample net overflows before its fold: that is what `check` is for.
    assert (1 if words[0] == "check" else 0) == cli.main(words)
    assert "" == capsys.readouterr().err


def test_the_readme_has_its_commands() -> None:
    assert {*COMMANDS, "targets"} == {words[0] for words in readme_commands()}


def test_the_python_of_the_readme_runs(resnet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(program, "README.md", "exec"), {})
    assert "layers absorbed the layers that followed them" in capsys.readouterr().out
    assert ["resnet50_fused.caffemodel", "resnet50_fused.prototxt"] == sorted(path.name for path in resnet.glob("*_f*"))


def names_in_file_map() -> List[str]:
    rows = re.findall(r"^\| (`.*?) \|", README.split("## Develop")[1], re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(.*?)`", row)]


@pytest.mark.parametrize("name", names_in_file_map())
def test_the_file_map_names_what_exists(name: str) -> None:
    assert (PROJECT / name).exists() or (PROJECT / "caffe_fuse" / name).exists()


def test_the_file_map_names_the_parts_of_the_package() -> None:
    named = {Path(name).name for name in names_in_file_map()}
    parts = {
        path.name for path in (PROJECT / "caffe_fuse").iterdir() if path.is_dir() and (path / "__init__.py").exists()
    }
    assert {"layers", "passes", "weights", "emit", "report"} <= parts
    assert parts <= named


def test_the_targets_of_make_that_the_readme_names_exist() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^ {4}make (\w+)", README, re.MULTILINE))
    assert {"demo", "test"} <= targets
    assert targets <= set(re.findall(r"^(\w+):", makefile, re.MULTILINE))


COMMANDS = ("fuse", "check", "show", "run", "verify", "calibrate", "upgrade")


def options_of(command: str, capsys: pytest.CaptureFixture[str]) -> Set[str]:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    return set(re.findall(r"(?<![\w-])-{1,2}[a-z][a-z-]*", capsys.readouterr().out)) - {"-h", "--help"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = options_of(command, capsys)
    assert {"--phase", "--quiet"} & options
    assert [] == [option for option in sorted(options) if not re.search(rf"`{option}[ =`]", COMMAND)]


def test_every_dialect_of_batch_norm_is_documented() -> None:
    section = COMMAND.split("## Dialects of BatchNorm")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE)
    known = [(dialect.name, dialect.types[0] if dialect.types else dialect.layer) for dialect in DIALECTS]
    assert sorted(known) == sorted(rows)


def test_every_half_policy_is_documented_as_it_is() -> None:
    table = COMMAND.split("## Half policies")[1].split("\n\n")[1]
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) \| (.*?) \| (.*?) \| ?(.*?) ?\|$", table, re.MULTILINE)
    rounds = {"to the nearest": "nearest", "towards 0": "truncate"}
    large, small = {"becomes infinite": "inf", "becomes 65504": "saturate"}, {"stays": "kept", "becomes 0": "flushed"}
    found = {name: (rounds[one], large[two], small[three]) for name, one, two, three, _ in rows}
    policies = {name: policy for name, policy in POLICIES.items() if policy.checked}
    assert {name: (each.rounding, each.overflow, each.subnormals) for name, each in policies.items()} == found
    assert {name: target.source for name, target in TARGETS.items()} == {
        name: source for name, *_, source in rows if name in TARGETS
    }


def test_every_demand_of_a_target_is_documented_with_what_becomes_of_it() -> None:
    demands = {demand.name: demand for target in ROWS.values() for demand in target.demands}
    rows = dict(
        re.findall(
            r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \|$", COMMAND.split("\n## Targets")[1].split("\n## ")[0], re.MULTILINE
        )
    )
    assert set(demands) == set(rows)
    assert {name for name, demand in demands.items() if not demand.is_met} == {
        name for name, words in rows.items() if words in ("names them", "names it")
    }


def test_every_documented_option_exists(capsys: pytest.CaptureFixture[str]) -> None:
    every = {option for command in COMMANDS for option in options_of(command, capsys)}
    for document in (README, COMMAND):
        named = set(re.findall(r"`(--[a-z-]+)", document)) - {"--help", "--version"}
        assert "--keep" in named
        assert named <= every


def documented_fields(heading: str) -> Set[str]:
    rows = re.findall(r"^\|.*", COMMAND.split(heading)[1].split("\n\n|", 1)[1].split("\n\n")[0], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


def json_report(folder: Path) -> Dict[str, object]:
    net = truth.load("keep-preact-resnet")
    report = folder / "r.json"
    assert 0 == cli.main(
        ["fuse", str(net.prototxt_path), str(net.weights_path), "-q", "--dry-run", "--report", str(report)]
    )
    found: Dict[str, object] = json.loads(report.read_text())
    return found


def test_the_fields_of_the_json_report_are_documented(tmp_path: Path) -> None:
    report = json_report(tmp_path)
    half = report["half"]
    assert isinstance(half, dict)
    assert set(report) == documented_fields("## The JSON report")
    assert set(half["after"][0]) == documented_fields("A row of `half`:")
    activations = report["predicted_activations"]
    assert isinstance(activations, dict)
    assert set(activations["after"][0]) == documented_fields("A row of `predicted_activations`:")


def test_the_fields_and_states_of_a_channel_are_documented() -> None:
    assert set(Channel._fields) == documented_fields("One of `channels`:")
    table = COMMAND.split("| state | meaning |")[1].split("\n\n")[0]
    assert list(STATES) == re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_every_exit_status_of_an_error_is_documented() -> None:
    statuses = set(re.findall(r"^\| (\d+) \|", COMMAND, re.MULTILINE))
    errors = [getattr(caffe_fuse, name) for name in caffe_fuse.__all__]
    raised = {str(error.exit_status) for error in errors if hasattr(error, "exit_status")}
    assert raised | {"0", str(cli.INTERRUPTED)} == statuses == set(re.findall(r"^\| (\d+) \|", README, re.MULTILINE))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_link_to_a_file_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert [] == [link for link in links if not (path.parent / link).exists()]


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert caffe_fuse.__version__ == versions[0]
