"""Faults in caffe_fuse/emit/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

DROPPED = "emit/dropped.py"
FORMATS = "emit/formats.py"
RECORDS = "emit/records.py"
TEXT = "emit/text.py"

TEST_EMIT = "tests/emit/test_emit.py"
TEST_MESSAGE_EDITS = "tests/emit/test_message_edits.py"
TEST_BATCH_NORM = "tests/layers/test_batch_norm.py"
TEST_FOLD = "tests/passes/test_fold.py"

TEST_TARGET_FILES = "tests/targets/test_files_and_names.py"
TEST_DEMANDS = "tests/targets/test_demands.py"
MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "layers of another phase never dropped",
        DROPPED,
        "        if reads or writes or layer.name in gone:\n",
        "        if False:\n",
        TEST_FOLD + "::test_a_layer_of_another_phase_that_reads_inside_a_folded_chain_is_dropped",
    ),
    Mutant(
        "HDF5 holds shared numbers at their last user",
        FORMATS,
        "for layer, place in pairs[1:]}",
        "for layer, place in pairs[:-1]}",
        "tests/weights/test_formats.py",
    ),
    Mutant(
        "a new layer at the end of the weight file",
        RECORDS,
        "    return places[-1] + 1 if places else 0",
        "    return len(entries)",
        TEST_BATCH_NORM + "::test_a_relu_inside_a_converted_batch_norm_follows_the_scale",
    ),
    Mutant(
        "the old record of a changed layer kept",
        RECORDS,
        "            record.name in taken ",
        "            record.name is taken ",
        TEST_EMIT + "::test_of_two_records_of_a_changed_layer_one_is_left",
    ),
    Mutant(
        "of several values the first is changed",
        TEXT,
        "zip(values[-len(pairs) :], pairs)",
        "zip(values[: len(pairs)], pairs)",
        TEST_MESSAGE_EDITS + "::test_a_field_that_changes",
    ),
    Mutant(
        "a float is written with the digits of a double",
        TEXT,
        "str(np.float32(value))",
        "str(value)",
        TEST_MESSAGE_EDITS + "::test_a_field_that_changes",
    ),
    Mutant(
        "a whole number of a float keeps its point",
        TEXT,
        'return text[: -len(".0")].encode() if text.endswith(".0") else text.encode()',
        "return text.encode()",
        TEST_MESSAGE_EDITS + "::test_a_field_that_changes",
    ),
    Mutant(
        "a control character of two octal digits",
        TEXT,
        'f"\\\\{ord(match.group()):03o}"',
        'f"\\\\{ord(match.group()):o}"',
        TEST_MESSAGE_EDITS + "::test_a_field_that_changes",
    ),
    Mutant(
        "an enum is written as its number",
        TEXT,
        "str(field.enum_type.values_by_number[value].name).encode()",
        "str(value).encode()",
        TEST_MESSAGE_EDITS + "::test_a_field_that_changes",
    ),
    Mutant(
        "two fields on one line leave it blank",
        TEXT,
        '.strip(b" \\t;,"):',
        '.strip(b" \\t"):',
        TEST_MESSAGE_EDITS + "::test_fields_that_go_leave_no_blank_line",
    ),
    Mutant(
        "a new layer on one line where the old ones have several",
        TEXT,
        'on_one_line = b"\\n" not in document.source[layer.field.start : layer.field.end]',
        "on_one_line = True",
        TEST_EMIT + "::test_a_new_layer_has_lines_where_the_one_before_it_has",
    ),
    Mutant(
        "what is added takes the place of any field",
        TEXT,
        "(not _is_message(old[field.name]), -field.start)",
        "-field.start",
        TEST_MESSAGE_EDITS + "::test_what_is_new_takes_the_place_of_a_message_that_goes",
    ),
    Mutant(
        "a string has other quotes",
        TEXT,
        "_spelled(field, now, value.text[:1])",
        "_spelled(field, now)",
        TEST_EMIT + "::test_only_what_changes_is_edited",
    ),
    Mutant(
        "a line break stands in a string",
        TEXT,
        '.replace("\\n", "\\\\n")',
        "",
        TEST_EMIT + "::test_names_are_escaped_as_the_text_wants_it",
    ),
    Mutant(
        "Input layers left where the tool wants fields",
        "emit/text.py",
        "        elif now in as_fields:\n",
        "        elif False:\n",
        TEST_TARGET_FILES + "::test_input_layers_become_fields",
    ),
    Mutant(
        "one shape for two inputs written once",
        "emit/text.py",
        "    for shape in shapes * (len(layer.tops) if len(shapes) == 1 else 1):\n",
        "    for shape in shapes:\n",
        TEST_TARGET_FILES + "::test_input_layers_become_fields",
    ),
    Mutant(
        "a record under the old name of its layer",
        "emit/records.py",
        "    names = (was.name, was.bottoms, was.tops) != (now.name, now.bottoms, now.tops)\n",
        "    names = (was.bottoms, was.tops) != (now.bottoms, now.tops)\n",
        TEST_TARGET_FILES + "::test_a_layer_keeps_its_weights_under_its_new_name",
    ),
    Mutant(
        "the record of a name that its layer has no more",
        "emit/records.py",
        "            or (record.name in left and record.index not in left[record.name])\n",
        "",
        TEST_TARGET_FILES + "::test_of_two_layers_with_one_name_that_with_weights_keeps_it",
    ),
    Mutant(
        "a record of another type with the fields of the old one",
        "emit/records.py",
        "        parameters=_parameters(now, (*_NAMED, *_CONDITIONS)) if retyped else None,\n",
        "        parameters=None,\n",
        TEST_DEMANDS + "::test_a_scale_alone_is_a_pointwise_convolution",
    ),
)
