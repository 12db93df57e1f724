"""docs/api.md names everything that is public, its arguments and members, and its program runs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, List

import pytest
from conftest import PROJECT
from test_docs import folder as folder

import caffe_fuse

TEXT = (PROJECT / "docs" / "api.md").read_text(encoding="utf-8")
CODE = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", TEXT))))
INTERNAL = {"document", "typed", "source", "excluded", "dropped", "required_weights", "facts", "options"}


def section(name: str) -> str:
    """Returns the section whose heading has this name, or the row of it, or the whole text."""
    found = re.search(rf"^### [\w, ]*\b{name}\b.*?(?=^##)", f"{TEXT}\n##", re.MULTILINE | re.DOTALL)
    return TEXT if found is None else found.group()


def members(public: Any) -> List[str]:
    if not inspect.isclass(public):
        return [name for name in inspect.signature(public).parameters if name != "model"]
    own = {**vars(public), **vars(public).get("__annotations__", {})}
    return [name for name in own if not name.startswith("_") and name not in INTERNAL | {"of"}]


@pytest.mark.parametrize("name", caffe_fuse.__all__)
def test_a_public_name_is_documented_with_its_members(name: str) -> None:
    assert name in CODE | set(re.findall(r"^### (.*)", TEXT, re.MULTILINE))
    words = set(re.findall(r"\w+", section(name)))
    assert [] == [member for member in members(getattr(caffe_fuse, name)) if member not in words]


def test_what_is_documented_as_a_class_or_function_is_public() -> None:
    headings = re.findall(r"^### (.*)", TEXT, re.MULTILINE)
    assert [] == [name for heading in headings for name in heading.split(", ") if name not in caffe_fuse.__all__]


def test_the_defaults_of_fuse_are_as_documented() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", section("fuse"), re.MULTILINE))
    parameters = inspect.signature(caffe_fuse.fuse).parameters
    defaults = {name: each.default for name, each in parameters.items() if name != "model"}
    assert defaults == {name: eval(written) for name, written in rows.items()}


def test_the_program_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict = {}
    exec(compile(program, "docs/api.md", "exec"), names)
    assert capsys.readouterr().out.startswith("stem absorbed stem_bn stem_scale\n")
    assert 2 == len(names["report"]["outputs"])
