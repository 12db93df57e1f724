"""Faults in caffe_fuse/weights/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

BLOBPROTO = "weights/blobproto.py"
CAFFEMODEL = "weights/caffemodel.py"
CAFFEMODEL_WRITER = "weights/caffemodel_writer.py"
HDF5 = "weights/hdf5.py"
HDF5_WRITER = "weights/hdf5_writer.py"

TEST_GENERATIONS = "tests/generations/test_generations.py"
TEST_BLOBPROTO = "tests/weights/test_blobproto.py"
TEST_CAFFEMODEL = "tests/weights/test_caffemodel.py"
TEST_HDF5 = "tests/weights/test_hdf5.py"
TEST_WRITER = "tests/weights/test_writer.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "a scalar has a size",
        BLOBPROTO,
        'wire.delimited(_DIM, dims) if dims else b"")',
        "wire.delimited(_DIM, dims))",
        TEST_BLOBPROTO + "::test_a_shape_is_encoded_as_protobuf_does",
    ),
    Mutant(
        "numbers with a key each taken for packed ones",
        BLOBPROTO,
        "Span(field.value_start, field.repeats, field.stride)",
        "Span(field.value_start, field.repeats, width)",
        TEST_BLOBPROTO + "::test_a_fold_reads_every_encoding_and_writes_float32_while_others_stay_as_they_are",
    ),
    Mutant(
        "raw floats taken for doubles",
        BLOBPROTO,
        "{0: FLOAT64, 1: FLOAT32,",
        "{1: FLOAT64, 0: FLOAT32,",
        TEST_BLOBPROTO + "::test_a_fold_reads_every_encoding_and_writes_float32_while_others_stay_as_they_are",
    ),
    Mutant(
        "the bias of a V0 record not said",
        CAFFEMODEL_WRITER,
        "        if generation.nested:\n            exchanged[generation.bias_term]",
        "        if False:\n            exchanged[generation.bias_term]",
        TEST_GENERATIONS + "::test_a_v0_net_stays_one_and_only_what_changes_is_edited",
    ),
    Mutant(
        "a soft link is followed anywhere in the file",
        HDF5,
        'if target.startswith(b"/") and steps[:1] != [b"data"]:',
        "if not steps:",
        TEST_HDF5,
    ),
    Mutant(
        "a dataset is believed to hold what its shape says",
        HDF5,
        "if size > held * densest:",
        "if size < 0:",
        TEST_HDF5,
    ),
    Mutant(
        "the first of two names of a layer counts",
        CAFFEMODEL,
        "_texts(source, inner, generation.name)[-1:]",
        "_texts(source, inner, generation.name)[:1]",
        TEST_CAFFEMODEL + "::TestRead::test_of_two_names_and_types_the_last_counts_as_for_protobuf",
    ),
    Mutant(
        "a negative type of V1",
        CAFFEMODEL,
        "types.from_v1(wire.signed(wire.varint(source, field.value_start, field.end)[0]))",
        "types.from_v1(wire.varint(source, field.value_start, field.end)[0])",
        TEST_CAFFEMODEL + "::TestRead::test_a_v1_type_below_0_is_its_number",
    ),
    Mutant(
        "the first of two heights counts",
        BLOBPROTO,
        "_integer(source, found[-1]) if found else 0",
        "_integer(source, found[0]) if found else 0",
        TEST_CAFFEMODEL + "::TestBlobs::test_shapes_are_read_in_every_form",
    ),
    Mutant(
        "half a number at the end forgiven",
        BLOBPROTO,
        "            if size % width:\n",
        "            if size % 2:\n",
        TEST_CAFFEMODEL + "::TestBlobs::test_numbers_cut_in_the_middle_are_refused",
    ),
    Mutant(
        "the first piece of raw data counts",
        BLOBPROTO,
        "payloads[-1].value_start, payloads[-1].end",
        "payloads[0].value_start, payloads[0].end",
        TEST_CAFFEMODEL + "::TestBlobs::test_of_two_pieces_of_raw_data_the_last_counts_as_for_protobuf",
    ),
    Mutant(
        "a long copy is written over its first piece",
        CAFFEMODEL_WRITER,
        "out(offset + start - piece.start, part)",
        "out(offset, part)",
        TEST_WRITER + "::TestLong::test_a_long_layer_that_is_kept_is_the_same",
    ),
    Mutant(
        "doubles are written four bytes apart",
        CAFFEMODEL_WRITER,
        "offset + blob.dtype.itemsize * written",
        "offset + 4 * written",
        TEST_WRITER + "::TestLong::test_numbers_of_several_chunks_follow_each_other",
    ),
    Mutant(
        "a file of 2 GB less a byte is too large",
        CAFFEMODEL_WRITER,
        "if size > LARGEST_FILE:",
        "if size >= LARGEST_FILE:",
        TEST_WRITER + "::TestLimits::test_the_largest_file_is_one_that_caffe_reads",
    ),
    Mutant(
        "layers of both generations are one net",
        CAFFEMODEL,
        "if len(numbers) != 1:",
        "if not numbers:",
        TEST_CAFFEMODEL + "::TestRead::test_layers_of_two_generations_are_refused",
    ),
    Mutant(
        "the layer where a file is cut off is not named",
        CAFFEMODEL,
        "field.number == generation.name and field.wire_type == DELIMITED:\n                what",
        "field.number == generation.type and field.wire_type == DELIMITED:\n                what",
        TEST_CAFFEMODEL + "::TestRead::test_a_truncated_file_names_the_byte_and_the_layer_if_it_can",
    ),
    Mutant(
        "data goes before double_data",
        BLOBPROTO,
        "        _Values(_spans(fields, _DOUBLE_DATA, FIXED64, where), FLOAT64),\n"
        "        _Values(_spans(fields, _DATA, FIXED32, where), FLOAT32),\n",
        "        _Values(_spans(fields, _DATA, FIXED32, where), FLOAT32),\n"
        "        _Values(_spans(fields, _DOUBLE_DATA, FIXED64, where), FLOAT64),\n",
        TEST_BLOBPROTO + "::test_a_fold_reads_every_encoding_and_writes_float32_while_others_stay_as_they_are",
    ),
    Mutant(
        "a size that the old shape leaves out is 1",
        BLOBPROTO,
        "_integer(source, found[-1]) if found else 0",
        "_integer(source, found[-1]) if found else 1",
        TEST_CAFFEMODEL + "::TestBlobs::test_shapes_that_cannot_be_are_refused",
    ),
    Mutant(
        "sizes with a key each ignored",
        BLOBPROTO,
        "        if field.wire_type == VARINT:\n            yield",
        "        if field.wire_type == FIXED32:\n            yield",
        TEST_CAFFEMODEL + "::TestBlobs::test_shapes_are_read_in_every_form",
    ),
    Mutant(
        "33 axes",
        BLOBPROTO,
        "len(dims) > _MOST_AXES or",
        "len(dims) > _MOST_AXES + 1 or",
        TEST_CAFFEMODEL + "::TestBlobs::test_shapes_that_cannot_be_are_refused",
    ),
    Mutant(
        "numbers of the other byte order read as they lie",
        HDF5,
        "return _Kind(dtype, stored == native)",
        "return _Kind(dtype, True)",
        TEST_HDF5 + "::TestRead::test_numbers_of_any_type_and_layout_are_read",
    ),
    Mutant(
        "blob 10 before blob 2",
        HDF5,
        'listed = [blobs.get(place) or Absent(f"{where}, blob {place}") '
        "for place in range(max(blobs, default=-1) + 1)]",
        "listed = list(blobs.values())",
        TEST_HDF5 + "::TestRead::test_a_missing_number_is_absent_until_it_is_used",
    ),
    Mutant(
        "integers are float32",
        HDF5,
        "return _Kind(FLOAT64, False)",
        "return _Kind(FLOAT32, False)",
        TEST_HDF5 + "::TestRead::test_numbers_of_any_type_and_layout_are_read",
    ),
    Mutant(
        "the last piece of a dataset left out",
        HDF5,
        "for first in range(0, shape[axis], step):",
        "for first in range(0, shape[axis] - step + 1, step):",
        TEST_HDF5 + "::TestRead::test_numbers_of_any_type_and_layout_are_read",
    ),
    Mutant(
        "the first number of the next piece taken",
        HDF5,
        "np.searchsorted(indices, (first, first + len(chunk)))",
        'np.searchsorted(indices, (first, first + len(chunk)), side="right")',
        TEST_HDF5 + "::TestRead::test_large_blobs_come_in_chunks_in_their_order",
    ),
    Mutant(
        "an error of HDF5 swallowed",
        HDF5,
        "    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:",
        "    except (OSError, KeyError, ValueError, TypeError) as error:",
        TEST_HDF5 + "::TestRefused::test_damage_is_an_input_error",
    ),
    Mutant(
        "a second record of a name takes the numbers of the first",
        HDF5_WRITER,
        "layer.blobs or layers.get(name, ())",
        "layer.blobs",
        TEST_HDF5 + "::TestWrite::test_of_two_records_with_one_name_the_last_with_numbers_counts",
    ),
    Mutant(
        "an old shape for any number of axes",
        CAFFEMODEL_WRITER,
        "legacy and len(blob.shape) <= 4",
        "legacy",
        TEST_WRITER + "::TestLegacyShapes::test_a_blob_of_more_axes_has_a_shape",
    ),
    Mutant(
        "both forms of shapes in one record",
        CAFFEMODEL_WRITER,
        "legacy and len(blob.shape) <= 4",
        "legacy and len(blob.shape) == 4",
        TEST_WRITER + "::TestLegacyShapes::test_a_blob_of_fewer_axes_is_in_the_form_of_the_others",
    ),
    Mutant(
        "bias_term stands twice",
        CAFFEMODEL_WRITER,
        "for field in fields_of(source, parameter) if field.number != generation.bias_term]",
        "for field in fields_of(source, parameter)]",
        TEST_WRITER + "::TestRewritten::test_bias_term_is_there_once",
    ),
    Mutant(
        "a new layer at the start stands at the end",
        CAFFEMODEL_WRITER,
        "            copied = end\n        for entry in added",
        "            copied = start\n        for entry in added",
        TEST_WRITER + "::TestKept::test_a_layer_that_is_rewritten_without_a_change_is_the_same",
    ),
)
