"""Faults in caffe_fuse/layers/: what slides a window over images, or looks at neighbours."""

from __future__ import annotations

from typing import Tuple

from .mutant import Mutant

CONVOLUTION = "layers/convolution.py"
NORMALISE = "layers/normalise.py"
POOLING = "layers/pooling.py"
RESIZE = "layers/resize.py"
SLIDING = "layers/sliding.py"
WINDOW = "layers/window.py"

TEST_LAYER_FORWARD = "tests/layers/test_layer_forward.py"
TEST_LAYERS = "tests/layers/test_layers.py"
TEST_FOLD = "tests/passes/test_fold.py"

MUTANTS: Tuple[Mutant, ...] = (
    Mutant(
        "a deconvolution scaled along its inputs",
        CONVOLUTION,
        "    return Layout(group, shape[0] // group, shape[1], prod(shape[2:]))",
        "    return Layout(1, 1, outputs, prod(shape) // outputs)",
        TEST_FOLD + "::test_every_weight_layer_absorbs",
    ),
    Mutant(
        "the powers of the first group for all",
        CONVOLUTION,
        "first // (shape[0] // groups) * shape[1] + second",
        "second",
        "tests/passes/test_layer_powers.py",
    ),
    Mutant(
        "a softmax that overflows",
        NORMALISE,
        "np.exp(x - x.max(axis, keepdims=True))",
        "np.exp(x)",
        TEST_LAYER_FORWARD + "::test_a_softmax_of_large_numbers_does_not_overflow",
    ),
    Mutant(
        "alpha not shared out",
        NORMALISE,
        "settings.alpha / size * total",
        "settings.alpha * total",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "k within a channel",
        NORMALISE,
        "scale = 1 + settings.alpha * average",
        "scale = settings.k + settings.alpha * average",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "eps of an MVN inside the root",
        NORMALISE,
        "deviation = np.sqrt(np.square(top).mean(1, keepdims=True))\n"
        "        top /= deviation + x.dtype.type(np.float32(settings.eps))",
        "deviation = np.sqrt(np.square(top).mean(1, keepdims=True) + np.float32(settings.eps))\n"
        "        top /= deviation",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "a NaN is the largest of an image",
        POOLING,
        "np.fmax.reduce(x.reshape(*x.shape[:2], -1), axis=2, initial=LOWEST)",
        "np.maximum.reduce(x.reshape(*x.shape[:2], -1), axis=2, initial=LOWEST)",
        TEST_LAYER_FORWARD + "::test_a_maximum_passes_over_nan_also_where_the_window_is_the_image",
    ),
    Mutant(
        "each axis clipped by its own padding",
        POOLING,
        "window.pooled(dim, round_up, clipped)",
        "window.pooled(dim, round_up, bool(window.before))",
        TEST_LAYERS + "::test_shapes_are_those_of_caffe",
    ),
    Mutant(
        "a maximum of padding is 0",
        POOLING,
        "    wide = padded(x, slid, steps, LOWEST)\n    top = np.full",
        "    wide = padded(x, slid, steps)\n    top = np.full",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "bins of an SPP round down",
        POOLING,
        "pad = (kernel * bins - length + 1) // 2",
        "pad = (kernel * bins - length) // 2",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "half of a region rounds to even",
        RESIZE,
        "np.floor(np.abs(region[1:5]) * settings.spatial_scale + 0.5) * np.sign(region[1:5])",
        "np.rint(region[1:5] * settings.spatial_scale)",
        TEST_LAYER_FORWARD + "::test_roi_pooling_rounds_half_away_from_zero",
    ),
    Mutant(
        "a deconvolution as large as without dilation",
        SLIDING,
        "full = tuple((size - 1) * window.stride + window.extent for",
        "full = tuple((size - 1) * window.stride + window.kernel for",
        TEST_LAYER_FORWARD + "::test_a_deconvolution",
    ),
    Mutant(
        "a kernel of 1 without padding",
        SLIDING,
        "source = wide[(slice(None), slice(None), *picked)]",
        "source = x[(slice(None), slice(None), *picked)]",
        TEST_LAYER_FORWARD + "::test_a_convolution",
    ),
    Mutant(
        "rows of a depthwise kernel of the next phase taken for those of the same",
        SLIDING,
        "period = first.stride // gcd(first.stride, first.dilation) if",
        "period = 1 if",
        TEST_LAYER_FORWARD + "::test_a_depthwise_convolution",
    ),
    Mutant(
        "a depthwise convolution without dilation",
        SLIDING,
        "divmod(index * window.dilation, window.stride)",
        "divmod(index, window.stride)",
        TEST_LAYER_FORWARD + "::test_a_depthwise_convolution",
    ),
    Mutant(
        "the second block of rows written over the first",
        SLIDING,
        "top[image, :, :, first * row : (first + rows) * row]",
        "top[image, :, :, : min(rows, steps[0] - first) * row]",
        TEST_LAYER_FORWARD + "::test_a_large_image_is_done_in_parts",
    ),
    Mutant(
        "the steps of a pooling are rounded down",
        WINDOW,
        "(-(-room // self.stride) if round_up else room // self.stride)",
        "room // self.stride",
        TEST_LAYER_FORWARD + "::test_segnets_upsample_undoes_a_pooling",
    ),
    Mutant(
        "a window that begins behind the bottom",
        WINDOW,
        "(steps - 1) * self.stride >= size + self.before",
        "(steps - 1) * self.stride > size + self.before",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "height and width of a stride change places",
        WINDOW,
        '("stride_h", "stride_w"), rank, 1)',
        '("stride_w", "stride_h"), rank, 1)',
        TEST_LAYERS + "::test_shapes_are_those_of_caffe",
    ),
    Mutant(
        "the steps of a convolution are rounded down",
        WINDOW,
        "int((size + self.before + self.after - self.extent) / self.stride)",
        "(size + self.before + self.after - self.extent) // self.stride",
        TEST_LAYER_FORWARD + "::test_a_window_that_is_a_little_too_large_is_laid_once",
    ),
    Mutant(
        "the last of equal maxima",
        POOLING,
        "in reversed(list(zip(_each_place(wide, slid, steps), _each_place(indices, slid, steps)))):",
        "in zip(_each_place(wide, slid, steps), _each_place(indices, slid, steps)):",
        TEST_LAYER_FORWARD + "::test_of_equal_maxima_the_first_has_the_place",
    ),
    Mutant(
        "a deconvolution cuts in front what it cuts behind",
        SLIDING,
        "slice(max(before, 0), size - max(after, 0))",
        "slice(max(before, 0), size - max(before, 0))",
        TEST_LAYER_FORWARD + "::test_a_deconvolution_is_cut_by_the_padding_of_each_side",
    ),
    Mutant(
        "padding behind the bottom not in the divisor",
        POOLING,
        "window.before + length + window.after - starts",
        "window.before + length - starts",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "an odd element of SAME at the beginning",
        "layers/window.py",
        "before=along // 2, after=reach - size - along // 2",
        "before=along - along // 2, after=reach - size - along + along // 2",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "blocks of the batch in another order",
        "layers/blocks.py",
        "    split = x.reshape(*block, num, *x.shape[1:])\n",
        "    split = np.moveaxis(x.reshape(num, *block, *x.shape[1:]), 0, rank)\n",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "rows and columns of a pixel shuffle change places",
        "layers/blocks.py",
        ".transpose(0, 1, 4, 2, 5, 3)",
        ".transpose(0, 1, 4, 3, 5, 2)",
        TEST_LAYER_FORWARD + "::test_a_layer_with_one_bottom",
    ),
    Mutant(
        "Intel's Pooling does not clip",
        "layers/pooling.py",
        "clips = 1 in kernel and rank == 2 and _is_intels(parameter)",
        "clips = False",
        "tests/layers/test_layer_shapes.py::test_shapes_by_hand",
    ),
)
