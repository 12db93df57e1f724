"""Text from the files is data on a terminal: nothing in it ends a line, moves the cursor or is invisible."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import nets
import numpy as np
import pytest

from caffe_fuse.cli import process as cli
from caffe_fuse.wording import shown

CONTROLS = [chr(code) for code in (*range(1, 32), *range(127, 160))]
MARKS = [chr(code) for code in (0x61C, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x206A), 0xFEFF)]
HOSTILE = "".join(["\rverdict    safe\x1b[32m", *CONTROLS, *MARKS])

# Y is in every name, type and path, and in each line that is not a net.
NET = """
name: "netY"
input: "xY"
input_shape { dim: 2 dim: 4 dim: 5 dim: 6 }
layer { name: "cY" type: "Convolution" bottom: "xY" top: "cY" convolution_param { num_output: 6 kernel_size: 3 } }
layer { name: "bY" type: "BatchNorm" bottom: "cY" top: "bY" }
layer { name: "sY" type: "Scale" bottom: "bY" top: "sY" scale_param { bias_term: true } }
layer { name: "rY" type: "ReLU" bottom: "sY" top: "rY" }
layer { name: "nY" type: "BatchNorm" bottom: "rY" top: "nY" }
layer { name: "kY" type: "MysteryY" bottom: "nY" top: "kY" }
layer { name: "mY" type: "BatchNorm" bottom: "kY" top: "mY" batch_norm_param { use_global_stats: false } }
layer { name: "dY" type: "Dropout" bottom: "bY" top: "dY" include { phase: TRAIN stage: "sY" } }
"""
OLD = """
input: "xY" input_dim: 2 input_dim: 4 input_dim: 5 input_dim: 6
layers { name: "rY" type: RELU bottom: "xY" top: "rY" }
"""
COMMANDS = (
    "fuse NET WEIGHTS -o OUT/aY --force",
    "fuse NET WEIGHTS -o OUT/a -v --allow-bn --verify --report OUT/r.json --keep sY --keep-blob cY",
    "fuse NET WEIGHTS -o OUT/a --keep noneY",
    "fuse NET WEIGHTS -o OUT/missingY/a",
    "fuse NET WEIGHTS -o OUT/a --half-policy noneY",
    "fuse NET WEIGHTS --frobnicateY",
    "fuse NET WEIGHTS --level Y",
    "fuse NET BROKEN",
    "check NET WEIGHTS -v",
    "check NET WEIGHTS --ranges NET",
    "show NET",
    "show NET WEIGHTS --input-shape xY=1,4,5,6",
    "show NET --input-shape noneY=1,Y",
    "show NET --bn-dialect noneY",
    "show BROKEN",
    "show UNKNOWN",
    "show OUT/missingY",
    "run NET WEIGHTS --blobs all",
    "run NET WEIGHTS --blobs noneY -o OUT/a.npz",
    "verify NET WEIGHTS NET WEIGHTS",
    "calibrate NET WEIGHTS --input SAMPLES -o OUT/rangesY.json",
    "calibrate NET WEIGHTS --input NET -o OUT/ranges.json",
    "upgrade OLD -o OUT/uY",
    "upgrade NET WEIGHTS -o OUT/uY",
    "Y",
)


def written(folder: Path, mark: str) -> Dict[str, Path]:
    """Writes the files of a model in which `mark` is part of every name, also of the file names."""
    bare = "".join(letter for letter in mark if letter in MARKS)  # more would be taken for a binary file
    quoted = "".join(f"\\{byte:03o}" for byte in mark.encode())
    net = NET.replace("Y", quoted).encode()
    folder.mkdir()
    files = {
        "NET": net,
        "WEIGHTS": nets.caffemodel(net, nets.numbers(net)),
        "BROKEN": f'layer {{ name: "c{bare}\n'.encode(),
        "UNKNOWN": f'layer {{ name: "c{quoted}" type: "ReLU" frobnicate: "{quoted}" [a/b.c{bare}]: 1 }} 1'.encode(),
        "OLD": OLD.replace("Y", quoted).encode(),
    }
    for name, content in files.items():
        (folder / f"{name}{mark}").write_bytes(content)
    samples = folder / f"SAMPLES{mark}.npz"
    np.savez(samples, nets.spread((2, 4, 5, 6), 1))
    (folder / "out").mkdir()
    return {**{name: folder / f"{name}{mark}" for name in files}, "SAMPLES": samples, "OUT": folder / "out"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> List[Tuple[str, Dict[str, Path]]]:
    folder = tmp_path_factory.mktemp("models")
    return [(mark, written(folder / name, mark)) for name, mark in (("plain", ""), ("hostile", HOSTILE))]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_what_a_terminal_obeys_nor_a_line_more(
    command: str, both: List[Tuple[str, Dict[str, Path]]], capsys: pytest.CaptureFixture[str]
) -> None:
    found: List[Any] = []
    for mark, files in both:
        heads = [word.partition("/") for word in command.split()]
        words = [f"{files.get(head, head)}{slash}{rest}" for head, slash, rest in heads]
        status = cli.main([word.replace("Y", mark) for word in words])
        captured = capsys.readouterr()
        found.append((status, *(text.split("\n") for text in captured)))
    (plain, *expected), (status, *streams) = found
    assert plain == status
    for lines, ordinary in zip(streams, expected):
        assert [] == [line for line in lines if not line.isprintable()]
        assert len(ordinary) == len(lines)
        assert sum(line.startswith("verdict") for line in ordinary) == sum(line.startswith("verdict") for line in lines)


@pytest.mark.parametrize("character", [*CONTROLS, *MARKS], ids="{!r}".format)
def test_each_of_them_is_escaped(character: str) -> None:
    assert f"a{character.encode('unicode_escape').decode()}b" == shown(f"a{character}b")


@pytest.mark.parametrize("text", ["conv1/7x7_s2", "层", "a b", "größe", "\\x1b", "$\\frac{$"])
def test_what_prints_as_itself_is_shown_as_it_is(text: str) -> None:
    assert text == shown(text)


def test_the_page_draws_a_name_with_dollars_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jinja2")
    net = nets.text(nets.convolution("$\\\\frac{$"), nets.batch_norm(), nets.scale())
    (tmp_path / "n.prototxt").write_bytes(net)
    (tmp_path / "w.caffemodel").write_bytes(nets.caffemodel(net, nets.numbers(net)))
    page = tmp_path / "p.html"
    command = ["fuse", str(tmp_path / "n.prototxt"), str(tmp_path / "w.caffemodel"), "-o", str(tmp_path / "a")]
    assert 0 == cli.main([*command, "--html", str(page)])
    assert "$\\frac{$" in page.read_text()


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (
            ["fuse", "-o", "OUT/a", "--allow-bn"],
            0,
            "warning: the report cannot be printed: No space left on device; the files are complete",
        ),
        (["show"], 3, "error: the system refused: [Errno 28] No space left on device"),
    ],
    ids=["the files are there", "there is nothing else"],
)
def test_a_report_that_cannot_be_printed(options: List[str], status: int, message: str, tmp_path: Path) -> None:
    """/dev/full refuses what is written to it."""
    if not Path("/dev/full").exists():
        pytest.skip("the system has no /dev/full")
    files = written(tmp_path / "m", "")
    command = [word.replace("OUT", str(tmp_path)) for word in options]
    command = [sys.executable, "-m", "caffe_fuse", command[0], str(files["NET"]), str(files["WEIGHTS"]), *command[1:]]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (status, f"caffe-fuse: {message}") == (done.returncode, done.stderr.splitlines()[-1])
    assert (["a.caffemodel", "a.prototxt"] if status == 0 else []) == sorted(path.name for path in tmp_path.glob("a.*"))
    with open("/dev/full", "w") as full:
        assert status == subprocess.run(command, stdout=full, stderr=full).returncode
