"""Faults in caffe_fuse/protobuf/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

TEXT = "protobuf/text.py"
TEXT_EDIT = "protobuf/text_edit.py"
TEXT_GRAMMAR = "protobuf/text_grammar.py"
TEXT_SCALAR = "protobuf/text_scalar.py"
WIRE = "protobuf/wire.py"

TEST_TEXT = "tests/protobuf/test_text.py"
TEST_TEXT_EDIT = "tests/protobuf/test_text_edit.py"
TEST_WIRE = "tests/protobuf/test_wire.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "a deletion in a deletion brings its end back",
        TEXT,
        "done, written = max(done, edit.end), edit.text",
        "done, written = edit.end, edit.text",
        TEST_TEXT + "::test_deletions_may_overlap",
    ),
    Mutant(
        "of several values the first counts",
        TEXT,
        "return values[-1] if values else None",
        "return values[0] if values else None",
        TEST_TEXT + "::test_all_values_of_a_name_are_found_in_order_and_the_last_counts",
    ),
    Mutant(
        "the last line has to end with a newline",
        TEXT_EDIT,
        'rb"[ \\t]*(?:\\r?\\n|\\Z)"',
        'rb"[ \\t]*\\r?\\n"',
        TEST_TEXT_EDIT + "::test_a_field_goes_that_is",
    ),
    Mutant(
        "a comment indents the file",
        TEXT_EDIT,
        'rb"\\n([ \\t]+)[A-Za-z_]"',
        'rb"\\n([ \\t]+)"',
        TEST_TEXT_EDIT + "::test_a_message_is_indented_as_the_file_is",
    ),
    Mutant(
        "new lines end without a carriage return",
        TEXT_EDIT,
        'return b"\\r\\n" if end > 0 and',
        'return b"\\n" if end > 0 and',
        TEST_TEXT_EDIT + "::test_a_field_is_appended_to_a_message_with",
    ),
    Mutant(
        "a line with a carriage return never ends",
        TEXT_EDIT,
        'rb"[ \\t]*(?:\\r?\\n|\\Z)"',
        'rb"[ \\t]*(?:\\n|\\Z)"',
        TEST_TEXT_EDIT + "::test_a_field_goes_that_is",
    ),
    Mutant(
        "what is inserted behind a comment parts its carriage return",
        TEXT_EDIT,
        "(?:\\#[^\\r\\n]*)?",
        "(?:\\#[^\\n]*)?",
        TEST_TEXT_EDIT + "::test_a_field_is_appended_to_a_message_with",
    ),
    Mutant(
        "a name runs into the number before it",
        TEXT_EDIT,
        'b" " if document.source[field.end : field.end + 1].isalnum() else b""',
        'b""',
        TEST_TEXT_EDIT + "::test_a_field_in_a_line_takes_the_place_of_another",
    ),
    Mutant(
        "a byte order mark is an indent",
        TEXT_EDIT,
        "document.source[max(start, document.root.body_start) : offset]",
        "document.source[start:offset]",
        TEST_TEXT_EDIT + "::test_a_field_goes_that_is",
    ),
    Mutant(
        "a comment before a separator goes with its field",
        TEXT_EDIT,
        "end, kept = separator.end(), separator.group(1).strip(_SPACE)",
        "end = separator.end()",
        TEST_TEXT_EDIT + "::test_a_field_goes_that_is",
    ),
    Mutant(
        "a separator parts from its field",
        TEXT_EDIT,
        "place = _end(_NEAR_SEPARATOR, source, field.end)",
        "place = field.end",
        TEST_TEXT_EDIT + "::test_a_field_is_appended_to_a_message_with",
    ),
    Mutant(
        "no plus in an exponent",
        TEXT_GRAMMAR,
        "(?:[eE][+-]?[0-9]+)?[fF]?",
        "(?:[eE]-?[0-9]+)?[fF]?",
        TEST_TEXT + "::test_a_float",
    ),
    Mutant(
        "an angle bracket closed by a brace",
        TEXT_GRAMMAR,
        'b"<": b">"',
        'b"<": b"}"',
        TEST_TEXT + "::test_the_tree_of",
    ),
    Mutant(
        "a number runs into a word",
        TEXT_GRAMMAR,
        '    rb"(?![A-Za-z0-9_.])"\n',
        '    rb""\n',
        TEST_TEXT + "::test_what_is_no_protobuf_text_is_an_error_with_its_place",
    ),
    Mutant(
        "any number of separators",
        TEXT_GRAMMAR,
        'rb"(?:[;,]" + BLANK + rb")?"',
        'rb"(?:[;,]" + BLANK + rb")*"',
        TEST_TEXT + "::test_what_is_no_protobuf_text_is_an_error_with_its_place",
    ),
    Mutant(
        "a comma before the end of a list",
        TEXT_GRAMMAR,
        'rb"(?![\\]\\#\\s])|',
        'rb"|',
        TEST_TEXT + "::test_what_is_no_protobuf_text_is_an_error_with_its_place",
    ),
    Mutant(
        "08 is a number",
        TEXT_GRAMMAR,
        "(?:0|[1-9][0-9]*)(?:",
        "(?:[0-9]+)(?:",
        TEST_TEXT + "::test_what_is_no_protobuf_text_is_an_error_with_its_place",
    ),
    Mutant(
        "a comment between two strings is a string",
        TEXT_SCALAR,
        'for piece in pieces if piece[:1] != b"#")',
        "for piece in pieces)",
        TEST_TEXT + "::test_a_string",
    ),
    Mutant(
        "octal escapes of two digits",
        TEXT_SCALAR,
        "([0-7]{1,3})",
        "([0-7]{1,2})",
        TEST_TEXT + "::test_a_string",
    ),
    Mutant(
        "octal numbers read as decimal ones",
        TEXT_SCALAR,
        '8 if digits[0] == "0" else 10',
        "10",
        TEST_TEXT + "::test_an_integer",
    ),
    Mutant(
        "the smallest and the largest integer are out of range",
        TEXT_SCALAR,
        "minimum <= value <= maximum",
        "minimum < value < maximum",
        TEST_TEXT + "::test_an_integer",
    ),
    Mutant(
        "the sign of a float lost",
        TEXT_SCALAR,
        "return -number if match.group(1) else number",
        "return number",
        TEST_TEXT + "::test_a_float",
    ),
    Mutant(
        "t and f are no booleans",
        TEXT_SCALAR,
        '("true", "True", "t", "1")',
        '("true", "True", "1")',
        TEST_TEXT + "::test_booleans",
    ),
    Mutant(
        "columns count bytes",
        TEXT_SCALAR,
        'len(self.source[self._lines[line - 1] : offset].decode("utf-8", "replace")) + 1',
        "len(self.source[self._lines[line - 1] : offset]) + 1",
        TEST_TEXT + "::test_places_count_lines_and_characters_from_one",
    ),
    Mutant(
        "half a character of two escapes is one",
        TEXT_SCALAR,
        "((?:u[0-9a-fA-F]{4}\\\\)*u[0-9a-fA-F]{4}",
        "(u[0-9a-fA-F]{4}",
        TEST_TEXT + "::test_a_string",
    ),
    Mutant(
        "numbers whose key takes two bytes taken for one run",
        WIRE,
        "    if first.value_start - first.start != 1:\n        return first\n",
        "",
        TEST_WIRE + "::test_numbers_whose_key_takes_two_bytes_are_fields_of_their_own",
    ),
    Mutant(
        "a field may end behind its message",
        WIRE,
        "    if value_end > end:\n",
        "    if value_end > source.size:\n",
        TEST_WIRE + "::test_a_field_ends_within_its_message_though_the_file_goes_on",
    ),
    Mutant(
        "a varint of nine bytes at most",
        WIRE,
        "_LONGEST_VARINT = 10",
        "_LONGEST_VARINT = 9",
        TEST_WIRE + "::test_varints_are_those_of_the_specification",
    ),
    Mutant(
        "a negative number of 32 bits",
        WIRE,
        "return value - (1 << 64) if value >> 63 else value",
        "return value - (1 << 32) if value >> 31 else value",
        TEST_WIRE + "::test_negative_numbers_are_varints_of_64_bits",
    ),
    Mutant(
        "a varint of more than 64 bits",
        WIRE,
        "            if value >> 64:\n                break\n",
        "",
        TEST_WIRE + "::test_a_varint_of_more_than_64_bits_is_refused",
    ),
    Mutant(
        "a key of more than 32 bits",
        WIRE,
        "number == 0 or key >> 32",
        "number == 0",
        TEST_WIRE + "::test_corrupt_messages_are_refused_with_their_byte",
    ),
    Mutant(
        "127 takes two bytes",
        WIRE,
        "while value > 0x7F:",
        "while value >= 0x7F:",
        TEST_WIRE + "::test_varints_are_those_of_the_specification",
    ),
    Mutant(
        "a piece that crosses the window is cut",
        WIRE,
        "offset < 0 or offset + end - start > len(self.window)",
        "offset < 0 or offset >= len(self.window)",
        TEST_WIRE + "::test_any_place_of_a_file_reads_as_from_memory",
    ),
    Mutant(
        "a short field may end after its message",
        WIRE,
        "value_start, value_end) if value_end <= end else None",
        "value_start, value_end)",
        TEST_WIRE,
    ),
    Mutant(
        "of a length in two bytes the second is lost",
        WIRE,
        "length & 0x7F | following << 7, start + 3",
        "length & 0x7F, start + 3",
        TEST_WIRE,
    ),
    Mutant(
        "a short read begins again",
        WIRE,
        "            start += count\n",
        "",
        TEST_WIRE + "::test_a_file_that_shrinks_while_it_is_open_is_an_input_error",
    ),
    Mutant(
        "a group ends with any number",
        WIRE,
        "field.wire_type == GROUP_END and open_numbers.pop() != field.number",
        "field.wire_type == GROUP_END and not open_numbers.pop()",
        TEST_WIRE + "::test_corrupt_messages_are_refused_with_their_byte",
    ),
)
