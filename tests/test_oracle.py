"""New random nets, different ones every day: real Caffe computes them before and after the fold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Iterator, List

import nets
import pytest
from conftest import todays_seed
from judges import ORACLE, Caffe, Judge, Question, Reference, Values
from oracle import Tally, differences, fold, judged, questions
from random_cases import Case, random_case

NETS = 24


@pytest.fixture(params=["tests/reference", "real Caffe"])
def judge(request: pytest.FixtureRequest) -> Judge:
    if request.param == "tests/reference":
        return Reference()
    if not ORACLE.exists():
        pytest.skip("real Caffe is not installed: make oracle")
    return Caffe()


def test_random_nets_of_today_keep_their_answers(judge: Judge, tmp_path: Path) -> None:
    tally, seed = Tally(), todays_seed() * 1000
    judged(range(seed, seed + NETS), judge, tmp_path, tally)
    assert (NETS, []) == (tally.nets, tally.wrong)


def test_a_seed_gives_one_case() -> None:
    first, again, other = (random_case(seed) for seed in (5, 5, 6))
    assert (first.given, first.options) == (again.given, again.options)
    assert first.given != other.given


def test_every_form_and_option_is_drawn() -> None:
    cases = [random_case(seed) for seed in range(60)]
    assert {"V2", "V1", "HDF5"} == {case.form for case in cases}
    for option, values in {
        "rescale": {"needed", "always", "never"},
        "blob_type": {"float32", "float16"},
        "weights_format": {None, "caffemodel", "hdf5"},
    }.items():
        assert values == {case.options[option] for case in cases}
    assert any(case.options["keep"] for case in cases)


def test_two_channels_that_change_places_are_found(tmp_path: Path) -> None:
    prototxt = nets.text(nets.convolution(top="b0"), nets.batch_norm(bottom="b0", top="b0"))
    model = prototxt, nets.caffemodel(prototxt, nets.numbers(prototxt))
    inputs = {"x": nets.spread((2, 4, 5, 6), 1)}
    made = fold(Case(0, model, model, "V2", inputs, {"blob_type": "float16"}), tmp_path)
    before, after, halves = Reference().answers(questions(made))
    assert not isinstance(before, str)
    given = swapped(before, after, halves)
    wrong = [[each.blob for each in differences(made, answers) if each.share > 1] for answers in given]
    assert [[], ["original b0"], ["folded b0"], ["in halves b0"]] == wrong


def swapped(*answers: Any) -> Iterator[List[Values]]:
    """Yields the answers, and then the answers with two channels of blob b0 swapped in one of them."""
    yield list(answers)
    for place, answer in enumerate(answers):
        turned = {**answer, "b0": answer["b0"][:, ::-1]}
        yield [*answers[:place], turned, *answers[place + 1 :]]


STUB = """
import os
TEST = 1
class Net:
    def __init__(self, prototxt, phase, weights):
        if "stop here" in open(prototxt).read():
            os.write(2, b"Check failed: it stops here\\n")
            os.abort()
        self.blobs = {}
    def forward(self):
        pass
"""


def test_where_caffe_stops_the_net_is_named_and_the_next_ones_run(tmp_path: Path) -> None:
    (tmp_path / "caffe.py").write_text(STUB)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    asked = [Question(line, b"", {}) for line in (b"# one", b"# stop here", b"# stop here", b"# two")]
    stop = "Check failed: it stops here"
    assert [{}, stop, stop, {}] == Caffe(python).answers(asked)


def test_what_fails_is_told_with_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("it is broken")

    monkeypatch.setattr("caffe_fuse.fuse", broken)
    tally = Tally()
    judged([7], Reference(), tmp_path, tally)
    assert ["seed 7: ValueError: it is broken"] == tally.wrong
