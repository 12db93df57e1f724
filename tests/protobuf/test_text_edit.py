"""text_edit.py: the result of each edit for the layouts found in files."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies_text import texts

from caffe_fuse.protobuf.text import Document, Edit, Field, Message, Scalar, parse
from caffe_fuse.protobuf.text_edit import append, insert_before, remove, replace, replace_field

MARK = b"\xef\xbb\xbf"


def fields_of(message: Message) -> List[Field]:
    """Yields the fields of a message, nested ones included."""
    found: List[Field] = []
    for field in message.fields:
        found.append(field)
        for value in field.values:
            found += fields_of(value) if isinstance(value, Message) else []
    return found


def messages_of(message: Message) -> List[Message]:
    inner = [value for field in message.fields for value in field.values if isinstance(value, Message)]
    return [message, *(below for value in inner for below in messages_of(value))]


def named(document: Document, name: str) -> Field:
    return next(field for field in fields_of(document.root) if field.name == name)


def inside(document: Document, name: str) -> Message:
    (message,) = named(document, name).values
    assert isinstance(message, Message)
    return message


def without(source: bytes, *names: str) -> bytes:
    document = parse(source)
    return document.render([remove(document, named(document, name)) for name in names])


def with_more(source: bytes, *fields: Sequence[bytes], to: str = "m") -> bytes:
    document = parse(source)
    return document.render([append(document, inside(document, to), lines) for lines in fields])


REMOVED: Dict[str, Tuple[bytes, str, bytes]] = {
    "its own line": (b"a: 1\n  b: 2\nc: 3\n", "b", b"a: 1\nc: 3\n"),
    "its own lines": (b"a: 1\nb {\n  d: 2\n}\nc: 3\n", "b", b"a: 1\nc: 3\n"),
    "a line that ends in CRLF": (b"a: 1\r\n\tb: 2\r\nc: 3\r\n", "b", b"a: 1\r\nc: 3\r\n"),
    "the first line": (b"b: 2\nc: 3\n", "b", b"c: 3\n"),
    "the first line after a byte order mark": (MARK + b"b: 2\nc: 3\n", "b", MARK + b"c: 3\n"),
    "the last line without its end": (b"a: 1\nb: 2", "b", b"a: 1\n"),
    "an indented last line without its end": (b"m {}\n  b: 2", "b", b"m {}\n"),
    "the end of a last line without its end": (b"a: 1  b: 2 ", "b", b"a: 1 "),
    "a line with blanks at its end": (b"a: 1\nb: 2 \t\nc: 3", "b", b"a: 1\nc: 3"),
    "a line with a separator": (b"a: 1;\nb: 2 ;\nc: 3;\n", "b", b"a: 1;\nc: 3;\n"),
    "a line whose separator stands on the next": (b"a: 1\nb: 2\n;\nc: 3\n", "b", b"a: 1\nc: 3\n"),
    "a separator before the next field": (b"b: 2\n, c: 3\n", "b", b"\nc: 3\n"),
    "a separator after a comment": (b"b: 2 # why\n, c: 3\n", "b", b"# why\nc: 3\n"),
    "a field with a comment behind": (b"a: 1\n  b: 2 # why\nc: 3\n", "b", b"a: 1\n  # why\nc: 3\n"),
    "a field below a comment": (b"# why\nb: 2\nc: 3\n", "b", b"# why\nc: 3\n"),
    "the first of a line": (b"  b: 2 c: 3\n", "b", b"  c: 3\n"),
    "the middle of a line": (b"a: 1 b: 2 c: 3\n", "b", b"a: 1 c: 3\n"),
    "the end of a line": (b"a: 1 b: 2\nc: 3\n", "b", b"a: 1\nc: 3\n"),
    "a field between separators": (b"a: 1, b: 2, c: 3\n", "b", b"a: 1, c: 3\n"),
    "the only field of a one-line message": (b"m { b: 2 }\n", "b", b"m { }\n"),
    "the last field of a one-line message": (b"m { a: 1 b: 2 }\n", "b", b"m { a: 1 }\n"),
    "a field with no blanks around": (b"m {b: 2}\n", "b", b"m {}\n"),
    "a field in angle brackets": (b"m < b: 2 c: 3 >\n", "b", b"m < c: 3 >\n"),
    "a last field before a brace": (b"m {\n  a: 1\n  b: 2 }\n", "b", b"m {\n  a: 1\n  }\n"),
    "a field at the end of an opening line": (b"m { b: 2\n}\n", "b", b"m {\n}\n"),
    "a field behind a string": (b"a: 'x'b: 2 c: 3", "b", b"a: 'x'c: 3"),
    "a list over lines": (b"a: 1\nb: [\n  1,\n  2\n]\nc: 3\n", "b", b"a: 1\nc: 3\n"),
}


@pytest.mark.parametrize("layout", REMOVED)
def test_a_field_goes_that_is(layout: str) -> None:
    source, name, expected = REMOVED[layout]
    assert expected == without(source, name)


NEIGHBOURS = {
    "lines": (b"a: 1\nb: 2\nc: 3\nd: 4\n", b"a: 1\nd: 4\n"),
    "one line": (b"a: 1 b: 2 c: 3 d: 4\n", b"a: 1 d: 4\n"),
    "the end of one line": (b"a: 1 b: 2 c: 3\n", b"a: 1 \n"),
    "one-line message": (b"m { b: 2, c: 3 }\n", b"m { }\n"),
    "no blanks": (b"m {b: 2,c: 3}\n", b"m {}\n"),
}


@pytest.mark.parametrize("layout", NEIGHBOURS)
def test_neighbours_go_together(layout: str) -> None:
    source, expected = NEIGHBOURS[layout]
    assert expected == without(source, "b", "c")


MESSAGE = [b"p {", b"  q: 5", b"  r {", b"    s: 6", b"  }", b"}"]

APPENDED = {
    "lines": (b"m {\n  a: 1\n}\n", b"m {\n  a: 1\n  n: 5\n}\n"),
    "lines that end in CRLF": (b"m {\r\n    a: 1\r\n}\r\n", b"m {\r\n    a: 1\r\n    n: 5\r\n}\r\n"),
    "a last message": (b"m {\n\ta {\n\t\tb: 1\n\t}\n}\n", b"m {\n\ta {\n\t\tb: 1\n\t}\n\tn: 5\n}\n"),
    "a last line with a comment": (b"m {\n  a: 1 # why\n}\n", b"m {\n  a: 1 # why\n  n: 5\n}\n"),
    "a last line with a comment and CRLF": (b"m {\r\n  a: 1 # why\r\n}", b"m {\r\n  a: 1 # why\r\n  n: 5\r\n}"),
    "a last line with a separator": (b"m {\n  a: 1;\n}\n", b"m {\n  a: 1;\n  n: 5\n}\n"),
    "a separator on the next line": (b"m {\n  a: 1\n;}\n", b"m {\n  a: 1\n  n: 5\n;}\n"),
    "a brace on the last line": (b"m {\n  a: 1 }\n", b"m {\n  a: 1\n  n: 5 }\n"),
    "one line": (b"m { a: 1 }\n", b"m { a: 1 n: 5 }\n"),
    "one line with separators": (b"m { a: 1, b: 2, }\n", b"m { a: 1, b: 2, n: 5 }\n"),
    "one line without blanks": (b"m {a: 'x'}\n", b"m {a: 'x' n: 5}\n"),
    "angle brackets": (b"m < a: 1 >\n", b"m < a: 1 n: 5 >\n"),
    "no field": (b"m {}\n", b"m { n: 5 }\n"),
    "no field but a blank": (b"m { }\n", b"m { n: 5 }\n"),
    "no field but a line end": (b"  m {\n  }\n", b"  m {\n    n: 5\n  }\n"),
    "no field but a comment": (b"m { # why\n}\n", b"m { # why\n  n: 5\n}\n"),
}


@pytest.mark.parametrize("layout", APPENDED)
def test_a_field_is_appended_to_a_message_with(layout: str) -> None:
    source, expected = APPENDED[layout]
    assert expected == with_more(source, [b"n: 5"])


@pytest.mark.parametrize("body", [b"", b" ", b"\n", b" a: 1 ", b"\n  a: 1\n", b"\n  a: 1 # why\n"])
def test_what_is_appended_keeps_its_order(body: bytes) -> None:
    document = parse(with_more(b"m {" + body + b"}\n", [b"n: 5"], [b"o: 6"]))
    assert ["n", "o"] == [field.name for field in inside(document, "m").fields][-2:]


def test_a_message_is_indented_as_the_file_is() -> None:
    assert b"m {\n\ta: 1\n\tp {\n\t\tq: 5\n\t\tr {\n\t\t\ts: 6\n\t\t}\n\t}\n}\n" == with_more(
        b"m {\n\ta: 1\n}\n", MESSAGE
    )
    assert b"# a\n    # why\nm {\n  a: 1\n  p {\n    q: 5\n    r {\n      s: 6\n    }\n  }\n}\n" == with_more(
        b"# a\n    # why\nm {\n  a: 1\n}\n", MESSAGE
    )
    assert b"m {\n    a: 1\n    p {\n        q: 5\n        r {\n            s: 6\n        }\n    }\n}" == with_more(
        b"m {\n    a: 1\n}", MESSAGE
    )


def test_a_message_in_a_line_is_one_line() -> None:
    assert b"m { a: 1 p { q: 5 r { s: 6 } } }" == with_more(b"m { a: 1 }", MESSAGE)


def test_a_field_is_appended_to_the_whole_text() -> None:
    document = parse(MARK + b"a: 1")
    assert MARK + b"a: 1\nn: 5" == document.render([append(document, document.root, [b"n: 5"])])


def changed(source: bytes, name: str, lines: Sequence[bytes]) -> bytes:
    document = parse(source)
    return document.render([replace_field(document, named(document, name), lines)])


def test_a_field_takes_the_lines_of_another() -> None:
    assert b"m {\n  q {\n    r: 5\n  } # why\n}" == changed(b"m {\n  a: 1 # why\n}", "a", [b"q {", b"  r: 5", b"}"])
    assert b"n: 5;\r\nb: 2" == changed(b"a {\r\n\tc: 1\r\n};\r\nb: 2", "a", [b"n: 5"])
    assert MARK + b"q {\n  r: 5\n}" == changed(MARK + b"a: 1", "a", [b"q {", b"  r: 5", b"}"])


def test_a_field_in_a_line_takes_the_place_of_another() -> None:
    assert b"m { q { r: 5 } b: 2 }" == changed(b"m { a: 1 b: 2 }", "a", [b"q {", b"  r: 5", b"}"])
    assert b"m {n: 5 b: 2}" == changed(b"m {a: 'x'b: 2}", "a", [b"n: 5"])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"b: 1\n", b"m {\n  n: 5\n}\nb: 1\n"),
        (b"a { }\r\n\tb: 1\r\n", b"a { }\r\n\tm {\r\n\t\tn: 5\r\n\t}\r\n\tb: 1\r\n"),
        (b"a { } b: 1", b"a { } m { n: 5 } b: 1"),
    ],
)
def test_a_field_is_put_in_front_of_another(before: bytes, after: bytes) -> None:
    document = parse(before)
    assert after == document.render([insert_before(document, named(document, "b"), [b"m {", b"  n: 5", b"}"])])


def test_a_value_takes_the_place_of_another() -> None:
    document = parse(b"a: [1, -2, 3] # x\n")
    edit = replace(named(document, "a").values[1], b"40")
    assert b"a: [1, 40, 3] # x\n" == document.render([edit])


def tree(message: Message) -> List[Any]:
    return [
        (field.name, field.is_list, [v.text if isinstance(v, Scalar) else tree(v) for v in field.values])
        for field in message.fields
    ]


def edited(document: Document, edits: Sequence[Edit]) -> Document:
    return parse(document.render(edits))


@given(texts, st.data())
def test_any_fields_can_go_and_the_others_stay(text: str, data: st.DataObject) -> None:
    document = parse(text.encode())
    fields = list(document.root.fields)
    gone = data.draw(st.sets(st.integers(0, len(fields) - 1))) if fields else set()
    after = edited(document, [remove(document, fields[place]) for place in gone])
    expected = [item for place, item in enumerate(tree(document.root)) if place not in gone]
    assert expected == tree(after.root)


@pytest.mark.parametrize("source", [b"a:true b:[]\n;", b"a:1\n; b:2\n; c:3"])
def test_neighbours_that_go_with_a_separator_on_another_line(source: bytes) -> None:
    document = parse(source)
    after = document.render([remove(document, field) for field in document.root.fields])
    assert b"" == after.strip()


@given(texts)
def test_all_fields_can_go_and_their_comments_stay(text: str) -> None:
    """Comments between fields; each is on its own line or after what is removed."""
    source = text.encode()
    document = parse(source)
    after = document.render([remove(document, field) for field in document.root.fields])
    outside, done = b"", 0
    for field in document.root.fields:
        outside, done = outside + source[done : field.start], field.end
    assert (outside + source[done:]).count(b"#") == after.count(b"#")
    assert () == parse(after).root.fields


@given(texts, st.data())
def test_any_message_takes_another_field(text: str, data: st.DataObject) -> None:
    document = parse(text.encode())
    place = data.draw(st.integers(0, len(messages_of(document.root)) - 1))
    edit = append(document, messages_of(document.root)[place], [b"new {", b"  n: 5", b"}"])
    assert edit.start == edit.end
    after = edited(document, [edit])
    assert ("new", False, [[("n", False, ["5"])]]) == tree(messages_of(after.root)[place])[-1]
    assert tree(document.root) == tree(edited(after, [remove(after, named(after, "new"))]).root)


@given(texts, st.data())
def test_any_field_takes_the_place_of_another(text: str, data: st.DataObject) -> None:
    document = parse(text.encode())
    fields = list(document.root.fields)
    chosen = data.draw(st.sets(st.integers(0, len(fields) - 1))) if fields else set()
    after = edited(document, [replace_field(document, fields[place], [b"n: 5"]) for place in chosen])
    expected = [("n", False, ["5"]) if place in chosen else item for place, item in enumerate(tree(document.root))]
    assert expected == tree(after.root)
