"""Protobuf text with blanks, comments and every spelling in all places, for a message that has all kinds of fields."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, List

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import strategies as st

KINDS = {
    "a_double": 1,
    "a_float": 2,
    "an_int64": 3,
    "a_uint64": 4,
    "an_int32": 5,
    "a_bool": 8,
    "a_string": 9,
    "a_message": 11,
    "a_bytes": 12,
    "a_uint32": 13,
    "an_enum": 14,
}
INTEGERS = {
    "an_int32": (-(2**31), 2**31 - 1),
    "an_int64": (-(2**63), 2**63 - 1),
    "a_uint32": (0, 2**32 - 1),
    "a_uint64": (0, 2**64 - 1),
}


@lru_cache(maxsize=None)
def everything() -> Any:
    """Returns the class of a message with a repeated field of each kind."""
    file = FileDescriptorProto(name="everything.proto", package="test", syntax="proto2")
    enum = file.enum_type.add(name="Colour")
    for number, name in enumerate(("RED", "GREEN", "inf")):
        enum.value.add(name=name, number=number)
    message = file.message_type.add(name="Everything")
    for number, (name, kind) in enumerate(KINDS.items(), 1):
        types = {"a_message": ".test.Everything", "an_enum": ".test.Colour"}
        message.field.add(name=name, number=number, label=3, type=kind, type_name=types.get(name))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Everything"))


comments = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=6)
trivia = st.lists(
    st.sampled_from([" ", "\t", "\n", "\r\n", "\f", "\v"]) | comments.map("#{}\n".format), max_size=3
).map("".join)
gaps = st.tuples(st.sampled_from(" \n\t\r"), trivia).map("".join)
characters = st.characters(exclude_categories=["Cs"])


def _float_spellings(number: float) -> st.SearchStrategy[str]:
    shortest = repr(number)
    return st.sampled_from([shortest, shortest + "f", shortest.upper(), f"{number:.3e}"])


def _integer_spellings(number: int) -> st.SearchStrategy[str]:
    sign = "-" if number < 0 else ""
    return st.sampled_from(
        [str(number), f"{sign}0x{abs(number):X}", f"{sign}0X{abs(number):x}", f"{sign}0{abs(number):o}"]
    )


@st.composite
def quoted(draw: st.DrawFn, binary: bool) -> str:
    """Draws one string; a `binary` one need not be UTF-8."""
    quote = draw(st.sampled_from("\"'"))
    pieces: List[str] = []
    for character in draw(st.text(characters, max_size=5)):
        code = ord(character)
        spellings = [f"\\U{code:08x}"] + ([f"\\u{code:04X}"] if code < 0x10000 else [])
        if code < 0x80:
            spellings += [f"\\{code:03o}", f"\\x{code:02x}"]
        if character not in "\\\n" + quote:
            spellings.append(character)
        pieces.append(draw(st.sampled_from(spellings)))
    pieces += draw(st.lists(st.sampled_from(["\\n", "\\t", "\\r", "\\a", "\\b", "\\f", "\\v", "\\\\", "\\'", '\\"'])))
    if binary:
        pieces += draw(st.lists(st.integers(0x80, 0xFF).map("\\{:03o}".format), max_size=2))
    return quote + "".join(pieces) + quote


def _joined(pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(pieces, trivia).map("".join), min_size=1, max_size=3).map(lambda all_of: "".join(all_of))


def scalars(name: str) -> st.SearchStrategy[str]:
    """Draws a value of a field, in any of its spellings."""
    if name in INTEGERS:
        return st.integers(*INTEGERS[name]).flatmap(_integer_spellings)
    if name in ("a_double", "a_float"):
        words = st.sampled_from(
            ["inf", "-inf", "nan", "-nan", "Infinity", "-INF", "inff", ".5", "1.", "-.5e3", "7.f", "0"]
        )
        return words | st.floats(allow_nan=False, allow_infinity=False, width=32).flatmap(_float_spellings)
    return {
        "a_bool": st.sampled_from(["true", "false", "True", "False", "t", "f", "1", "0"]),
        "a_string": _joined(quoted(False)),
        "a_bytes": _joined(quoted(True)),
        "an_enum": st.sampled_from(["RED", "GREEN", "inf", "1", "0x2"]),
    }[name]


@st.composite
def _fields(draw: st.DrawFn, depth: int) -> str:
    name = draw(st.sampled_from(sorted(KINDS) if depth else sorted(KINDS.keys() - {"a_message"})))
    is_list = draw(st.booleans())
    if name == "a_message":
        one, colon = messages(depth - 1), draw(st.sampled_from(["", ":"]))
    else:
        one, colon = scalars(name), ":"
    inside = [draw(trivia) + draw(one) + draw(trivia) for _ in range(draw(st.integers(0, 3)) if is_list else 1)]
    value = "[" + (",".join(inside) or draw(trivia)) + "]" if is_list else inside[0]
    return name + draw(trivia) + colon + draw(trivia) + value + draw(gaps) + draw(st.sampled_from(["", ";", ","]))


def bodies(depth: int) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(trivia, _fields(depth)).map("".join), max_size=4).map("".join)


@st.composite
def messages(draw: st.DrawFn, depth: int) -> str:
    opening, closing = draw(st.sampled_from([("{", "}"), ("<", ">")]))
    return opening + draw(bodies(depth)) + draw(trivia) + closing


texts = st.tuples(bodies(2), trivia, st.sampled_from(["", "#", "# the end"])).map("".join)
