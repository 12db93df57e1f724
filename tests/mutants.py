"""Deliberate faults, and the test that detects each.

Run as a script, it copies the project, applies one fault at a time, runs its test there, and lists the survivors. The
tests judge by recorded results of Caffe, by the float64 reference, or by exact text, never by the proof of `save`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Tuple

PROJECT = Path(__file__).resolve().parent.parent
NOT_COPIED = shutil.ignore_patterns("__pycache__", ".*", "build", "dist", "demo", "*.egg-info")


class Mutant(NamedTuple):
    """In `file` (of the package), `old` occurs exactly once and becomes `new`; then `test` fails."""

    name: str
    file: str
    old: str
    new: str
    test: str


FOLD = "tests/passes/test_fold.py::"
FINDS = "tests/test_finds.py::"
VALUES = "tests/emit/test_written_values.py::test_every_number_of_a_recorded_net_is_rounded_once"
NORM = "tests/layers/test_batch_norm.py::"
READ, DIALECT, TABLE = (f"layers/batch_norm/{name}.py" for name in ("read", "dialect", "table"))
AFFINE, WEIGHTED, SCALED = "layers/affine.py", "layers/weighted.py", "blobs/scaled.py"
CONVOLUTION, INNER_PRODUCT = "layers/convolution.py", "layers/inner_product.py"
DIAGNOSIS = "tests/folding/test_diagnosis.py"
FORMATS, HDF5, OUTPUTS = "emit/formats.py", "weights/hdf5.py", "files/outputs.py"
PRINTED = "tests/cli/test_printing.py::test_no_command_prints_what_a_terminal_obeys_nor_a_line_more"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "powers of two lead out of float32",
        "rescale/rescale.py",
        "_not_finite(repair.net.layers, measures) - broken",
        "set()",
        "tests/test_hostile.py",
    ),
    Mutant(
        "a layer may lack a bottom where sizes are in doubt",
        "net/sizes.py",
        "isinstance(error, MissingBottom) or ",
        "",
        "tests/test_hostile.py",
    ),
    Mutant(
        "one number does for any number of channels",
        "layers/affine.py",
        "if any(dim != 1 for dim in covered",
        "if any(dim == 0 for dim in covered",
        "tests/test_hostile.py",
    ),
    Mutant(
        "the axis of an InnerProduct counted on its top",
        WEIGHTED,
        "known_axis(getattr(parameter, settings_name).axis, bottom)",
        "known_axis(getattr(parameter, settings_name).axis, bottom and bottom[:-1])",
        FINDS + "test_ip_negative_axis_counts_on_its_bottom",
    ),
    Mutant(
        "a top of two layers taken for a second version",
        "net/graph.py",
        "    return layer.bottoms[place : place + 1] == layer.tops[place : place + 1] and len(consumers) == 1\n",
        "    return True\n",
        FINDS + "test_what_caffe_stops_at_is_an_error",
    ),
    Mutant(
        "in place beside another reader",
        "net/graph.py",
        " == layer.tops[place : place + 1] and len(consumers) == 1\n",
        " == layer.tops[place : place + 1]\n",
        FINDS + "test_a_layer_in_place_has_to_be_the_only_reader",
    ),
    Mutant(
        "Reshape takes memory of its own",
        "execution/forward.py",
        "    return _seen_as(computed, written[home]) if home in written else computed\n",
        "    return computed\n",
        FINDS + "test_a_run_gives_what_caffe_gave",
    ),
    Mutant(
        "a layer moves up past what reads its memory under another name",
        "passes/merge.py",
        "    if net.bottoms(layer)[0] in net.memory.entangled:",
        "    if False:",
        FINDS + "test_a_fold_leaves_what_is_read_through_shared_memory",
    ),
    Mutant(
        "powers of two pass through memory that a layer changes in place",
        "net/scale_groups.py",
        "        elif value in net.memory.entangled:\n",
        "        elif False:\n",
        FINDS + "test_no_power_of_two_passes_through_memory_that_is_changed_in_place",
    ),
    Mutant(
        "a conflict of sizes forgiven where nothing is in doubt",
        "net/sizes.py",
        "if doubt is None or isinstance(error, MissingBottom)",
        "if isinstance(error, MissingBottom)",
        "tests/net/test_sizes.py::test_the_same_conflict_is_an_error_where_all_is_read",
    ),
    Mutant(
        "an unknown type not told",
        "net/build.py",
        "        if layer.layer_type is None:\n            strange",
        "        if False:\n            strange",
        "tests/net/test_sizes.py::test_an_unknown_type_is_told_with_the_one_that_was_meant",
    ),
    Mutant(
        "a filler of chance taken for a constant",
        "net/fillers.py",
        '    if filler.type == "constant":\n',
        '    if filler.type != "bilinear":\n',
        "tests/net/test_fillers.py::test_numbers_of_chance_and_fillers_that_nobody_named_are_missing",
    ),
    Mutant(
        "blobs that the net has no place for are let pass",
        "net/bind.py",
        "        return [] if layer.layer_type is not None and",
        "        return None if layer.layer_type is not None and",
        "tests/net/test_fillers.py::test_blobs_of_a_layer_that_has_none_are_an_error",
    ),
    Mutant(
        "an unknown rank taken for 4",
        "layers/shapes.py",
        "        return axis if axis >= 0 else None\n",
        "        return axis % 4\n",
        FINDS + "test_an_axis_from_the_end_of_an_unknown_rank_absorbs_nothing",
    ),
    Mutant(
        "the stages of the net's own state not read",
        "net/state.py",
        "stages=asked.stages.union(own.stage)",
        "stages=asked.stages",
        FINDS + "test_the_stages_of_the_net_itself_count",
    ),
    Mutant(
        "an answer that half precision loses is safe",
        "judging/outcome.py",
        "(*differing(self.first_difference), *answering(self.after, self.min_snr, self.remedy))",
        "(*differing(self.first_difference),)",
        "tests/judging/test_answers.py",
    ),
    Mutant(
        "an answer made of clipped numbers is safe",
        "judging/answers.py",
        "precision.half.saturates:",
        "precision.half.saturates and False:",
        "tests/judging/test_answers.py::test_an_answer_made_of_clipped_numbers_is_not_safe",
    ),
    Mutant(
        "what float32 does not have either is lost",
        "judging/answers.py",
        "broken & (np.isfinite(output.float32) if _fits(unclipped, output) else True)",
        "broken",
        "tests/judging/test_answers.py::test_what_float32_does_not_have_is_not_lost",
    ),
    Mutant(
        "any row of numbers is a row of classes",
        "judging/agreement.py",
        "if not self.is_classes or values.ndim < 2",
        "if values.ndim < 2",
        "tests/judging/test_answers.py::test_a_row_of_numbers_that_are_no_classes_has_no_top_class",
    ),
    Mutant(
        "detections are compared by their place in the list",
        "judging/detections.py",
        "place, other, away = _nearest(here, there)",
        "place, other, away = 0, 0, 0.0",
        "tests/judging/test_detections.py::test_of_one_class_the_nearest_boxes_belong_together",
    ),
    Mutant(
        "a detection that only one net has is left out",
        "judging/detections.py",
        "np.array([*pairs, *unmatched])",
        "np.array(pairs)",
        "tests/judging/test_detections.py::test_what_only_one_has_is_of_score_0_in_the_other",
    ),
    Mutant(
        "an original that is exact by luck asks for exactness",
        "judging/compare.py",
        "bound=max(row.bound, NOISE * noise.get(row.blob, 0.0))",
        "bound=row.bound",
        "tests/judging/test_noise.py::test_an_original_that_is_exact_by_luck_asks_no_exactness",
    ),
    Mutant(
        "halves are judged as float32",
        "judging/noise.py",
        "FLOAT16 if base.dtype == FLOAT16 else FLOAT32",
        "FLOAT32",
        "tests/judging/test_noise.py::test_a_fold_that_is_stored_in_halves_is_the_same_net",
    ),
    Mutant(
        "what is stored is not what is compared",
        "folding/result.py",
        "net=stored(self.model.net, self.options.blob_type)",
        "net=self.model.net",
        "tests/judging/test_noise.py::test_fuse_compares_the_numbers_as_they_are_stored",
    ),
    Mutant(
        "a blob may have any size",
        "layers/shapes.py",
        "    if count > LARGEST:",
        "    if count < 0:",
        "tests/test_hostile.py",
    ),
    Mutant(
        "a range has as many channels as the text says",
        "layers/arrange.py",
        " or top[1] > MOST_CHANNELS",
        "",
        "tests/test_hostile.py",
    ),
    Mutant(
        "powers of two move numbers that are not finite",
        "net/scale_groups.py",
        "if layer.index in not_finite:",
        "if layer.index in not_finite and not moved.blobs:",
        "tests/test_hostile.py",
    ),
    Mutant(
        "a plan reads a stand-in for weights number by number",
        "net/bind.py",
        "        yield self._flat[:1]",
        "        yield from super()._chunks(_read)",
        "tests/test_hostile.py",
    ),
    Mutant(
        "what a device clips to 65504 is safe",
        "half/classes.py",
        "finite & (magnitudes >= OVERFLOW)",
        "finite & np.isinf(fp16)",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "a BatchNorm may remain",
        "folding/result.py",
        "[] if options.allow_bn else verdict.remaining(",
        "[] if not options.strict else verdict.remaining(",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "a number that is lost in a BatchNorm is of channel 0",
        "half/lost_channels.py",
        "channels_of(layer, index) or Layout(1, 1, 1, blob.count)",
        "layout or Layout(1, 1, 1, blob.count)",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "the stored statistics are taken and the net does not say so",
        "net/bn_dialect.py",
        "    parameter.batch_norm_param.use_global_stats = True\n",
        "",
        "tests/judging/test_verdict.py",
    ),
    Mutant(
        "HDF5 binds to the first layer of a name",
        "net/bind.py",
        "reversed(net.layers) if weights.binds_last else net.layers",
        "net.layers",
        "tests/weights/test_formats.py",
    ),
    Mutant(
        "HDF5 holds shared numbers at their last user",
        FORMATS,
        "for layer, place in pairs[1:]}",
        "for layer, place in pairs[:-1]}",
        "tests/weights/test_formats.py",
    ),
    Mutant(
        "halves are rounded to float32 first",
        SCALED,
        "return ScaledBlob(self.base, self.layout, self.factors, dtype, self.further)",
        "return ScaledBlob(self, Layout(1, 1, 1, self.count), np.ones(1), dtype)",
        "tests/weights/test_formats.py",
    ),
    Mutant(
        "a soft link is followed anywhere in the file",
        HDF5,
        'if target.startswith(b"/") and steps[:1] != [b"data"]:',
        "if not steps:",
        "tests/weights/test_hdf5.py",
    ),
    Mutant(
        "a dataset is believed to hold what its shape says",
        HDF5,
        "if size > held * densest:",
        "if size < 0:",
        "tests/weights/test_hdf5.py",
    ),
    Mutant(
        "the padding of V0 forgotten",
        "generations/v0.py",
        "    result.layer.pad = padding.layer.pad\n",
        "",
        "tests/generations/test_generations.py::test_padding_is_a_part_of_the_layer_that_reads_it",
    ),
    Mutant(
        "the types of V1 one number off",
        "generations/type_names.py",
        "_V1_TYPES[v1_type] if 0 <= v1_type",
        "_V1_TYPES[v1_type - 1] if 0 <= v1_type",
        "tests/generations/test_generations.py::test_a_v1_type_is_found_by_number_as_by_name",
    ),
    Mutant(
        "a Scale in a net of the V1 form",
        "passes/merge.py",
        "if norm.generation != V2:",
        "if norm.generation is None:",
        "tests/generations/test_generations.py::test_a_batch_norm_that_would_become_a_scale_is_refused_with_the_way_out",
    ),
    Mutant(
        "the bias of a V0 record not said",
        "weights/caffemodel_writer.py",
        "        if generation.nested:\n            exchanged[generation.bias_term]",
        "        if False:\n            exchanged[generation.bias_term]",
        "tests/generations/test_generations.py::test_a_v0_net_stays_one_and_only_what_changes_is_edited",
    ),
    Mutant(
        "no square root",
        READ,
        "return Statistics(mean, np.sqrt(radicand), scale,",
        "return Statistics(mean, radicand, scale,",
        FOLD + "test_the_last_top_of_a_chain_survives",
    ),
    Mutant(
        "eps outside the square root",
        READ,
        "return Statistics(mean, np.sqrt(radicand), scale,",
        "return Statistics(mean, np.sqrt(variance) + eps, scale,",
        FOLD + "test_every_kind_of_affine_layer_folds",
    ),
    Mutant(
        "the default eps whatever the net says",
        READ,
        "    return single(parameter.batch_norm_param.eps)\n",
        "    return single(1e-5)\n",
        FOLD + "test_every_kind_of_affine_layer_folds",
    ),
    Mutant(
        "the moving average factor ignored",
        READ,
        "return np.zeros_like(total) if divisor == 0 else total / divisor",
        "return np.zeros_like(total) if divisor == 0 else total",
        FOLD + "test_a_chain_in_place_keeps_its_one_name",
    ),
    Mutant(
        "the moving average factor inverted",
        READ,
        "return np.zeros_like(total) if divisor == 0 else total / divisor",
        "return np.zeros_like(total) if divisor == 0 else total * divisor",
        FOLD + "test_a_chain_in_place_keeps_its_one_name",
    ),
    Mutant(
        "a factor of 0 taken for 1",
        READ,
        "return np.zeros_like(total) if divisor == 0 else total / divisor",
        "return total / (divisor or 1)",
        FOLD + "test_a_factor_of_zero_means_that_mean_and_variance_are_zero",
    ),
    Mutant(
        "the mean added",
        DIALECT,
        "shift = statistics.shift - statistics.mean * scale",
        "shift = statistics.shift + statistics.mean * scale",
        FOLD + "test_the_last_top_of_a_chain_survives",
    ),
    Mutant(
        "use_global_stats ignored",
        "layers/batch_norm/settings.py",
        "        return bool(settings.use_global_stats)\n",
        "        return True\n",
        FOLD + "test_batch_statistics_are_refused",
    ),
    Mutant(
        "the phase of a BatchNorm ignored",
        "layers/batch_norm/settings.py",
        "    return is_test(parameter) if unset is None else unset\n",
        "    return True\n",
        FOLD + "test_without_use_global_stats_the_phase_decides",
    ),
    Mutant(
        "NVIDIA's correction taken for a factor",
        TABLE,
        '_CUDNN = "mean variance correction scale shift"',
        '_CUDNN = "mean variance factor scale shift"',
        NORM + "test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "NVIDIA's eps not raised",
        READ,
        "max(_eps(parameter), single(1e-5))",
        "_eps(parameter)",
        NORM + "test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "the blobs of NVIDIA 0.15 in the order of 0.16",
        TABLE,
        '("scale shift mean variance reserved",)',
        '("mean variance scale shift reserved",)',
        NORM + "test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "five blobs read as NVIDIA's before Intel's has been looked at",
        "net/bn_dialect.py",
        "            if not any(all(_agree(one, dialect, layer) for layer in layers) for one in fitting):\n",
        "            if not fitting:\n",
        NORM + "test_a_dialect_that_is_not_told_is_refused_and_the_flag_is_named",
    ),
    Mutant(
        "Intel's factor not used",
        TABLE,
        '(_THREE, f"{_THREE} scale", f"{_THREE} scale shift"),\n        _PLAIN | {"use_weight_bias", "bias_term", '
        '"filler", "bias_filler", "relu"},\n        read.factored',
        '(_THREE, f"{_THREE} scale", f"{_THREE} scale shift"),\n        _PLAIN | {"use_weight_bias", "bias_term", '
        '"filler", "bias_filler", "relu"},\n        read.digits',
        NORM + "test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "a dialect decided by one layer of the net",
        "net/bn_dialect.py",
        "            chosen = _candidates(type_name, stored) if stored else",
        "            chosen = _candidates(row, stored[-1:]) if stored else",
        NORM + "test_one_layer_settles_the_dialect_of_all",
    ),
    Mutant(
        "SegNet folded in the mode that learns",
        READ,
        "    if settings.bn_mode != settings.INFERENCE:\n        return Refusal",
        "    if False:\n        return Refusal",
        NORM + "test_what_has_no_affine_is_refused",
    ),
    Mutant(
        "SenseTime's eps taken from PSPNet",
        READ,
        'roles["variance"], var_eps(parameter))',
        'roles["variance"], bn_eps(parameter))',
        NORM + "test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "an inverse deviation taken for a deviation",
        READ,
        '1 / roles["inverse"]',
        'roles["inverse"]',
        NORM + "test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "the eps of Synopsys always inside the root",
        READ,
        'settings.HasField("add_eps_before_sqrt") and not settings.add_eps_before_sqrt:',
        'settings.HasField("add_eps_before_sqrt") and None:',
        NORM + "test_a_dialect_folds_as_its_caffe_computes",
    ),
    Mutant(
        "the ReLU inside a BatchNorm lost",
        "passes/activation.py",
        "        layers += [norm, _activation_after(norm, pair[1], names)]\n",
        "        layers += [normed]\n",
        NORM + "test_a_relu_inside_a_folded_batch_norm_becomes_a_layer",
    ),
    Mutant(
        "a new layer at the end of the weight file",
        "emit/records.py",
        "    return places[-1] + 1 if places else 0",
        "    return len(entries)",
        NORM + "test_a_relu_inside_a_converted_batch_norm_follows_the_scale",
    ),
    Mutant(
        "Dropout in TRAIN taken for the identity",
        AFFINE,
        '    if parameter.phase != TEST:\n        return Refusal("Dropout',
        '    if False:\n        return Refusal("Dropout',
        FOLD + "test_dropout_is_no_identity_in_training",
    ),
    Mutant(
        "the axis of a Scale ignored",
        AFFINE,
        "    return end + long[0]\n",
        "    return IDENTITY.axis\n",
        FOLD + "test_a_scale_of_other_axes_than_the_channels_is_refused",
    ),
    Mutant(
        "a Scale of two bottoms folded",
        AFFINE,
        "    if len(bottoms) != 1:\n        return Refusal",
        "    if len(bottoms) != 1 and multiplies != [True]:\n        return Refusal",
        FOLD + "test_a_scale_whose_numbers_another_layer_makes_is_refused",
    ),
    Mutant(
        "beta used twice",
        "layers/layer_type.py",
        "shift = self.shift * following.scale + following.shift",
        "shift = self.shift * following.scale + 2 * following.shift",
        FOLD + "test_the_last_top_of_a_chain_survives",
    ),
    Mutant(
        "the shift in front not scaled",
        "layers/layer_type.py",
        "shift = self.shift * following.scale + following.shift",
        "shift = self.shift + following.shift",
        FOLD + "test_long_chains_fold_at_once",
    ),
    Mutant(
        "shifts rounded on the way",
        "layers/layer_type.py",
        "        return Affine(following.axis if self.channels == 1 else self.axis, scale, shift)",
        "        return Affine(following.axis if self.channels == 1 else self.axis, scale, shift.astype(np.float32))",
        VALUES + "[fold-conv-g1-bias-apart]",
    ),
    Mutant(
        "the old bias not scaled",
        WEIGHTED,
        "new_bias = bias.reshape(-1) * scale + affine.shift",
        "new_bias = bias.reshape(-1) + affine.shift",
        FOLD + "test_every_weight_layer_absorbs",
    ),
    Mutant(
        "the shift dropped",
        WEIGHTED,
        "new_bias = bias.reshape(-1) * scale + affine.shift",
        "new_bias = bias.reshape(-1) * scale + 0 * affine.shift",
        FOLD + "test_a_missing_bias_is_created_and_bias_term_set",
    ),
    Mutant(
        "the bias rounded before it is shifted",
        WEIGHTED,
        "new_bias = bias.reshape(-1) * scale + affine.shift",
        "new_bias = (bias.reshape(-1) * scale).astype(np.float32) + affine.shift",
        VALUES + "[fold-conv-g1-bias-apart]",
    ),
    Mutant(
        "bias_term not set",
        WEIGHTED,
        "        getattr(changed, settings_name).bias_term = True\n",
        "        pass\n",
        FOLD + "test_a_missing_bias_is_created_and_bias_term_set",
    ),
    Mutant(
        "a deconvolution scaled along its inputs",
        CONVOLUTION,
        "    return Layout(group, shape[0] // group, shape[1], prod(shape[2:]))",
        "    return Layout(1, 1, outputs, prod(shape) // outputs)",
        FOLD + "test_every_weight_layer_absorbs",
    ),
    Mutant(
        "the groups of a deconvolution interleaved",
        SCALED,
        "    first = group * outputs + row\n",
        "    first = group + row * layout.groups\n",
        FOLD + "test_every_weight_layer_absorbs",
    ),
    Mutant(
        "transposed weights scaled along the wrong axis",
        INNER_PRODUCT,
        "    return Layout(1, matrix[0], outputs, 1) if transposed else",
        "    return Layout(1, 1, outputs, matrix[0]) if transposed else",
        FOLD + "test_every_weight_layer_absorbs",
    ),
    Mutant(
        "factors rounded to float32 before they multiply",
        SCALED,
        "self.factors = np.array(factors, FLOAT64)",
        "self.factors = np.array(factors, FLOAT32).astype(FLOAT64)",
        VALUES + "[fold-conv-g2-nobias-apart]",
    ),
    Mutant(
        "a second reader ignored",
        "passes/chain.py",
        "        if len(consumers) > 1:\n",
        "        if len(consumers) > 9:\n",
        FOLD + "test_a_batch_norm_whose_bottom_has_more_readers_becomes_a_scale",
    ),
    Mutant(
        "the axis of the channels ignored",
        "passes/chain.py",
        "    if axis is not None and affine.axis != axis:\n",
        "    if axis is None and affine.axis != axis:\n",
        FOLD + "test_a_scale_of_other_axes_than_the_channels_is_refused",
    ),
    Mutant(
        "a bottom taken for the first version of its blob",
        "net/graph.py",
        "        bottoms[layer.index] = tuple(newest[name] for name in layer.bottoms)\n",
        "        bottoms[layer.index] = tuple(Value(name, 0) for name in layer.bottoms)\n",
        "tests/net/test_net.py::test_a_bottom_means_the_newest_version_before_it",
    ),
    Mutant(
        "shared weights folded",
        "passes/fold.py",
        "    if sharer is not None:\n",
        "    if stranger is None and False:\n",
        FOLD + "test_weights_shared_under_different_affines_are_refused",
    ),
    Mutant(
        "sharers of a refused layer folded all the same",
        "passes/fold.py",
        "        if not refused:\n",
        "        if True:\n",
        FOLD + "test_where_one_sharer_turns_out_to_absorb_nothing_none_does",
    ),
    Mutant(
        "the last top lost",
        "passes/fold.py",
        "    parameter.top[0] = members[-1].tops[0]\n",
        "    parameter.top[0] = members[0].tops[0]\n",
        FOLD + "test_the_last_top_of_a_chain_survives",
    ),
    Mutant(
        "a parameter name kept on a converted layer",
        "passes/merge.py",
        '"scale_param", "param", "blobs"',
        '"scale_param", "blobs"',
        FOLD + "test_a_converted_layer_keeps_no_parameter_name",
    ),
    Mutant(
        "the name of the blob in front left with another value",
        "passes/merge.py",
        "        if links[end - 1].layer.tops[0] == source:\n",
        "        if links[end - 1].layer.tops[0] is None:\n",
        FOLD + "test_a_chain_that_overwrites_the_blob_it_reads_ends_there",
    ),
    Mutant(
        "the rules of phases ignored",
        "net/state.py",
        '    if rule.HasField("phase") and rule.phase != schema.PHASES[state.phase]:\n',
        '    if rule.HasField("phase") and rule.phase is None:\n',
        FOLD + "test_a_twin_for_training_goes_with_its_batch_norm",
    ),
    Mutant(
        "layers of another phase never dropped",
        "emit/dropped.py",
        "        if reads or writes or layer.name in gone:\n",
        "        if False:\n",
        FOLD + "test_a_layer_of_another_phase_that_reads_inside_a_folded_chain_is_dropped",
    ),
    Mutant(
        "the first record of shared numbers wins",
        "net/bind.py",
        "        shared = max(stored, key=lambda pair: pair[0])[1]\n",
        "        shared = min(stored, key=lambda pair: pair[0])[1]\n",
        "tests/net/test_bind.py::test_of_shared_blobs_the_record_that_was_read_last_wins",
    ),
    Mutant(
        "the old record of a changed layer kept",
        "emit/records.py",
        "            record.name in taken ",
        "            record.name is taken ",
        "tests/emit/test_emit.py::test_of_two_records_of_a_changed_layer_one_is_left",
    ),
    Mutant(
        "infinity passes the proof",
        "passes/proof.py",
        " < bound)",
        " <= bound)",
        "tests/passes/test_proof.py::test_a_number_that_is_not_finite_is_found",
    ),
    Mutant(
        "a channel of a concatenation takes the range of another",
        "layers/combine.py",
        "np.concatenate([*map(np.broadcast_to, ends, counts)])",
        "np.concatenate([*map(np.broadcast_to, ends[::-1], counts[::-1])])",
        "tests/layers/test_layer_ranges.py",
    ),
    Mutant(
        "ranges do not turn with a negative factor",
        "layers/ranges.py",
        "corners = [a * b for a in one for b in other]",
        "corners = [a * b for a, b in zip(one, other)]",
        "tests/layers/test_layer_ranges.py",
    ),
    Mutant(
        "the bottom of a HardSwish missed",
        "layers/activation.py",
        "lambda _parameter: -1.5, ranges=_gated",
        "_at_zero, ranges=_gated",
        "tests/layers/test_layer_ranges.py",
    ),
    Mutant(
        "a gate that goes to no end",
        "layers/activation.py",
        "top if passage.ranges[0].bounded else with_zero(top)",
        "top",
        "tests/layers/test_layer_ranges.py",
    ),
    Mutant(
        "variance for deviation",
        "ranges/predict.py",
        "np.sqrt(np.maximum(statistics.variance, 0))",
        "np.maximum(statistics.variance, 0)",
        "tests/ranges/test_prediction.py",
    ),
    Mutant(
        "a folded layer has the range of its own old top",
        "ranges/predict.py",
        "rewrite.after.index: rewrite.before[-1] for",
        "rewrite.after.index: rewrite.before[0] for",
        "tests/ranges/test_prediction.py",
    ),
    Mutant(
        "signed weights in the bound of a sum",
        "ranges/sums.py",
        "np.abs(blob.array()).astype(np.float32)",
        "blob.array().astype(np.float32)",
        "tests/ranges/test_prediction.py",
    ),
    Mutant(
        "runs that merge keep the wider lower end only",
        "ranges/calibrate.py",
        "np.maximum(mine.highs, other.highs)",
        "mine.highs",
        "tests/ranges/test_calibration.py",
    ),
    Mutant(
        "a sum whose bottoms are not tied",
        "layers/combine.py",
        "        setting.ties.tie(first.labels, channels.labels)\n",
        "        pass\n",
        "tests/layers/test_homogeneous.py::test_values_are_the_same_but_for_their_powers[sum]",
    ),
    Mutant(
        "a bias that does not follow its weights",
        "layers/homogeneous.py",
        "[weights, bias][: len(setting.blobs)])",
        "[weights])",
        "tests/layers/test_homogeneous.py::test_values_are_the_same_but_for_their_powers[relu]",
    ),
    Mutant(
        "weights behind a power not divided",
        "layers/homogeneous.py",
        "Scaled(columns, inputs, divided=True)",
        "Scaled(columns, inputs)",
        "tests/layers/test_homogeneous.py::test_values_are_the_same_but_for_their_powers[relu]",
    ),
    Mutant(
        "ReLU6 taken for homogeneous",
        "layers/activation.py",
        "np.minimum(np.maximum(x, 0), 6), foreign=True),",
        "np.minimum(np.maximum(x, 0), 6), foreign=True, homogeneous=unchanged),",
        "tests/layers/test_homogeneous.py::test_what_is_not_homogeneous_pins_its_bottom",
    ),
    Mutant(
        "the powers of a concatenation in another order",
        "layers/combine.py",
        "Channels(axis, np.concatenate(parts))",
        "Channels(axis, np.concatenate(parts[::-1]))",
        "tests/layers/test_homogeneous.py::test_values_are_the_same_but_for_their_powers[concat with the input]",
    ),
    Mutant(
        "a Power with a shift taken for homogeneous",
        "layers/affine.py",
        "settings.power == 1 and settings.shift == 0",
        "settings.power == 1",
        "tests/layers/test_homogeneous.py::test_what_is_not_homogeneous_pins_its_bottom",
    ),
    Mutant(
        "shared numbers not pinned",
        "net/scale_groups.py",
        "    if net.shared_with(layer) or",
        "    if",
        "tests/rescale/test_powers.py::test_what_pins_a_blob_is_the_reason",
    ),
    Mutant(
        "a blob that is to stay not pinned",
        "net/scale_groups.py",
        "        if value.blob in keep_blobs:\n",
        "        if value.blob is None:\n",
        "tests/rescale/test_powers.py::test_what_pins_a_blob_is_the_reason",
    ),
    Mutant(
        "an output of the net not pinned",
        "net/scale_groups.py",
        "        elif value in net.outputs:\n",
        "        elif value is None:\n",
        "tests/rescale/test_powers.py::test_what_pins_a_blob_is_the_reason",
    ),
    Mutant(
        "exponents of the wrong sign in the report",
        "rescale/rescale.py",
        "{name: exponents for name, exponents in by_blob.items() if any(exponents)}",
        "{name: tuple(-one for one in exponents) for name, exponents in by_blob.items() if any(exponents)}",
        "tests/rescale/test_rescale.py::test_a_net_is_repaired_and_its_outputs_are_the_same_to_the_last_bit",
    ),
    Mutant(
        "what activations need ignored",
        "rescale/rescale.py",
        "    largest, measures = largest or {}, measures or Measures()\n",
        "    largest, measures = {}, measures or Measures()\n",
        "tests/rescale/test_rescale.py::test_ranges_of_activations_count_as_well",
    ),
    Mutant(
        "the powers of a transposed product along the outputs",
        INNER_PRODUCT,
        "places // outputs if transposed else",
        "places % outputs if transposed else",
        "tests/passes/test_layer_powers.py",
    ),
    Mutant(
        "the powers of the first group for all",
        CONVOLUTION,
        "first // (shape[0] // groups) * shape[1] + second",
        "second",
        "tests/passes/test_layer_powers.py",
    ),
    Mutant(
        "the bias no part of a sum",
        "half/influence.py",
        "                found += measure(blob",
        "                found += 0 * measure(blob",
        "tests/rescale/test_effects.py",
    ),
    Mutant(
        "a dead reader taken for alive",
        "half/influence.py",
        "np.where(alive, sums, np.inf)",
        "sums",
        "tests/rescale/test_effects.py",
    ),
    Mutant(
        "an overflow that does no harm",
        "half/lost_channels.py",
        "loss._replace(channels=np.union1d(loss.overflow, poor))",
        "loss._replace(channels=poor)",
        "tests/half/test_losses.py::test_an_overflow_is_never_harmless",
    ),
    Mutant(
        "numbers that overflow by rounding taken to fit",
        "rescale/descent.py",
        "_HALF_STEP = 1 << 12",
        "_HALF_STEP = 0",
        "tests/rescale/test_balance.py::test_overflow_begins_where_it_does_in_half",
    ),
    Mutant(
        "columns gain what rows gain",
        "rescale/descent.py",
        "            bins -= self._spread(",
        "            bins += self._spread(",
        "tests/rescale/test_balance.py::test_histograms_hold_the_largest_of_each_kernel",
    ),
    Mutant(
        "a kernel counted once",
        "rescale/descent.py",
        "                counts *= self.kernels.size\n",
        "                counts *= 1\n",
        "tests/rescale/test_balance.py::test_histograms_hold_the_largest_of_each_kernel",
    ),
    Mutant(
        "the gain of a fold is signed",
        "folding/diagnosis.py",
        "gain = np.abs(weights.factors if isinstance(weights, ScaledBlob) else weights.array().reshape(-1))",
        "gain = weights.factors if isinstance(weights, ScaledBlob) else weights.array().reshape(-1)",
        DIAGNOSIS,
    ),
    Mutant(
        "the last BatchNorm of a chain is its cause",
        "folding/diagnosis.py",
        "for layer in rewrite.before if layer.is_batch_norm",
        "for layer in reversed(rewrite.before) if layer.is_batch_norm",
        DIAGNOSIS,
    ),
    Mutant(
        "a bias in reports is judged without its weights",
        "folding/diagnosis.py",
        "decibels(stats.signal + self.stats(layer, 0, doubtful).signal, stats.noise)",
        "decibels(stats.signal, stats.noise)",
        DIAGNOSIS,
    ),
    Mutant(
        "a channel with a bias and without weights is dead",
        "folding/diagnosis.py",
        "zeros = zeros & (bias.array().reshape(-1) == 0)",
        "zeros = zeros",
        DIAGNOSIS,
    ),
    Mutant(
        "a channel that overflows can be dead as well",
        "folding/diagnosis.py",
        '        states[broken] = "overflow"\n',
        "",
        DIAGNOSIS,
    ),
    Mutant(
        "the worst channels come last",
        "folding/diagnosis.py",
        "(STATES.index(each[1].state), each[1].snr, -each[1].max_abs)",
        "(-STATES.index(each[1].state), each[1].snr, -each[1].max_abs)",
        DIAGNOSIS,
    ),
    Mutant(
        "what matters to no sum is told as lost",
        "folding/diagnosis.py",
        '        states[weak[share <= NO_EFFECT]] = "dead"\n',
        "",
        DIAGNOSIS,
    ),
    Mutant(
        "the numbers of a channel are those of the next one",
        "half/influence.py",
        "found: np.ndarray = energies[channels] * gains[own]",
        "found: np.ndarray = energies[channels - 1] * gains[own]",
        "tests/rescale/test_effects.py",
    ),
    Mutant(
        "the margin counts half powers of two",
        "half/channels.py",
        "np.floor(np.log2(LARGEST / self.max_abs))",
        "np.floor(2 * np.log2(LARGEST / self.max_abs))",
        "tests/half/test_channels.py",
    ),
    Mutant(
        "what is small is as exact where it is flushed",
        "half/rounding.py",
        '        if self.subnormals == "flushed":\n            return SMALLEST_NORMAL\n',
        "",
        "tests/half/test_losses.py::test_what_is_lost_of_small_weights_is_up_to_the_device",
    ),
    Mutant(
        "range repair forgets the device",
        "folding/repair.py",
        "        policy=options.policy,\n",
        "",
        "tests/rescale/test_rescale.py::test_small_weights_are_repaired_for_a_device_that_takes_them_for_0",
    ),
    Mutant(
        "old weights are set aside before the old net",
        OUTPUTS,
        "for pending in reversed(files) if",
        "for pending in files if",
        "tests/files/test_outputs.py::test_at_no_moment_is_there_a_new_net_beside_old_weights",
    ),
    Mutant(
        "the net gets its name before the weights",
        OUTPUTS,
        "        for pending in files:\n            target = pending.target\n",
        "        for pending in reversed(files):\n            target = pending.target\n",
        "tests/files/test_outputs.py::test_at_no_moment_is_there_a_new_net_beside_old_weights",
    ),
    Mutant(
        "a signal cuts the names in two",
        OUTPUTS,
        "with _alone(folders[-1]), interrupts.deferred():",
        "with _alone(folders[-1]):",
        "tests/files/test_outputs.py::test_a_signal_at_any_call_leaves_all_old_files_or_all_new_ones",
    ),
    Mutant(
        "old files do not come back",
        OUTPUTS,
        "                os.rename(kept, path)\n",
        "                pass\n",
        "tests/files/test_outputs.py::test_what_the_system_refuses_at_any_call_changes_nothing",
    ),
    Mutant(
        "a signal is told after all is there",
        OUTPUTS,
        "            interrupts.settled()\n",
        "",
        "tests/files/test_interrupts.py::test_the_status_says_what_is_there",
    ),
    Mutant(
        "an interrupt in an import is a defect",
        "cli/process.py",
        "isinstance(error, KeyboardInterrupt) or interrupts.came()",
        "isinstance(error, KeyboardInterrupt)",
        "tests/files/test_interrupts.py::test_an_interrupt_that_a_library_turns_into_its_own_error_is_one",
    ),
    Mutant(
        "every reader is told of all the others",
        "passes/chain.py",
        "names = few(dict.fromkeys(consumer.name for consumer in consumers))",
        'names = ", ".join(dict.fromkeys(consumer.name for consumer in consumers))',
        "tests/report/test_report.py::test_what_is_told_of_a_fork_grows_with_its_readers_not_with_their_square",
    ),
    Mutant(
        "a name speaks to the terminal",
        "cli/printing.py",
        "    printed = [shown(line) for line in lines]\n",
        "    printed = list(lines)\n",
        PRINTED,
    ),
    Mutant(
        "a warning has lines of its own",
        "cli/printing.py",
        "_write(sys.stderr, [shown(line) for line in",
        "_write(sys.stderr, [line for line in",
        PRINTED,
    ),
    Mutant(
        "letters are taken for an escaped byte",
        "schema/names.py",
        '_BACKSLASH.sub(rb"\\\\x5c", name)',
        "name",
        "tests/schema/test_names.py::test_letters_that_look_like_an_escaped_byte_stay_letters",
    ),
)


def copy_project(target: Path) -> None:
    shutil.copytree(PROJECT, target, ignore=NOT_COPIED)


def run_tests(folder: Path, *tests: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def check_sound(folder: Path) -> None:
    """Checks that each test passes without a fault; otherwise every fault would count as detected."""
    done = run_tests(folder, "-n", "2", *sorted({mutant.test for mutant in MUTANTS}))
    if done.returncode:
        raise SystemExit(f"a test fails without any fault:\n{done.stdout.decode()}")


def survives(mutant: Mutant, folder: Path) -> bool:
    """Returns whether the mutant's test passes in a copy of the project that has the fault."""
    path = folder / "caffe_fuse" / mutant.file
    sound = path.read_text()
    if sound.count(mutant.old) != 1:
        raise SystemExit(f"mutant {mutant.name!r}: its text is not in {mutant.file} exactly once")
    path.write_text(sound.replace(mutant.old, mutant.new))
    try:
        done = run_tests(folder, mutant.test)
    finally:
        path.write_text(sound)
    if done.returncode not in (0, 1):
        raise SystemExit(f"mutant {mutant.name!r}: its test did not run:\n{done.stdout.decode()}")
    return done.returncode == 0


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / str(number) for number in range(2)]
        for folder in folders:
            copy_project(folder)
        check_sound(folders[0])
        free = list(folders)

        def run(mutant: Mutant) -> bool:
            folder = free.pop()
            try:
                lives = survives(mutant, folder)
            finally:
                free.append(folder)
            print(f"{mutant.name}: {'SURVIVED' if lives else f'killed by {mutant.test}'}", flush=True)
            return lives

        with ThreadPoolExecutor(len(folders)) as pool:
            survivors = sum(pool.map(run, MUTANTS))
    print(f"{len(MUTANTS) - survivors} of {len(MUTANTS)} faults were noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
