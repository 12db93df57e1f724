"""Faults in caffe_fuse/targets/. The proof of each change catches wrong values: these faults switch it off as well."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

ADAPT = "targets/adapt.py"
FILES = "targets/files.py"
LAYERS = "targets/layers.py"
VALUES = "targets/values.py"
TYPES = "targets/types.py"
SETTINGS = "targets/settings.py"
TABLE = "targets/table.py"
NAMES = "targets/names.py"
INPUTS = "targets/inputs.py"
TEST = "tests/targets/test_demands.py"
TEST_FILES = "tests/targets/test_files_and_names.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "a layer that --keep names is changed for the target",
        ADAPT,
        "demand.changes(model, kept)",
        "demand.changes(model, frozenset())",
        TEST + "::test_a_batch_norm_that_stays_uses_its_statistics_as_they_are",
    ),
    Mutant(
        "an Upsample by other factors up and across",
        LAYERS,
        "settings.kernel_h, settings.kernel_w = settings.stride_h, settings.stride_w = factors",
        "settings.kernel_w, settings.kernel_h = settings.stride_w, settings.stride_h = factors",
        TEST + "::test_an_upsample_is_a_deconvolution_with_ones",
    ),
    Mutant(
        "an Upsample to no multiple of its size rewritten",
        LAYERS,
        "    if any(now % was for was, now in zip(small, large)):\n",
        "    if False:\n",
        TEST + "::test_an_upsample_by_a_mask_or_to_a_size_that_is_no_multiple_is_only_named",
    ),
    Mutant(
        "the second bottom of an Upsample left",
        LAYERS,
        "    del parameter.bottom[1:]  # only its size was read\n",
        "",
        TEST + "::test_an_upsample_to_the_size_of_another_blob_needs_that_no_more",
    ),
    Mutant(
        "a depthwise convolution in one group",
        LAYERS,
        "        settings.group = channels\n        return",
        "        settings.group = 1\n        return",
        TEST + "::test_a_depthwise_type_is_a_convolution_with_groups",
    ),
    Mutant(
        "holes forgotten",
        LAYERS,
        "    settings.dilation.append(settings.hole or settings.hole_h)\n",
        "    settings.dilation.append(1)\n",
        TEST + "::test_holes_are_dilation",
    ),
    Mutant(
        "a field that changes the net removed",
        TYPES,
        "field.name in _SILENT or _is_default(field, value)",
        "True",
        TEST + "::test_fields_that_choose_a_kernel_go_and_others_are_named",
    ),
    Mutant(
        "fields of forks of SSD taken for those of SSD",
        TYPES,
        "if field.name in _OF_FORKS[name]]",
        "if field.name in ()]",
        TEST + "::test_fields_of_ssd_are_known_to_most",
    ),
    Mutant(
        "a bias written out as the other",
        VALUES,
        "    changed.bias_term = settings.bias_term\n",
        "    changed.bias_term = True\n",
        TEST + "::test_bias_terms_are_written_out",
    ),
    Mutant(
        "the bias of a Scale of ones",
        VALUES,
        "zeros = ArrayBlob(np.zeros(layer.blobs[0].shape, np.float32))",
        "zeros = ArrayBlob(np.ones(layer.blobs[0].shape, np.float32))",
        TEST + "::test_a_scale_gets_a_bias_of_zeros",
    ),
    Mutant(
        "statistics times their factor",
        VALUES,
        "    share = 1 / _factor(layer) if _factor(layer) else 0.0\n",
        "    share = _factor(layer)\n",
        TEST + "::test_a_batch_norm_that_stays_uses_its_statistics_as_they_are",
    ),
    Mutant(
        "a layer that stays reads an input where it read what was written in place",
        NAMES,
        "for layer in net.layers if layer.name in kept or layer.generation != V2]",
        "for layer in net.layers if layer.generation != V2]",
        TEST + "::test_a_layer_in_place_on_an_input_writes_its_own_blob",
    ),
    Mutant(
        "a layer of V1 changed for the target",
        "targets/demand.py",
        "if layer.name not in kept and layer.generation == V2)",
        "if layer.name not in kept)",
        TEST + "::test_a_net_of_the_v1_form_is_named_where_nothing_has_upgraded_it",
    ),
    Mutant(
        "shared statistics changed one by one",
        VALUES,
        ' or layer.parameter.phase != PHASES["TEST"] or net.shared_with(layer):',
        ' or layer.parameter.phase != PHASES["TEST"]:',
        TEST + "::test_shared_statistics_stay_shared",
    ),
    Mutant(
        "fp16 weights not seen",
        FILES,
        "any(blob.dtype == FLOAT16 for blob in layer.blobs)",
        "any(blob.dtype == FLOAT16 for blob in layer.blobs[2:])",
        TEST + "::test_fp16_weights_become_float32",
    ),
    Mutant(
        "targets by case",
        TABLE,
        "    if name.lower() in names:\n",
        "    if name in names:\n",
        TEST + "::test_names_and_aliases_are_found_in_any_case_and_are_unique",
    ),
    Mutant(
        "layers of other phases left in the text",
        ADAPT,
        "excluded=(), dropped=model.dropped + model.excluded",
        "excluded=()",
        TEST_FILES + "::test_layers_of_another_phase_go_with_their_weights",
    ),
    Mutant(
        "one item of a batch where a layer mixes them",
        INPUTS,
        "    if not all(_is_by_item(net, layer, *batches) for layer in net.layers if layer.bottoms):\n",
        "    if False:\n",
        TEST_FILES + "::test_a_batch_stays_where_a_layer_mixes_its_items_or_may",
    ),
    Mutant(
        "only the shapes of items compared, not their values",
        INPUTS,
        "    return bool(np.all(np.abs(values[:1] - first) <= bound))\n",
        "    return True\n",
        TEST_FILES + "::test_a_batch_stays_where_a_layer_mixes_its_items_or_may",
    ),
    Mutant(
        "a given shape written over nothing",
        INPUTS,
        "        parameter.input_param.shape.add().dim.extend(shape or ())\n",
        "        parameter.input_param.shape.add()\n",
        TEST_FILES + "::test_a_shape_that_is_given_is_written",
    ),
    Mutant(
        "a new name that another layer has",
        NAMES,
        "        while self.written(new) in taken:\n",
        "        while False:\n",
        TEST_FILES + "::test_illegal_names_become_legal_in_both_files",
    ),
    Mutant(
        "a Bias as a Scale by nothing",
        LAYERS,
        "    ones = ArrayBlob(np.ones(layer.blobs[0].shape, np.float32))\n",
        "    ones = ArrayBlob(np.zeros(layer.blobs[0].shape, np.float32))\n",
        TEST + "::test_a_bias_is_a_scale_by_ones",
    ),
    Mutant(
        "a Scale of the batch as a Convolution",
        LAYERS,
        "    if not is_of_channels or settings.axis not in (1, -3) or",
        "    if not is_of_channels or",
        TEST + "::test_a_scale_alone_is_a_pointwise_convolution",
    ),
    Mutant(
        "the Scale after a BatchNorm parted from it",
        LAYERS,
        "    return source is not None and source.is_batch_norm\n",
        "    return False\n",
        TEST + "::test_a_scale_alone_is_a_pointwise_convolution",
    ),
    Mutant(
        "the bias of a Scale left out",
        VALUES,
        '    return bool(settings.HasField("bias_term")) and not settings.bias_term\n',
        '    return bool(settings.HasField("bias_term"))\n',
        TEST + "::test_no_word_of_a_bias_that_a_scale_does_not_have",
    ),
    Mutant(
        "a proof on images that do not fit the weights",
        "targets/trial.py",
        "prod(dim or 0 for dim in dims) == blob.count",
        "True",
        TEST + "::test_a_matrix_that_reads_images_is_proved_on_images_of_their_size",
    ),
    Mutant(
        "names that X2Paddle writes as one",
        NAMES,
        'return re.sub("[/-]", "_", name).lower()',
        "return name.lower()",
        TEST + "::test_names_that_x2paddle_writes_as_one_and_capitals_of_outputs",
    ),
    Mutant(
        "capitals of outputs for X2Paddle",
        NAMES,
        'outputs=re.compile("[^A-Z]*")',
        'outputs=re.compile(".*")',
        TEST + "::test_names_that_x2paddle_writes_as_one_and_capitals_of_outputs",
    ),
    Mutant(
        "windows that end at the edge taken for such that reach beyond",
        SETTINGS,
        "window.kernel > window.before + (size or 0) + window.after",
        "window.kernel >= window.before + (size or 0) + window.after",
        TEST + "::test_a_mean_of_windows_beyond_the_edge",
    ),
    Mutant(
        "types that a converter lacks taken for those of Caffe",
        TYPES,
        " and kind.name not in missing",
        "",
        TEST + "::test_converters_do_not_have_every_type_of_caffe",
    ),
    Mutant(
        "a matrix that says it is straight, and is not",
        LAYERS,
        "np.ascontiguousarray(matrix.reshape(matrix.shape[-2:]).T)",
        "matrix.reshape(matrix.shape[-2:])",
        TEST + "::test_a_transposed_matrix_is_straight",
    ),
    Mutant(
        "coefficients of 1 named",
        SETTINGS,
        "set(coeffs) - {1} and coeffs not in coefficients",
        "coeffs and coeffs not in coefficients",
        TEST + "::test_what_tools_do_not_look_at_is_named",
    ),
    Mutant(
        "fields that a tool skips named",
        TYPES,
        "if allowed is not None or _has(layer.parameter, each.path)",
        "if True",
        TEST + "::test_values_that_opencv_does_not_know_and_fields_that_it_skips",
    ),
    Mutant(
        "inputs that stand twice left",
        INPUTS,
        '    is_said = any(field.name == "input" for field in model.document.root.fields)\n',
        "    is_said = False\n",
        TEST_FILES + "::test_inputs_as_fields_and_as_layers_are_layers",
    ),
    Mutant(
        "what fuse left said to be changed by it",
        ADAPT,
        "if demand.by != WRITING for each in demand.find(model))",
        "if demand.by != WRITING for each in findings(model, target))",
        TEST + "::test_what_keep_names_is_not_said_to_be_changed",
    ),
)
