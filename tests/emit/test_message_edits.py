"""How a changed message is spelled: each edit of its text, to the byte, and what protobuf reads in it."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from google.protobuf import text_format

from caffe_fuse.emit.text import message_edits
from caffe_fuse.protobuf.text import parse
from caffe_fuse.schema import messages as schema


def edited(source: str, change: Callable[[Any], object]) -> str:
    """The text of a LayerParameter behind a change of the message, which protobuf reads as the changed one."""
    document = parse(source.encode())
    before = schema.read(document, document.root, "LayerParameter").message
    after = schema.copy_of(before)
    change(after)
    assert before != after
    rendered = document.render(message_edits(document, [document.root], before, after)).decode()
    assert after == text_format.Merge(rendered, schema.new("LayerParameter"))
    return rendered


def put(path: str, value: Any) -> Callable[[Any], None]:
    """Sets the field at the end of a dotted path."""

    def change(message: Any) -> None:
        *outer, name = path.split(".")
        for each in outer:
            message = getattr(message, each)
        setattr(message, name, value)

    return change


@pytest.mark.parametrize(
    ("source", "path", "value", "expected"),
    [
        pytest.param('name: "a" name: "b"\n', "name", "c", 'name: "a" name: "c"\n', id="the value that counts"),
        pytest.param("power_param { shift: 9 }", "power_param.shift", 0.1, "power_param { shift: 0.1 }", id="a float"),
        pytest.param("power_param { shift: 9 }", "power_param.shift", 3, "power_param { shift: 3 }", id="a whole one"),
        pytest.param(
            "power_param { shift: 9 }", "power_param.shift", 1e-5, "power_param { shift: 1e-05 }", id="a small one"
        ),
        pytest.param(
            "power_param { shift: 9 }",
            "power_param.shift",
            float("-inf"),
            "power_param { shift: -inf }",
            id="one without end",
        ),
        pytest.param("phase: TEST", "phase", 0, "phase: TRAIN", id="an enum"),
        pytest.param("phase: 1", "phase", 0, "phase: TRAIN", id="the number of an enum"),
        pytest.param("bias_param { axis: 1 }", "bias_param.axis", -2, "bias_param { axis: -2 }", id="below 0"),
        pytest.param("name: 'a'", "name", 'it\'s "b"', "name: 'it\\'s \"b\"'", id="quotes"),
        pytest.param('name: "a"', "name", "\x017\x1b", 'name: "\\0017\\033"', id="control characters before digits"),
        pytest.param('name: "a"', "name", "b\nc\\", 'name: "b\\nc\\\\"', id="line ends"),
        pytest.param(
            "power_param { } power_param { scale: 2 }",
            "power_param.scale",
            4,
            "power_param { } power_param { scale: 4 }",
            id="a message that stands twice",
        ),
    ],
)
def test_a_field_that_changes(source: str, path: str, value: Any, expected: str) -> None:
    assert expected == edited(source, put(path, value))


def without(*names: str) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        for name in names:
            message.ClearField(name)

    return change


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('name: "n"\ntype: "t" phase: TEST\ntop: "y"\n', 'name: "n"\ntop: "y"\n'),
        ('name: "n"\n  type: "t"; phase: TEST,\ntop: "y"\n', 'name: "n"\ntop: "y"\n'),
        ('name: "n"\ntype: "t" # why\nphase: TEST\n', 'name: "n"\n# why\n'),
        ('type: "t"; phase: TEST name: "n"\n', 'name: "n"\n'),
    ],
)
def test_fields_that_go_leave_no_blank_line(source: str, expected: str) -> None:
    assert expected == edited(source, without("type", "phase"))


def test_what_is_new_takes_the_place_of_a_message_that_goes() -> None:
    def change(message: Any) -> None:
        message.ClearField("param")
        message.ClearField("batch_norm_param")
        message.ClearField("phase")
        message.scale_param.filler.value = 0.5

    source = 'name: "n"\nbatch_norm_param {\n  eps: 0.5\n}\ntop: "y"\nphase: TEST\n'
    expected = 'name: "n"\nscale_param {\n  filler {\n    value: 0.5\n  }\n}\ntop: "y"\n'
    assert expected == edited(source, change)
