"""text.py, text_grammar.py and text_scalar.py: the tree, its values, and the errors."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from strategies_text import INTEGERS, everything, texts

from caffe_fuse.errors import CaffeFuseError, InternalError, TextError
from caffe_fuse.protobuf.text import Document, Edit, Field, Message, Scalar, parse


def only(text: str) -> Field:
    (field,) = parse(text.encode()).root.fields
    return field


def scalar(text: str) -> Scalar:
    (value,) = only(f"a: {text}").values
    assert isinstance(value, Scalar)
    return value


def tree(message: Message) -> List[Any]:
    """Returns names and values as they are spelled."""
    return [
        (field.name, [value.text if isinstance(value, Scalar) else tree(value) for value in field.values])
        for field in message.fields
    ]


def parsed(text: str) -> List[Any]:
    return tree(parse(text.encode()).root)


READ: Dict[str, Callable[[Scalar], Any]] = {
    "a_bool": Scalar.boolean,
    "a_string": lambda value: value.string().decode(),
    "a_bytes": Scalar.string,
    "a_double": Scalar.floating,
    "a_float": Scalar.floating,
    "an_enum": lambda value: {"RED": 0, "GREEN": 1, "inf": 2, "1": 1, "0x2": 2}[value.text],
}


def message_of(node: Message) -> Any:
    message = everything()()
    for field in node.fields:
        for value in field.values:
            if isinstance(value, Message):
                message.a_message.append(message_of(value))
            elif field.name in INTEGERS:
                getattr(message, field.name).append(value.integer(*INTEGERS[field.name]))
            else:
                getattr(message, field.name).append(READ[field.name](value))
    return message


@given(texts)
def test_a_text_means_what_protobuf_says(text: str) -> None:
    expected = everything()()
    text_format.Merge(text, expected)
    assert expected.SerializeToString() == message_of(parse(text.encode()).root).SerializeToString()


@given(texts)
def test_a_text_without_edits_stays_as_it_is(text: str) -> None:
    assert text.encode() == parse(text.encode()).render([])


@given(texts)
def test_each_place_holds_what_it_says(text: str) -> None:
    document = parse(text.encode())

    def check(message: Message) -> None:
        for field in message.fields:
            assert field.name == document.source[field.start : field.start + len(field.name)].decode()
            for value in field.values:
                spelled = document.source[value.start : value.end]
                assert spelled.strip() == spelled
                if isinstance(value, Message):
                    assert (b"{}", b"<>")[spelled[:1] == b"<"] == spelled[:1] + spelled[-1:]
                    assert (value.start + 1, value.end - 1) == (value.body_start, value.body_end)
                    check(value)

    check(document.root)


def read_in_every_way(source: bytes) -> None:
    def read(message: Message) -> None:
        for field in message.fields:
            for value in field.values:
                if isinstance(value, Message):
                    read(value)
                    continue
                for convert in (*READ_ANY, Scalar.identifier):
                    with suppress(CaffeFuseError):
                        convert(value)

    with suppress(CaffeFuseError):
        document = parse(source)
        assert source == document.render([])
        read(document.root)


READ_ANY = (Scalar.string, Scalar.boolean, Scalar.floating, lambda value: value.integer(-(2**63), 2**64 - 1))


@given(st.binary(max_size=40) | st.text("ab01 \n\"'\\#{}<>[]:;,.-/ex_u", max_size=40).map(str.encode))
def test_whatever_the_bytes_only_our_errors_escape(source: bytes) -> None:
    read_in_every_way(source)
    read_in_every_way(b"a: '" + source + b"'")


@given(texts, st.data())
def test_whatever_the_damage_only_our_errors_escape(text: str, data: st.DataObject) -> None:
    source = text.encode()
    start = data.draw(st.integers(0, len(source)))
    end = data.draw(st.integers(start, min(start + 3, len(source))))
    read_in_every_way(source[:start] + data.draw(st.binary(max_size=2)) + source[end:])


def test_every_real_prototxt_stays_as_it_is(shared: Path) -> None:
    refused = []
    for path in sorted(shared.rglob("*.prototxt")):
        source = path.read_bytes()
        try:
            assert source == parse(source, path.name).render([])
        except TextError as error:
            refused.append(error.where)
    assert ["jacintonet11.prototxt:8:12"] == refused


TREES = {
    "a scalar": ("a: 1", [("a", ["1"])]),
    "no blanks": ("a:x b{}c<d:'y'>", [("a", ["x"]), ("b", [[]]), ("c", [[("d", ["'y'"])]])]),
    "blanks in all places": (" a : 1 \n b { c : 2 } ", [("a", ["1"]), ("b", [[("c", ["2"])]])]),
    "separators": ("a: 1; b: 2, c {}; d {}", [("a", ["1"]), ("b", ["2"]), ("c", [[]]), ("d", [[]])]),
    "messages side by side": ("a {} b {}", [("a", [[]]), ("b", [[]])]),
    "a message in angle brackets": ("a < b: 1 >", [("a", [[("b", ["1"])]])]),
    "a message after a colon": ("a: { b: 1 } c: <>", [("a", [[("b", ["1"])]]), ("c", [[]])]),
    "braces in each other": ("a: <b { c: 1 }>", [("a", [[("b", [[("c", ["1"])]])]])]),
    "a list": ("a: [1, x, 'y']", [("a", ["1", "x", "'y'"])]),
    "an empty list": ("a: [ ] b: []", [("a", []), ("b", [])]),
    "a list of messages": ("a [{ b: 1 }, <>]", [("a", [[("b", ["1"])], []])]),
    "a list of messages after a colon": ("a: [{}, {}];", [("a", [[], []])]),
    "adjacent strings": ("a: 'x' \"y\" # 'z'\n 'w' b: 1", [("a", ["'x' \"y\" # 'z'\n 'w'"]), ("b", ["1"])]),
    "adjacent strings in a list": ("a: ['x' 'y', 'z']", [("a", ["'x' 'y'", "'z'"])]),
    "a string before a name": ("a: 'x'b: 1", [("a", ["'x'"]), ("b", ["1"])]),
    "an extension": ("[a.b]: 1 [ c . # d\n e ] {}", [("[a.b]", ["1"]), ("[c.e]", [[]])]),
    "the type of an Any": ("[type.googleapis.com/a.B] { c: 1 }", [("[type.googleapis.com/a.B]", [[("c", ["1"])]])]),
    "a sign": ("a: -1 b: - 5 c: -inf d: - nan", [("a", ["-1"]), ("b", ["- 5"]), ("c", ["-inf"]), ("d", ["- nan"])]),
    "comments": ("# x\na # y\n: # z\n1 # { '\n; # w", [("a", ["1"])]),
    "a comment right after a word": ("a: true# x\nb: 1", [("a", ["true"]), ("b", ["1"])]),
    "a comment at the end": ("a: 1 #", [("a", ["1"])]),
    "old line ends": ("a: 1\rb: 2 # c: 3\rd: 4", [("a", ["1"]), ("b", ["2"])]),
    "every blank": ("a:\t1\r\n\f\vb: 2", [("a", ["1"]), ("b", ["2"])]),
    "nothing": ("", []),
    "a comment alone": ("# x", []),
}


@pytest.mark.parametrize("name", TREES)
def test_the_tree_of(name: str) -> None:
    text, expected = TREES[name]
    assert expected == parsed(text)


INTEGER_SPELLINGS = {
    "5": 5,
    "-5": -5,
    "- 5": -5,
    "010": 8,
    "-017": -15,
    "0x1F": 31,
    "-0Xff": -255,
    "2147483647": 2**31 - 1,
    "-2147483648": -(2**31),
    "0": 0,
    "00": 0,
    "-0": 0,
}


@pytest.mark.parametrize("text", INTEGER_SPELLINGS)
def test_an_integer(text: str) -> None:
    assert INTEGER_SPELLINGS[text] == scalar(text).integer(-(2**31), 2**31 - 1)


def test_an_integer_may_have_any_number_of_zeros_in_front() -> None:
    assert 9 == scalar("0" * 10_000 + "11").integer(0, 10)


FLOATS = {
    **{"1": 1.0, "1.": 1.0, ".5": 0.5, "1.f": 1.0, "1.5F": 1.5, "1e-5f": 1e-5, "1.e5": 1e5, "2E+3": 2000.0, "5f": 5.0},
    **{"-.5": -0.5, "- 5": -5.0, "0.25": 0.25, "0f": 0.0, "1e400": math.inf, "inf": math.inf, "-INF": -math.inf},
    **{"Infinity": math.inf, "- infinity": -math.inf, "inff": math.inf},
}


@pytest.mark.parametrize("text", FLOATS)
def test_a_float(text: str) -> None:
    assert FLOATS[text] == scalar(text).floating()


def test_a_float_keeps_the_sign_of_zero_and_knows_nan() -> None:
    assert -1.0 == math.copysign(1, scalar("-0.0").floating())
    assert [True, True] == [math.isnan(scalar(text).floating()) for text in ("nan", "-NaN")]


STRINGS = {
    r'"\a\b\f\n\r\t\v\\\'\"\?"': b"\a\b\f\n\r\t\v\\'\"?",
    r'"\0\7\101\1011\377"': b"\x00\x07AA1\xff",
    r'"\x4\x41\X411"': b"\x04AA1",
    r'"\u00e9\U0001F600"': "\u00e9\U0001f600".encode(),
    r'"\ud83d\ude00\u0041"': "\U0001f600A".encode(),
    r'"\\u0041\\x41"': rb"\u0041\x41",
    "'\"' \"'\"": b"\"'",
    "'a' # 'b'\n\t'c'": b"ac",
    '"a" # "b\n"c"': b"ac",
    "'it''s'": b"its",
    '""': b"",
    '"# no comment"': b"# no comment",
}


@pytest.mark.parametrize("text", STRINGS)
def test_a_string(text: str) -> None:
    assert STRINGS[text] == scalar(text).string()


def test_bytes_of_any_encoding_stay_in_strings_and_comments() -> None:
    (field,) = parse(b"# \xb0\xa1\na: '\xb0\xa2\x00' # \xff").root.fields
    (value,) = field.values
    assert isinstance(value, Scalar)
    assert b"\xb0\xa2\x00" == value.string()


def test_booleans() -> None:
    words = ["true", "True", "t", "1", "false", "False", "f", "0"]
    assert [True] * 4 + [False] * 4 == [scalar(word).boolean() for word in words]


WRONG_VALUES: Dict[str, Any] = {
    "1.0": (lambda value: value.integer(0, 9), "expected an integer, found `1.0`"),
    "x": (lambda value: value.integer(0, 9), "expected an integer, found `x`"),
    "10": (lambda value: value.integer(0, 9), "expected an integer from 0 to 9, found `10`"),
    "-1": (lambda value: value.integer(0, 9), "expected an integer from 0 to 9, found `-1`"),
    "9" * 5000: (lambda value: value.integer(0, 9), f"expected an integer from 0 to 9, found `{'9' * 40}...`"),
    "010": (Scalar.floating, "expected a decimal number, found `010`"),
    "0x1F": (Scalar.floating, "expected a decimal number, found `0x1F`"),
    "'1'": (Scalar.floating, "expected a number, found `'1'`"),
    "TRUE": (Scalar.boolean, "expected true or false, found `TRUE`"),
    "2": (Scalar.boolean, "expected true or false, found `2`"),
    "y": (Scalar.string, "expected a string in quotes, found `y`"),
    "'z'": (Scalar.identifier, "expected a name without quotes, found `'z'`"),
    r"'\q'": (Scalar.string, r"unknown escape \q in a string"),
    r"'\400'": (Scalar.string, r"unknown escape \400 in a string"),
    r"'\xg'": (Scalar.string, r"unknown escape \x in a string"),
    r"'\ud83d'": (Scalar.string, r"unknown escape \ud83d in a string"),
    r"'\ude00\ud83d'": (Scalar.string, r"unknown escape \ude00\ud83d in a string"),
    r"'\U00110000'": (Scalar.string, r"unknown escape \U00110000 in a string"),
}


@pytest.mark.parametrize("text", WRONG_VALUES)
def test_another_value_than_is_due_is_an_error(text: str) -> None:
    read, what = WRONG_VALUES[text]
    with pytest.raises(TextError) as caught:
        read(scalar(text))
    assert ("<text>:1:4", what) == (caught.value.where, caught.value.what)


BROKEN = {
    "a: 1 // b": "1:6: expected a field name, found `//`: comments begin with `#`",
    "a {": "1:4: expected a field name or `}`, found the end of the file",
    "a { b: 1 >": "1:10: expected a field name or `}`, found `>`",
    "a <\n b {} }": "2:7: expected a field name or `>`, found `}`",
    "a: 1 }": "1:6: expected a field name, found `}`",
    "a:": "1:3: expected a value, found the end of the file",
    "a: ;": "1:4: expected a value, found `;`",
    "a": "1:2: expected `:` or `{` after a, found the end of the file",
    "a 1": "1:3: expected `:` or `{` after a, found `1`",
    "a: 1 ;; b: 2": "1:7: expected a field name, found `;`",
    "a: 'x": "1:4: this string does not end on its line",
    "a: 'x\n'": "1:4: this string does not end on its line",
    "a: 'x\\\n'": "1:4: this string does not end on its line",
    "a: 'x' \"y": "1:8: this string does not end on its line",
    "a: 5 'x'": "1:6: expected a field name, found `'x'`",
    "a: 1_0": "1:4: expected a value, found `1_0`",
    "a: 1e": "1:4: expected a value, found `1e`",
    "a: 08": "1:4: expected a value, found `08`",
    "a: 01.5": "1:4: expected a value, found `01.5`",
    "a: 00f": "1:4: expected a value, found `00f`",
    "a: 1.5.2": "1:4: expected a value, found `1.5.2`",
    "a: 0x": "1:4: expected a value, found `0x`",
    "a: +5": "1:4: expected a value, found `+5`",
    "a: -x": "1:4: expected a value, found `-x`",
    "a: -'x'": "1:4: expected a value, found `-`",
    "a: [1, ]": "1:8: expected a value, found `]`",
    "a: [,]": "1:5: expected a value, found `,`",
    "a: [1 2]": "1:7: expected `,` or `]`, found `2`",
    "a: [1; 2]": "1:6: expected `,` or `]`, found `;`",
    "a: [{}; {}]": "1:7: expected `,` or `]`, found `;`",
    "a: [{}, ]": "1:9: expected a value, found `]`",
    "a: [1": "1:6: expected `,` or `]`, found the end of the file",
    "a: [[1]]": "1:5: expected a value, found `[`",
    "a [1]": "1:4: expected `{` in a list without `:`, found `1`",
    "[]: 1": "1:1: expected the name of an extension in [ ]",
    "[a": "1:1: expected the name of an extension in [ ]",
    "[a..b]: 1": "1:1: expected the name of an extension in [ ]",
    "[1]: 1": "1:1: expected the name of an extension in [ ]",
    "12: 1": "1:1: expected a field name, found `12`",
    "\u00e9: 1": "1:1: expected a field name, found `\u00e9`",
    "a: $x": "1:4: expected a value, found `$`",
    "a: 1 \0": "1:6: expected a field name, found `\\x00`",
    "# \u00e9\n\u00e9": "2:1: expected a field name, found `\u00e9`",
    "# x\n# y\na: \t}": "3:5: expected a value, found `}`",
}


@pytest.mark.parametrize("text", BROKEN)
def test_what_is_no_protobuf_text_is_an_error_with_its_place(text: str) -> None:
    with pytest.raises(TextError) as caught:
        parse(text.encode(), "net.prototxt")
    assert f"net.prototxt:{BROKEN[text]}" == str(caught.value).split("\n")[0]


REFUSED_BY_BOTH = ["a_bool: ", "a_message {", "a_message { > ", "an_int32: [1 2]", "an_int32: [1,]", "an_int32 1"]
REFUSED_BY_BOTH += [
    "an_int32: 08",
    "a_double: 1e",
    "a_double: 1.5.2",
    "a_string: 'x",
    "// x",
    "an_int32: $",
    "a_double: 0x",
]


@pytest.mark.parametrize("text", REFUSED_BY_BOTH)
def test_protobuf_refuses_it_too(text: str) -> None:
    with pytest.raises(text_format.ParseError):
        text_format.Merge(text, everything()())
    with pytest.raises(TextError):
        parse(text.encode())


def test_the_message_shows_the_line_with_a_caret() -> None:
    with pytest.raises(TextError) as caught:
        parse(b"a {\r\n\tb: }\r\n", "net.prototxt")
    assert "net.prototxt:2:5: expected a value, found `}`\n   b: }\n      ^" == str(caught.value)


def test_of_a_long_line_the_message_shows_the_part_around_the_place() -> None:
    with pytest.raises(TextError) as caught:
        parse(b"a: 1 " * 1000 + b"? " + b"b: 2 " * 1000)
    _, line, caret = str(caught.value).split("\n")
    assert "<text>:1:5001" == caught.value.where
    assert "  " + "a: 1 " * 16 + "? " + ("b: 2 " * 16)[:78] == line
    assert line.index("?") == caret.index("^")


def test_nothing_that_a_terminal_obeys_is_shown() -> None:
    with pytest.raises(TextError) as caught:
        parse(b"a: '\x1b[2J' \x1b")
    assert "found `\\x1b`\n  a: '\\x1b[2J' \\x1b\n               ^" in str(caught.value)


def test_messages_may_be_a_hundred_deep_and_no_deeper() -> None:
    assert parse(b"a {" * 100 + b"}" * 100).root.fields
    with pytest.raises(TextError, match="nested deeper than 100"):
        parse(b"a {" * 101 + b"}" * 101)
    with pytest.raises(TextError, match="nested deeper than 100"):
        parse(b"a: [<" * 100_000)


RUNS = [
    b" ",
    b"\n",
    b'"',
    b"'",
    b"#",
    b"# ",
    b"#\n",
    b"\\",
    b"1",
    b"0",
    b".",
    b"[",
    b"a",
    b"-",
    b"- ",
    b"'a' ",
    b"a.",
    b"{}",
]
BEFORE = [b"", b"a: ", b"a: '", b"a: 1", b"a: 'x'", b"a: [", b"a: [1", b"[", b"[a/", b"a: 0x", b"a: 1e"]


@pytest.mark.parametrize("run", RUNS)
def test_no_long_run_takes_more_than_linear_time(run: bytes) -> None:
    """With quadratic time, one of these texts takes minutes."""
    began = time.process_time()
    for before in BEFORE:
        for after in (b"", b"!", b"\n]"):
            with suppress(TextError):
                parse(before + run * (100_000 // len(run)) + after)
    assert time.process_time() - began < 20


def test_no_message_repeats_what_is_long() -> None:
    with pytest.raises(TextError) as caught:
        parse(b"a: " + b"1" * 100_000 + b"_")
    assert f"<text>:1:4: expected a value, found `{'1' * 40}...`\n  a: {'1' * 80}\n     ^" == str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    document = parse(b"\xef\xbb\xbfa: 1")
    assert (True, [("a", ["1"])], 3) == (document.has_bom, tree(document.root), document.root.body_start)
    assert not parse(b"a: 1").has_bom


def test_a_byte_order_mark_elsewhere_is_an_error() -> None:
    with pytest.raises(TextError, match="expected a field name, found `\\\\ufeff`"):
        parse(b"\xef\xbb\xbf\xef\xbb\xbfa: 1")


def test_places_count_lines_and_characters_from_one() -> None:
    document = parse("# \u00e9\n\ta: '\u00e9' b: 1".encode(), "net.prototxt")
    first, second = document.root.fields
    assert ((2, 2), (2, 9)) == (document.position(first.start), document.position(second.start))
    assert ["net.prototxt:2:9"] * 3 == [document.where(place) for place in (second, second.start, 14)]
    assert "net.prototxt:2:5" == document.where(first.values[0])


def test_all_values_of_a_name_are_found_in_order_and_the_last_counts() -> None:
    root = parse(b"a: 1 b: 2 a: [3, 4] a: 5").root
    assert ["1", "3", "4", "5"] == [value.text for value in root.all("a") if isinstance(value, Scalar)]
    last = root.last("a")
    assert isinstance(last, Scalar)
    assert "5" == last.text
    assert root.last("c") is None


def rendered(*edits: Edit) -> bytes:
    document: Document = parse(b"a: 1 b: 2")
    return document.render(edits)


def test_edits_count_in_the_original_whatever_their_order() -> None:
    assert b"a: 10 c: 3 b: 20" == rendered(Edit(8, 9, b"20"), Edit(3, 4, b"10"), Edit(5, 5, b"c: 3 "))


def test_insertions_at_one_place_keep_their_order() -> None:
    assert b"a: 1 xyb: 2" == rendered(Edit(5, 5, b"x"), Edit(5, 5, b"y"))


def test_deletions_may_overlap() -> None:
    assert b"a" == rendered(Edit(1, 5, b""), Edit(2, 4, b""), Edit(4, 9, b""))
    assert b"ab: 2" == rendered(Edit(1, 5, b""), Edit(2, 4, b""))  # one within the other


@pytest.mark.parametrize("text", [(b"x", b""), (b"", b"x"), (b"x", b"y")])
def test_other_edits_that_overlap_are_a_defect(text: Any) -> None:
    with pytest.raises(InternalError, match="overlap at byte 3"):
        rendered(Edit(1, 5, text[0]), Edit(3, 6, text[1]))
