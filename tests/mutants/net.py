"""Faults in caffe_fuse/net/."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

BIND = "net/bind.py"
BN_DIALECT = "net/bn_dialect.py"
BUILD = "net/build.py"
FILLERS = "net/fillers.py"
GRAPH = "net/graph.py"
SCALE_GROUPS = "net/scale_groups.py"
SIZES = "net/sizes.py"
STATE = "net/state.py"

TEST_BATCH_NORM = "tests/layers/test_batch_norm.py"
TEST_BIND = "tests/net/test_bind.py"
TEST_FILLERS = "tests/net/test_fillers.py"
TEST_NET = "tests/net/test_net.py"
TEST_SIZES = "tests/net/test_sizes.py"
TEST_FOLD = "tests/passes/test_fold.py"
TEST_POWERS = "tests/rescale/test_powers.py"
TEST_FINDS = "tests/test_finds.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "blobs that the net has no place for are let pass",
        BIND,
        "        return [] if layer.layer_type is not None and",
        "        return None if layer.layer_type is not None and",
        TEST_FILLERS + "::test_blobs_of_a_layer_that_has_none_are_an_error",
    ),
    Mutant(
        "a plan reads a stand-in for weights number by number",
        BIND,
        "        yield self._flat[:1]",
        "        yield from super()._chunks(_read)",
        "tests/test_hostile.py",
    ),
    Mutant(
        "HDF5 binds to the first layer of a name",
        BIND,
        "reversed(net.layers) if weights.binds_last else net.layers",
        "net.layers",
        "tests/weights/test_formats.py",
    ),
    Mutant(
        "the first record of shared numbers wins",
        BIND,
        "        shared = max(stored, key=lambda pair: pair[0])[1]\n",
        "        shared = min(stored, key=lambda pair: pair[0])[1]\n",
        TEST_BIND + "::test_of_shared_blobs_the_record_that_was_read_last_wins",
    ),
    Mutant(
        "the stored statistics are taken and the net does not say so",
        BN_DIALECT,
        "    parameter.batch_norm_param.use_global_stats = True\n",
        "",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "five blobs read as NVIDIA's before Intel's has been looked at",
        BN_DIALECT,
        "            if not any(all(_agree(one, dialect, layer) for layer in layers) for one in fitting):\n",
        "            if not fitting:\n",
        TEST_BATCH_NORM + "::test_a_dialect_that_is_not_told_is_refused_and_the_flag_is_named",
    ),
    Mutant(
        "a dialect decided by one layer of the net",
        BN_DIALECT,
        "            chosen = _candidates(type_name, stored) if stored else",
        "            chosen = _candidates(row, stored[-1:]) if stored else",
        TEST_BATCH_NORM + "::test_one_layer_settles_the_dialect_of_all",
    ),
    Mutant(
        "an unknown type not told",
        BUILD,
        "        if layer.layer_type is None:\n            strange",
        "        if False:\n            strange",
        TEST_SIZES + "::test_an_unknown_type_is_told_with_the_one_that_was_meant",
    ),
    Mutant(
        "a filler of chance taken for a constant",
        FILLERS,
        '    if filler.type == "constant":\n',
        '    if filler.type != "bilinear":\n',
        TEST_FILLERS + "::test_numbers_of_chance_and_fillers_that_nobody_named_are_missing",
    ),
    Mutant(
        "a top of two layers taken for a second version",
        GRAPH,
        "    return layer.bottoms[place : place + 1] == layer.tops[place : place + 1] and len(consumers) == 1\n",
        "    return True\n",
        TEST_FINDS + "::test_what_caffe_stops_at_is_an_error",
    ),
    Mutant(
        "in place beside another reader",
        GRAPH,
        " == layer.tops[place : place + 1] and len(consumers) == 1\n",
        " == layer.tops[place : place + 1]\n",
        TEST_FINDS + "::test_a_layer_in_place_has_to_be_the_only_reader",
    ),
    Mutant(
        "a bottom taken for the first version of its blob",
        GRAPH,
        "        bottoms[layer.index] = tuple(newest[name] for name in layer.bottoms)\n",
        "        bottoms[layer.index] = tuple(Value(name, 0) for name in layer.bottoms)\n",
        TEST_NET + "::test_a_bottom_means_the_newest_version_before_it",
    ),
    Mutant(
        "powers of two pass through memory that a layer changes in place",
        SCALE_GROUPS,
        "        elif value in net.memory.entangled:\n",
        "        elif False:\n",
        TEST_FINDS + "::test_no_power_of_two_passes_through_memory_that_is_changed_in_place",
    ),
    Mutant(
        "powers of two move numbers that are not finite",
        SCALE_GROUPS,
        "if layer.index in not_finite:",
        "if layer.index in not_finite and not moved.blobs:",
        "tests/test_hostile.py",
    ),
    Mutant(
        "shared numbers not pinned",
        SCALE_GROUPS,
        "    if net.shared_with(layer) or",
        "    if",
        TEST_POWERS + "::test_what_pins_a_blob_is_the_reason",
    ),
    Mutant(
        "a blob that is to stay not pinned",
        SCALE_GROUPS,
        "        if value.blob in keep_blobs:\n",
        "        if value.blob is None:\n",
        TEST_POWERS + "::test_what_pins_a_blob_is_the_reason",
    ),
    Mutant(
        "an output of the net not pinned",
        SCALE_GROUPS,
        "        elif value in net.outputs:\n",
        "        elif value is None:\n",
        TEST_POWERS + "::test_what_pins_a_blob_is_the_reason",
    ),
    Mutant(
        "a layer may lack a bottom where sizes are in doubt",
        SIZES,
        "isinstance(error, MissingBottom) or ",
        "",
        "tests/test_hostile.py",
    ),
    Mutant(
        "a conflict of sizes forgiven where nothing is in doubt",
        SIZES,
        "if doubt is None or isinstance(error, MissingBottom)",
        "if isinstance(error, MissingBottom)",
        TEST_SIZES + "::test_the_same_conflict_is_an_error_where_all_is_read",
    ),
    Mutant(
        "the stages of the net's own state not read",
        STATE,
        "stages=asked.stages.union(own.stage)",
        "stages=asked.stages",
        TEST_FINDS + "::test_the_stages_of_the_net_itself_count",
    ),
    Mutant(
        "the rules of phases ignored",
        STATE,
        '    if rule.HasField("phase") and rule.phase != schema.PHASES[state.phase]:\n',
        '    if rule.HasField("phase") and rule.phase is None:\n',
        TEST_FOLD + "::test_a_twin_for_training_goes_with_its_batch_norm",
    ),
    Mutant(
        "a path with a brace is a text",
        "net/load.py",
        "if _TEXT_OF_A_NET.search(given) and not os.path.exists(given):",
        'if "{" in given:',
        "tests/test_arguments.py",
    ),
)
