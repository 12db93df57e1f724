"""Faults in caffe_fuse/schema/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

MESSAGES = "schema/messages.py"
NAMES = "schema/names.py"

TEST_NAMES = "tests/schema/test_names.py"
TEST_SCHEMA = "tests/schema/test_schema.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "of a list with a wrong value the first ones count",
        MESSAGES,
        "            getattr(message, name).extend([convert(self._scalar(value, name)) for value in values])\n",
        "            for value in values:\n"
        "                getattr(message, name).append(convert(self._scalar(value, name)))\n",
        TEST_SCHEMA + "::test_of_a_list_with_a_wrong_value_nothing_is_taken",
    ),
    Mutant(
        "fields of other Caffes inside a message stay",
        MESSAGES,
        "            message.ClearField(field.name)\n        elif field.message_type is not None:\n",
        "            message.ClearField(field.name)\n        elif field.message_type is None:\n",
        TEST_SCHEMA + "::test_a_copy_for_a_file_has_only_fields_that_bvlc_caffe_has",
    ),
    Mutant(
        "an int32 may be 2^31",
        MESSAGES,
        "field.TYPE_INT32: lambda scalar: scalar.integer(-(2**31), 2**31 - 1)",
        "field.TYPE_INT32: lambda scalar: scalar.integer(-(2**31), 2**31)",
        TEST_SCHEMA + "::test_a_wrong_value_is_an_error_with_its_place",
    ),
    Mutant(
        "an empty message is none",
        MESSAGES,
        "        part.SetInParent()\n",
        "",
        TEST_SCHEMA + "::test_a_message_without_fields_is_present",
    ),
    Mutant(
        "letters are taken for an escaped byte",
        NAMES,
        '_BACKSLASH.sub(rb"\\\\x5c", name)',
        "name",
        TEST_NAMES + "::test_letters_that_look_like_an_escaped_byte_stay_letters",
    ),
    Mutant(
        "a name with an escaped byte is written as its letters",
        NAMES,
        "bytes.fromhex(match.group()[2:].decode())",
        "match.group()",
        TEST_NAMES + "::test_a_name_is_written_as_it_was_read",
    ),
)
