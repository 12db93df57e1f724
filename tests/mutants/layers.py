"""Faults in caffe_fuse/layers/, but for those in the other two files."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

ACTIVATION = "layers/activation.py"
AFFINE = "layers/affine.py"
ARRANGE = "layers/arrange.py"
COMBINE = "layers/combine.py"
HOMOGENEOUS = "layers/homogeneous.py"
INNER_PRODUCT = "layers/inner_product.py"
LAYER_TYPE = "layers/layer_type.py"
RANGES = "layers/ranges.py"
RECURRENT = "layers/recurrent.py"
REDUCE = "layers/reduce.py"
SHAPES = "layers/shapes.py"
WEIGHTED = "layers/weighted.py"

TEST_WRITTEN_VALUES = "tests/emit/test_written_values.py"
TEST_HOMOGENEOUS = "tests/layers/test_homogeneous.py"
TEST_LAYER_FORWARD = "tests/layers/test_layer_forward.py"
TEST_FOLD = "tests/passes/test_fold.py"
TEST_FINDS = "tests/test_finds.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "the bottom of a HardSwish missed",
        ACTIVATION,
        "lambda _parameter: -1.5, ranges=_gated",
        "_at_zero, ranges=_gated",
        "tests/layers/test_layer_ranges.py",
    ),
    Mutant(
        "a gate that goes to no end",
        ACTIVATION,
        "top if passage.ranges[0].bounded else with_zero(top)",
        "top",
        "tests/layers/test_layer_ranges.py",
    ),
    Mutant(
        "ReLU6 taken for homogeneous",
        ACTIVATION,
        "np.minimum(np.maximum(x, 0), 6), foreign=True),",
        "np.minimum(np.maximum(x, 0), 6), foreign=True, homogeneous=unchanged),",
        TEST_HOMOGENEOUS + "::test_what_is_not_homogeneous_pins_its_bottom",
    ),
    Mutant(
        "a threshold is reached at itself",
        ACTIVATION,
        "(x > parameter.threshold_param.threshold)",
        "(x >= parameter.threshold_param.threshold)",
        TEST_LAYER_FORWARD + "::test_a_threshold_is_passed_and_not_reached",
    ),
    Mutant(
        "the slope of a PReLU for numbers above 0",
        ACTIVATION,
        "np.maximum(x, 0) + slope * np.minimum(x, 0)]",
        "np.minimum(x, 0) + slope * np.maximum(x, 0)]",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "the slopes of a PReLU along the last axis",
        ACTIVATION,
        "slope = blobs[0].astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))",
        "slope = blobs[0].astype(x.dtype).reshape(-1)",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "one number does for any number of channels",
        AFFINE,
        "if any(dim != 1 for dim in covered",
        "if any(dim == 0 for dim in covered",
        "tests/test_hostile.py",
    ),
    Mutant(
        "Dropout in TRAIN taken for the identity",
        AFFINE,
        '    if parameter.phase != TEST:\n        return Refusal("Dropout',
        '    if False:\n        return Refusal("Dropout',
        TEST_FOLD + "::test_dropout_is_no_identity_in_training",
    ),
    Mutant(
        "the axis of a Scale ignored",
        AFFINE,
        "    return end + long[0]\n",
        "    return IDENTITY.axis\n",
        TEST_FOLD + "::test_a_scale_of_other_axes_than_the_channels_is_refused",
    ),
    Mutant(
        "a Scale of two bottoms folded",
        AFFINE,
        "    if len(bottoms) != 1:\n        return Refusal",
        "    if len(bottoms) != 1 and multiplies != [True]:\n        return Refusal",
        TEST_FOLD + "::test_a_scale_whose_numbers_another_layer_makes_is_refused",
    ),
    Mutant(
        "a Power with a shift taken for homogeneous",
        AFFINE,
        "settings.power == 1 and settings.shift == 0",
        "settings.power == 1",
        TEST_HOMOGENEOUS + "::test_what_is_not_homogeneous_pins_its_bottom",
    ),
    Mutant(
        "a range has as many channels as the text says",
        ARRANGE,
        " or top[1] > MOST_CHANNELS",
        "",
        "tests/test_hostile.py",
    ),
    Mutant(
        "rows and columns of a reorg change places",
        "layers/blocks.py",
        "split = x.reshape(num, few, height, stride, width, stride).transpose(0, 3, 5, 1, 2, 4)",
        "split = x.reshape(num, few, height, stride, width, stride).transpose(0, 5, 3, 1, 2, 4)",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "a channel of a concatenation takes the range of another",
        COMBINE,
        "np.concatenate([*map(np.broadcast_to, ends, counts)])",
        "np.concatenate([*map(np.broadcast_to, ends[::-1], counts[::-1])])",
        "tests/layers/test_layer_ranges.py",
    ),
    Mutant(
        "a sum whose bottoms are not tied",
        COMBINE,
        "        setting.ties.tie(first.labels, channels.labels)\n",
        "        pass\n",
        TEST_HOMOGENEOUS + "::test_values_are_the_same_but_for_their_powers[sum]",
    ),
    Mutant(
        "the powers of a concatenation in another order",
        COMBINE,
        "Channels(axis, np.concatenate(parts))",
        "Channels(axis, np.concatenate(parts[::-1]))",
        TEST_HOMOGENEOUS + "::test_values_are_the_same_but_for_their_powers[concat with the input]",
    ),
    Mutant(
        "the third bottom of an Eltwise forgotten",
        COMBINE,
        "for bottom in bottoms[2:]:",
        "for bottom in bottoms[3:]:",
        TEST_LAYER_FORWARD + "::test_a_layer_with_several_bottoms",
    ),
    Mutant(
        "a bias that does not follow its weights",
        HOMOGENEOUS,
        "[weights, bias][: len(setting.blobs)])",
        "[weights])",
        TEST_HOMOGENEOUS + "::test_values_are_the_same_but_for_their_powers[relu]",
    ),
    Mutant(
        "weights behind a power not divided",
        HOMOGENEOUS,
        "Scaled(columns, inputs, divided=True)",
        "Scaled(columns, inputs)",
        TEST_HOMOGENEOUS + "::test_values_are_the_same_but_for_their_powers[relu]",
    ),
    Mutant(
        "transposed weights scaled along the wrong axis",
        INNER_PRODUCT,
        "    return Layout(1, matrix[0], outputs, 1) if transposed else",
        "    return Layout(1, 1, outputs, matrix[0]) if transposed else",
        TEST_FOLD + "::test_every_weight_layer_absorbs",
    ),
    Mutant(
        "the powers of a transposed product along the outputs",
        INNER_PRODUCT,
        "places // outputs if transposed else",
        "places % outputs if transposed else",
        "tests/passes/test_layer_powers.py",
    ),
    Mutant(
        "a product with weights that are not transposed",
        INNER_PRODUCT,
        "weights if settings.transpose else weights.T",
        "weights.T if settings.transpose else weights",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "beta used twice",
        LAYER_TYPE,
        "shift = self.shift * following.scale + following.shift",
        "shift = self.shift * following.scale + 2 * following.shift",
        TEST_FOLD + "::test_the_last_top_of_a_chain_survives",
    ),
    Mutant(
        "the shift in front not scaled",
        LAYER_TYPE,
        "shift = self.shift * following.scale + following.shift",
        "shift = self.shift + following.shift",
        TEST_FOLD + "::test_long_chains_fold_at_once",
    ),
    Mutant(
        "shifts rounded on the way",
        LAYER_TYPE,
        "        return Affine(following.axis if self.channels == 1 else self.axis, scale, shift)",
        "        return Affine(following.axis if self.channels == 1 else self.axis, scale, shift.astype(np.float32))",
        TEST_WRITTEN_VALUES + "::test_every_number_of_a_recorded_net_is_rounded_once[fold-conv-g1-bias-apart]",
    ),
    Mutant(
        "ranges do not turn with a negative factor",
        RANGES,
        "corners = [a * b for a in one for b in other]",
        "corners = [a * b for a, b in zip(one, other)]",
        "tests/layers/test_layer_ranges.py",
    ),
    Mutant(
        "the gates of an LSTM in another order",
        RECURRENT,
        "admit, forget, emit, candidate = np.split",
        "admit, forget, candidate, emit = np.split",
        TEST_LAYER_FORWARD + "::test_a_layer_whose_second_bottom_chooses",
    ),
    Mutant(
        "of equal scores the first comes first",
        REDUCE,
        'np.argsort(rows, axis=-1, kind="stable")[..., ::-1][..., :count]',
        'np.argsort(-rows, axis=-1, kind="stable")[..., :count]',
        TEST_LAYER_FORWARD + "::test_of_equal_scores_the_last_comes_first",
    ),
    Mutant(
        "an unknown rank taken for 4",
        SHAPES,
        "        return axis if axis >= 0 else None\n",
        "        return axis % 4\n",
        TEST_FINDS + "::test_an_axis_from_the_end_of_an_unknown_rank_absorbs_nothing",
    ),
    Mutant(
        "a blob may have any size",
        SHAPES,
        "    if count > LARGEST:",
        "    if count < 0:",
        "tests/test_hostile.py",
    ),
    Mutant(
        "the axis of an InnerProduct counted on its top",
        WEIGHTED,
        "known_axis(getattr(parameter, settings_name).axis, bottom)",
        "known_axis(getattr(parameter, settings_name).axis, bottom and bottom[:-1])",
        TEST_FINDS + "::test_ip_negative_axis_counts_on_its_bottom",
    ),
    Mutant(
        "the old bias not scaled",
        WEIGHTED,
        "new_bias = inner * scale + affine.shift",
        "new_bias = inner + affine.shift",
        TEST_FOLD + "::test_every_weight_layer_absorbs",
    ),
    Mutant(
        "the shift dropped",
        WEIGHTED,
        "new_bias = inner * scale + affine.shift",
        "new_bias = inner * scale + 0 * affine.shift",
        TEST_FOLD + "::test_a_missing_bias_is_created_and_bias_term_set",
    ),
    Mutant(
        "the bias rounded before it is shifted",
        WEIGHTED,
        "new_bias = inner * scale + affine.shift",
        "new_bias = (inner * scale).astype(np.float32) + affine.shift",
        TEST_WRITTEN_VALUES + "::test_every_number_of_a_recorded_net_is_rounded_once[fold-conv-g1-bias-apart]",
    ),
    Mutant(
        "bias_term not set",
        WEIGHTED,
        "        getattr(changed, settings_name).bias_term = True\n",
        "        pass\n",
        TEST_FOLD + "::test_a_missing_bias_is_created_and_bias_term_set",
    ),
    Mutant(
        "the shift before a layer with weights lost",
        WEIGHTED,
        "bias.reshape(-1) + _shifts(blobs[0], placed, inflow)",
        "bias.reshape(-1)",
        "tests/passes/test_fold_forward.py",
    ),
    Mutant(
        "the scale before a layer with weights lost",
        WEIGHTED,
        "(Scaling(inflow.layout, inflow.scale),)",
        "()",
        "tests/passes/test_fold_forward.py",
    ),
    Mutant(
        "padding takes a shift",
        "layers/convolution.py",
        "if reaches_out(settings, windows(settings, unknown_axes(len(shape) - 2))):",
        "if False:",
        "tests/passes/test_fold_forward.py::test_padding_does_not_take_a_shift",
    ),
    Mutant(
        "a channel is one input",
        WEIGHTED,
        "return Inflow(layout, np.repeat(affine.scale, repeated), np.repeat(affine.shift, repeated))",
        "return Inflow(layout, np.tile(affine.scale, repeated), np.tile(affine.shift, repeated))",
        "tests/passes/test_fold_forward.py",
    ),
    Mutant(
        "every operand of a sum gets the shift",
        "layers/combine.py",
        "    found = [replace(affine, shift=np.zeros_like(affine.shift))] * count\n",
        "    found = [affine] * count\n",
        "tests/passes/test_backward.py",
    ),
    Mutant(
        "a negative scale goes through a maximum",
        "layers/pooling.py",
        "return same(carried) if np.all(affine.scale > 0) else",
        "return same(carried) if np.any(affine.scale > 0) else",
        "tests/passes/test_backward.py",
    ),
    Mutant(
        "shuffled channels are shuffled again",
        "layers/arrange.py",
        "values.reshape(-1, group).T.reshape(-1)",
        "values.reshape(group, -1).T.reshape(-1)",
        "tests/passes/test_backward.py",
    ),
    Mutant(
        "a ReLU with a slope picks its values",
        "layers/activation.py",
        "picks=lambda parameter: not parameter.relu_param.negative_slope",
        "picks=lambda parameter: True",
        "tests/execution/test_forward.py::test_the_top_of_a_layer_that_only_picks_is_as_the_device_stores_it",
    ),
)
