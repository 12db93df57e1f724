"""Faults in caffe_fuse/passes/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

ACTIVATION = "passes/activation.py"
CHAIN = "passes/chain.py"
FOLD = "passes/fold.py"
MERGE = "passes/merge.py"
PROOF = "passes/proof.py"

TEST_GENERATIONS = "tests/generations/test_generations.py"
TEST_BATCH_NORM = "tests/layers/test_batch_norm.py"
TEST_FOLD = "tests/passes/test_fold.py"
TEST_SIMPLIFY = "tests/passes/test_simplify.py"
TEST_PROOF = "tests/passes/test_proof.py"
TEST_REPORT = "tests/report/test_report.py"
TEST_FINDS = "tests/test_finds.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "the ReLU inside a BatchNorm lost",
        ACTIVATION,
        "        layers += [norm, _activation_after(norm, pair[1], names)]\n",
        "        layers += [norm]\n",
        TEST_BATCH_NORM + "::test_a_relu_inside_a_folded_batch_norm_becomes_a_layer",
    ),
    Mutant(
        "a second reader ignored",
        CHAIN,
        "        if len(consumers) > 1:\n",
        "        if len(consumers) > 9:\n",
        TEST_FOLD + "::test_a_batch_norm_whose_bottom_has_more_readers_becomes_a_scale",
    ),
    Mutant(
        "the axis of the channels ignored",
        CHAIN,
        "    if axis is not None and affine.axis != axis:\n",
        "    if axis is None and affine.axis != axis:\n",
        TEST_FOLD + "::test_a_scale_of_other_axes_than_the_channels_is_refused",
    ),
    Mutant(
        "every reader is told of all the others",
        CHAIN,
        "names = few(dict.fromkeys(consumer.name for consumer in consumers))",
        'names = ", ".join(dict.fromkeys(consumer.name for consumer in consumers))',
        TEST_REPORT + "::test_what_is_told_of_a_fork_grows_with_its_readers_not_with_their_square",
    ),
    Mutant(
        "shared weights folded",
        FOLD,
        "    if sharer is not None:\n",
        "    if stranger is None and False:\n",
        TEST_FOLD + "::test_weights_shared_under_different_affines_are_refused",
    ),
    Mutant(
        "sharers of a refused layer folded all the same",
        FOLD,
        "        if not refused:\n",
        "        if True:\n",
        TEST_FOLD + "::test_where_one_sharer_turns_out_to_absorb_nothing_none_does",
    ),
    Mutant(
        "the last top lost",
        FOLD,
        "    parameter.top[0] = members[-1].tops[0]\n",
        "    parameter.top[0] = members[0].tops[0]\n",
        TEST_FOLD + "::test_the_last_top_of_a_chain_survives",
    ),
    Mutant(
        "a layer moves up past what reads its memory under another name",
        MERGE,
        "    if net.bottoms(layer)[0] in net.memory.entangled:",
        "    if False:",
        TEST_FINDS + "::test_a_fold_leaves_what_is_read_through_shared_memory",
    ),
    Mutant(
        "a Scale in a net of the V1 form",
        MERGE,
        "if norm.generation != V2:",
        "if norm.generation is None:",
        TEST_GENERATIONS + "::test_a_batch_norm_that_would_become_a_scale_is_refused_with_the_way_out",
    ),
    Mutant(
        "a parameter name kept on a converted layer",
        MERGE,
        '"scale_param", "param", "blobs"',
        '"scale_param", "blobs"',
        TEST_FOLD + "::test_a_converted_layer_keeps_no_parameter_name",
    ),
    Mutant(
        "the name of the blob in front left with another value",
        MERGE,
        "        if links[end - 1].layer.tops[0] == source:\n",
        "        if links[end - 1].layer.tops[0] is None:\n",
        TEST_FOLD + "::test_a_chain_that_overwrites_the_blob_it_reads_ends_there",
    ),
    Mutant(
        "infinity passes the proof",
        PROOF,
        " < bound)",
        " <= bound)",
        TEST_PROOF + "::test_a_number_that_is_not_finite_is_found",
    ),
    Mutant(
        "a folded layer has the range of its own old top",
        "passes/rewrite.py",
        "last = rewrite.before[-1]\n            found",
        "last = rewrite.before[0]\n            found",
        "tests/ranges/test_prediction.py",
    ),
    Mutant(
        "an identity whose name an output has removed",
        "passes/simplify.py",
        "        if len(tops) > 1 or not _only_way(progress, bottom, names):\n",
        "        if False:\n",
        TEST_SIMPLIFY + "::test_a_split_of_an_output_stays",
    ),
    Mutant(
        "a layer in place gives its blob another name",
        "passes/simplify.py",
        "            return value.version == 0\n",
        "            return True\n",
        TEST_SIMPLIFY + "::test_a_layer_in_place_cannot_give_its_blob_the_name_of_the_output",
    ),
    Mutant(
        "memory that an in-place layer writes ignored",
        "passes/simplify.py",
        "    if layer.shares_memory and net.memory.is_overwritten(bottom):\n",
        "    if False:\n",
        TEST_SIMPLIFY + "::test_a_flatten_that_shares_memory_with_a_layer_in_place_stays",
    ),
    Mutant(
        "what only a Silence reads becomes an output",
        "passes/simplify.py",
        "    return any(_all_in(net.consumers(value), gone) for value in left)\n",
        "    return False\n",
        TEST_SIMPLIFY + "::test_a_silence_stays_for_what_would_be_an_output",
    ),
    Mutant(
        "a Flatten to another shape taken for an identity",
        "passes/simplify.py",
        "all(net.shapes[top] == shape for top in net.tops(layer))",
        "True",
        TEST_SIMPLIFY + "::test_a_flatten_that_changes_the_shape_stays",
    ),
)
