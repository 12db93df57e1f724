"""schema.json: it refuses what is no report. That it takes every report of the suite is checked in conftest.py."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Callable, Dict

import pytest
import truth
from conftest import Run
from json_schema import SCHEMA, require_valid

import caffe_fuse
from caffe_fuse.folding.check import check
from caffe_fuse.folding.diagnosis import STATES
from caffe_fuse.report.json_report import check_to_json
from caffe_fuse.targets.demand import COMPLAINS, REFUSES, WRONG

BLOCK = truth.FOLDER / "net-resnet-bottleneck"
FILES = (BLOCK / "net.prototxt", BLOCK / "net.caffemodel")


@pytest.fixture(scope="module")
def document() -> Dict[str, Any]:
    return caffe_fuse.fuse(caffe_fuse.load(*FILES), rescale="always").verified().report.to_dict()


def test_the_report_of_each_command_is_valid(tmp_path: Path, run: Run, document: Dict[str, Any]) -> None:
    require_valid(json.dumps(document))
    require_valid(check_to_json(check(caffe_fuse.load(*FILES))))
    report = tmp_path / "r.json"
    assert 0 == run("verify", *FILES, *FILES, "--report", report)[0]
    require_valid(report.read_text())
    assert 0 == run("fuse", *FILES, *FILES, "-o", f"{tmp_path}/", "--dry-run", "--report", report)[0]
    assert "models" in json.loads(report.read_text())
    require_valid(report.read_text())


Change = Callable[[Dict[str, Any]], Any]
WRONG_ONES: Dict[str, Change] = {
    "another schema": lambda report: report.update(schema=2),
    "a field more": lambda report: report.update(surprise=1),
    "a field less": lambda report: report.pop("next"),
    "a field more in a row": lambda report: report["folded"][0].update(surprise=1),
    "a layer that is no name": lambda report: report["folded"][0].update(layer=1),
    "a status of errors": lambda report: report.update(status=2),
    "a count below 0": lambda report: report["half"]["before"][0].update(overflow=-1),
    "a number that is a word": lambda report: report["half"]["before"][0].update(margin="much"),
    "an unknown state": lambda report: report["half"]["channels"]["before"].update(poor=1),
    "half a sha256": lambda report: report["inputs"][0].update(sha256="abc"),
    "an exponent that is no integer": lambda report: report["rescaled"][0].update(channel_exponents=[0.5]),
    "a verification without outputs": lambda report: report["verification"].pop("half"),
    "an activation without its range": lambda report: report["predicted_activations"]["after"][0].pop("low"),
}


@pytest.mark.parametrize("name", WRONG_ONES)
def test_what_is_no_report_is_refused(name: str, document: Dict[str, Any]) -> None:
    wrong = copy.deepcopy(document)
    WRONG_ONES[name](wrong)
    with pytest.raises(AssertionError):
        require_valid(json.dumps(wrong))


def objects(part: Any) -> Any:
    if isinstance(part, dict):
        yield part
        for each in part.values():
            yield from objects(each)
    elif isinstance(part, list):
        for each in part:
            yield from objects(each)


def test_every_object_names_all_its_fields() -> None:
    definitions = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    owners = [each for each in objects(definitions) if isinstance(each.get("properties"), dict) and "required" in each]
    assert 30 < len(owners)
    assert [] == [each for each in owners if list(each["properties"]) != each["required"]]
    assert [] == [each for each in owners if each["additionalProperties"] is not False]


def test_the_words_of_the_schema_are_those_of_the_code() -> None:
    definitions = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
    assert list(STATES) == definitions["channel"]["properties"]["state"]["enum"] == definitions["states"]["required"]
    taken = definitions["target"]["properties"]["not_taken"]["items"]["properties"]["effect"]["enum"]
    assert [REFUSES, WRONG, COMPLAINS] == taken
