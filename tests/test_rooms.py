"""Which room of the package imports which: only those before it in ROOMS. `pytest -s` prints the imports."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

import pytest
from conftest import PROJECT, TESTS

import caffe_fuse

PACKAGE = PROJECT / "caffe_fuse"
# Each may import those before it; docs/architecture.md says what each is for.
ROOMS = (
    *("protobuf", "files", "schema", "blobs", "layers", "generations", "weights", "net", "half"),
    *("targets", "passes", "rescale"),
    *("execution", "ranges", "judging", "emit", "folding", "upgrading", "report", "page", "many", "cli"),
)
# A caller asks a report for its forms, which are in a room behind its own: imported when they are asked for.
FORMS = ("folding/report.py", ("report", "json_report")), ("folding/report.py", ("page", "pages"))
ROOT = {"__init__", "__main__", "argument_types", "display", "errors", "parallel", "progress", "spelling", "wording"}


def imports(path: Path) -> Iterator[Tuple[str, ...]]:
    """Yields what a module imports from the package, also only for types, as parts of a dotted name in `caffe_fuse`."""
    package = path.relative_to(PROJECT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[1 : len(package) - node.level + 1]
            named = (*base, *(node.module.split(".") if node.module else ()))
            yield from [named] if named else [(alias.name,) for alias in node.names]


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def edges() -> Dict[str, Set[str]]:
    found: Dict[str, Set[str]] = {room: set() for room in ROOMS}
    for path in PACKAGE.rglob("*.py"):
        for target in imports(path):
            is_form = (path.relative_to(PACKAGE).as_posix(), target) in FORMS
            if room_of(path) and target[0] != room_of(path) and target[0] in found and not is_form:
                found[room_of(path)].add(target[0])
    return found


def test_every_folder_is_a_room_and_the_root_is_small() -> None:
    assert set(ROOMS) == {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_those_above_it(room: str) -> None:
    found = edges()[room]
    print(f"\n{room:12} <- {', '.join(other for other in ROOMS if other in found) or 'nothing'}")
    assert set() == found - set(ROOMS[: ROOMS.index(room)])


def levels() -> Dict[str, int]:
    """Returns the length of the longest way down from each room, as the count of rooms on it."""
    imported = edges()
    found: Dict[str, int] = {}
    for room in ROOMS:
        found[room] = 1 + max((found[other] for other in imported[room]), default=0)
    return found


def test_the_picture_shows_each_room_on_its_level() -> None:
    lines = re.findall(r"^ {4,5}(\d+) (.*)$", (PROJECT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    assert levels() == {room: int(level) for level, line in lines for room in re.findall(r"[a-z]+", line)}


def test_what_is_at_the_root_needs_no_room() -> None:
    for name in ("argument_types", "display", "errors", "parallel", "progress", "spelling", "wording"):
        assert [] == [target for target in imports(PACKAGE / f"{name}.py") if target[0] in ROOMS]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for_and_what_it_may_import(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    assert "Imports" in docstring
    assert room in (PROJECT / "docs" / "architecture.md").read_text()


def test_tests_stand_in_folders_named_as_the_rooms() -> None:
    folders = {path.parent.name for path in TESTS.glob("*/test_*.py")}
    assert set() == folders - set(ROOMS)
    assert [] == [room for room in ROOMS if room not in folders]


def test_no_room_has_the_name_of_a_public_function() -> None:
    """Importing it would overwrite the function."""
    assert set() == set(ROOMS) & set(caffe_fuse.__all__)


def test_protobuf_has_no_word_of_caffe() -> None:
    words = re.compile(r"caffe|prototxt|\blayers?\b|\bblobs?\b|\bnets?\b", re.IGNORECASE)
    found: List[str] = []
    for path in (PACKAGE / "protobuf").glob("*.py"):
        lines = enumerate(path.read_text().splitlines(), 1)
        found += [f"{path.name}:{number}" for number, line in lines if words.search(line)]
    assert [] == found


def test_what_the_facets_exchange_imports_no_family_of_layer_types() -> None:
    for name in ("homogeneous", "ranges", "shapes"):
        found = {target[1] for target in imports(PACKAGE / "layers" / f"{name}.py") if target[0] == "layers"}
        assert found <= {"layer_type", "shapes"}


def test_only_the_rows_know_what_is_true_of_a_type() -> None:
    """Elsewhere a layer is asked for a facet, not whether its type has a name; targets are about the names."""
    asked = re.compile(r"\b(kind|row\.name) (==|!=|in|not in) [({]?\"[A-Z]")
    paths = [path for path in PACKAGE.rglob("*.py") if room_of(path) not in ("layers", "targets")]
    assert [] == [path.name for path in paths if asked.search(path.read_text())]


def test_rules_and_layers_know_no_files() -> None:
    for room in ("layers", "passes", "half", "rescale"):
        for path in (PACKAGE / room).rglob("*.py"):
            assert not re.search(r"\bopen\(|import os\b|\.files\b", path.read_text()), path
