"""Manifests: a model on each line, and what is said of a line that is not understood."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest

from caffe_fuse import InputError
from caffe_fuse.many.manifest import Line, read


def manifest(folder: Path, text: str) -> List[Line]:
    (folder / "m").write_text(text, encoding="utf-8")
    found = read(f"{folder}/m", ("--ranges", "--input"))
    return [
        line._replace(
            **{name: getattr(line, name).replace(f"{folder}/", "") for name in ("where", "net", "weights")},
            options=tuple(word.replace(f"{folder}/", "DIR/") for word in line.options),
        )
        for line in found
    ]


TABLE = (
    "net\tweights\toptions\toutput\n# a comment\n\na.prototxt\ta b.caffemodel\t--keep 'x y' --allow-bn\tout/a\nb\tc\n"
)
JSON = (
    '{"net": "a.prototxt", "weights": "a b.caffemodel", "options": ["--keep", "x y", "--allow-bn"],'
    ' "output": "out/a"}\n'
    '{"weights": "c", "net": "b"}\n'
)


@pytest.mark.parametrize(
    ("text", "lines"), [(TABLE, (4, 5)), (JSON, (1, 2)), ("\ufeff" + TABLE.replace("\n", "\r\n"), (4, 5))]
)
def test_a_table_and_json_say_the_same(text: str, lines: List[int], tmp_path: Path) -> None:
    first, second = lines
    assert [
        Line(f"m:{first}", "a.prototxt", "a b.caffemodel", ("--keep", "x y", "--allow-bn"), "out/a"),
        Line(f"m:{second}", "b", "c", (), ""),
    ] == manifest(tmp_path, text)


def test_columns_may_come_in_any_order_and_paths_may_be_absolute(tmp_path: Path) -> None:
    (line,) = manifest(tmp_path, "weights\tnet\n/w\tn\n")
    assert ("n", "/w") == (line.net, line.weights)


def test_paths_in_options_are_relative_to_the_manifest(tmp_path: Path) -> None:
    (line,) = manifest(tmp_path, "net\tweights\toptions\nn\tw\t--ranges r.json --input=/x --keep r.json\n")
    assert ("--ranges", "DIR/r.json", "--input", "/x", "--keep", "r.json") == line.options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "m: names no model"),
        ("# nothing\n", "m: names no model"),
        ("a.prototxt\ta.caffemodel\n", "m:1: the first line is no head of a table"),
        ("net\tnet\tweights\n", "m:1: the first line is no head of a table"),
        ("net\tweights\nn\tw\n\nn\n", "m:4: weights is missing"),
        ("net\tweights\nn\tw\tx\n", "m:2: 3 cells under 2 names"),
        ("net\tweights\tcolour\nn\tw\tred\n", "m:2: 'colour' is not a column"),
        ("net\tweights\toptions\nn\tw\t--keep 'x\n", "m:2: options are not words: No closing quotation"),
        ('{"net": "n", "weights": "w"}\n{"net": \n', "m:2: is not JSON"),
        ('{"net": "n", "weights": "w"}\n[1]\n', "m:2: is not a JSON object"),
        ('{"net": "n", "weights": 3}\n', "m:1: weights is no text"),
        ('{"net": "n", "weights": "w", "options": [1]}\n', "m:1: options are not words"),
        ('{"net": "n", "weights": "w", "jobs": 1}\n', "m:1: 'jobs' is not a column"),
        ("\xff", "m: cannot be read"),
    ],
)
def test_a_line_that_is_not_understood_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        read(f"{tmp_path}/m", ())
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(str(tmp_path / "no"), ())
