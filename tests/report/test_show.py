"""`show` on a terminal: what repeats is printed once and every line fits; elsewhere nothing is cut."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import List, Sequence

import nets
import pytest
from hypothesis import given
from hypothesis import strategies as st

import caffe_fuse
from caffe_fuse.report.repeats import Block, blocks
from caffe_fuse.report.show import plan_report

LONG = "stage3_block0_projection_shortcut_of_branch"


def block(number: int, bottom: str, settings: str = "") -> List[str]:
    """Returns the layers of a block of a ResNet; their names are long."""
    name = f"{LONG}{number}"
    return [
        nets.convolution(name, bottom, name, settings=f"pad: 1 {settings}"),
        nets.batch_norm(f"{name}_bn", name, f"{name}_bn"),
        nets.layer(f"{name}_relu", "ReLU", f"{name}_bn", f"{name}_bn"),
        nets.layer(f"sum{number}", "Eltwise", f"{name}_bn {bottom}", f"sum{number}"),
    ]


def resnet(count: int) -> bytes:
    tops = ["x", *(f"sum{number}" for number in range(count))]
    return nets.text(*(line for number in range(count) for line in block(number, tops[number])), shape=(1, 6, 5, 6))


def shown(count: int, width: int, verbose: bool = False) -> List[str]:
    return plan_report(nets.model(resnet(count), None), width=width, verbose=verbose)


def test_a_block_that_repeats_is_printed_once() -> None:
    lines = shown(7, 120)
    assert ["layer", "type", "top", "weights", "in", "a", "fold"] == lines[0].split()
    (place,) = (place for place, line in enumerate(lines) if "more, up to sum6" in line)
    assert re.fullmatch(r" {4}these 3 layers \d times more, up to sum6", lines[place])
    assert place < 9
    assert lines[place + 1].startswith("cost ")
    assert "absorbs BatchNorm" in lines[1]
    assert not any(f"{LONG}3" in line for line in lines)


def test_blocks_whose_kernels_differ_are_not_the_same() -> None:
    layers = [*block(0, "x"), *block(1, "sum0"), *block(2, "sum1", "dilation: 1 kernel_size: 1")]
    net = nets.text(*layers[:-1], shape=(1, 6, 5, 6)).replace(b"kernel_size: 3 pad: 1 dilation: 1 ", b"")
    lines = plan_report(nets.model(net, None), width=120)
    assert any(f"{LONG}2 " in line for line in lines)


@pytest.mark.parametrize("verbose", [False, True], ids=["grouped", "every layer"])
@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_every_line_fits_the_terminal(width: int, verbose: bool) -> None:
    lines = shown(4, width, verbose)
    assert width >= max(map(len, lines))
    assert lines[-1].endswith("BatchNorm left") or width < 100


def test_at_eighty_columns_a_long_name_loses_its_middle_only_where_it_must() -> None:
    narrow, wide = shown(1, 80)[1], shown(1, 200)[1]
    assert re.match(r"stage3_bl\w*\.\.\.\w*branch0 +Convolution ", narrow)
    assert wide.startswith(f"{LONG}0 ")


def test_with_verbose_each_layer_has_its_names_whole() -> None:
    text = " ".join(" ".join(shown(3, 100, verbose=True)).split())
    for number in range(3):
        assert f"{LONG}{number}_bn BatchNorm {LONG}{number} -> {LONG}{number}_bn" in text


def test_bottoms_are_named_where_they_are_not_the_line_above() -> None:
    net = nets.text(
        nets.convolution("a", "x", "a"),
        nets.convolution("b", "x", "b"),
        nets.layer("r", "ReLU", "b", "b"),
        nets.layer("s", "Eltwise", "a b", "s"),
    )
    lines = {line.split()[0]: line for line in plan_report(nets.model(net, None), width=100)}
    assert "from" not in lines["a"]
    assert lines["b"].endswith("from x")
    assert "from" not in lines["r"]
    assert lines["s"].endswith("from a, b")


def test_the_summary_is_the_last_line() -> None:
    plan = plan_report(nets.model(resnet(2), None), target=["target     t: no"])
    assert "summary    8 layers: 2 fold, 0 chains to become a Scale, 0 stay; 6 layers and no BatchNorm left" == plan[-1]
    assert "target     t: no" == plan[-2]


def in_terminal(columns: int, words: Sequence[str]) -> List[str]:
    """Returns what the command prints to a terminal of this width."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "dumb"}
    command = [sys.executable, "-m", "caffe_fuse", *words]
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        found = b""
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            found += piece
    os.close(ours)
    assert 0 == process.returncode
    return found.decode().splitlines()


def test_a_terminal_gets_the_grouped_form_and_a_pipe_every_layer(tmp_path: Path) -> None:
    (tmp_path / "n.prototxt").write_bytes(resnet(9))
    words = ["show", str(tmp_path / "n.prototxt")]
    grouped, every = in_terminal(80, words), in_terminal(80, [*words, "-v"])
    assert any("these 3 layers" in line for line in grouped)
    assert 80 >= max(len(line) for line in (*grouped, *every))
    assert not any("these 3 layers" in line for line in every)
    command = [sys.executable, "-m", "caffe_fuse", *words]
    piped = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert plan_report(caffe_fuse.load(tmp_path / "n.prototxt")) == piped
    assert 36 == sum(" -> " in line for line in piped)


@given(st.lists(st.integers(0, 2), max_size=40))
def test_blocks_are_the_items_again(items: List[int]) -> None:
    again: List[int] = []
    for each in blocks(items):
        assert each.first == len(again)
        again += items[each.first : each.first + each.size] * each.times
    assert items == again


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("", []),
        ("abc", [(0, 1, 1), (1, 1, 1), (2, 1, 1)]),
        ("aaaa", [(0, 1, 4)]),
        ("xababab", [(0, 1, 1), (1, 2, 3)]),
        ("abcabcxyxyxy", [(0, 3, 2), (6, 2, 3)]),
    ],
)
def test_blocks_take_the_fewest_lines(items: str, expected: List[Block]) -> None:
    assert expected == blocks(items)
