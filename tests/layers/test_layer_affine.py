"""Layers that are y = scale * x + shift: what they refuse, and that the affine does what the layer does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layer_texts import affine_from, affine_of, forward

from caffe_fuse.errors import InternalError
from caffe_fuse.layers.layer_type import IDENTITY, Affine, Refusal


def applied(affine, bottom):
    shape = [1] * bottom.ndim
    shape[affine.axis] = affine.channels
    return bottom * affine.scale.reshape(shape) + affine.shift.reshape(shape)


def test_affines_compose_in_order():
    first, second = affine_from([2.0, 3.0], [5.0, 7.0]), affine_from([11.0, 13.0], [17.0, 19.0])
    both = first.then(second)
    assert ([22.0, 39.0], [72.0, 110.0]) == (both.scale.tolist(), both.shift.tolist())


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
def test_a_scalar_affine_takes_the_axis_of_the_other(first, second):
    one = Affine(1, np.ones(first), np.zeros(first)) if first == 1 else affine_from([2.0, 4.0], [1.0, 2.0], axis=3)
    other = affine_from([2.0], [1.0]) if second == 1 else affine_from([2.0, 4.0], [1.0, 2.0], axis=3)
    both = one.then(other)
    assert (3, 2) == (both.axis, both.channels)


def test_affines_along_different_axes_do_not_compose():
    with pytest.raises(InternalError, match="on axis 1 cannot be followed by one of 2 on axis 2"):
        affine_from([1.0, 2.0], [0.0, 0.0]).then(affine_from([1.0, 2.0], [0.0, 0.0], axis=2))


def test_only_scale_one_and_shift_zero_is_the_identity():
    affines = [
        IDENTITY,
        affine_from([1.0, 1.0], [0.0, 0.0]),
        affine_from([1.0], [1e-30]),
        affine_from([1.0, 2.0], [0.0]),
    ]
    assert [True, True, False, False] == [affine.is_identity for affine in affines]


def test_an_affine_cannot_be_written_to():
    source = np.ones(2)
    affine = Affine(1, source, np.zeros(2))
    source[0] = 5
    assert ([1.0, 1.0], False) == (affine.scale.tolist(), affine.scale.flags.writeable)


BATCH_NORM = "type: 'BatchNorm' batch_norm_param { %s }"
THREE_BLOBS = ([1.0, -2.0], [4.0, 9.0], [2.0])


def test_batch_norm_divides_mean_and_variance_by_the_factor_and_adds_eps_behind_it():
    affine = affine_of(BATCH_NORM % "eps: 0.5", THREE_BLOBS)
    scale = 1 / np.sqrt([2.5, 5.0])
    assert (scale.tolist(), (-np.array([0.5, -1.0]) * scale).tolist()) == (
        affine.scale.tolist(),
        affine.shift.tolist(),
    )


def test_a_factor_of_zero_means_no_mean_and_no_variance():
    affine = affine_of(BATCH_NORM % "eps: 0.25", ([1.0, 2.0], [4.0, 9.0], [0.0]))
    assert ([2.0, 2.0], [0.0, 0.0]) == (affine.scale.tolist(), affine.shift.tolist())


def test_the_default_eps_is_a_float32():
    affine = affine_of("type: 'BatchNorm'", ([0.0], [0.0], [1.0]))
    assert 1 / np.sqrt(np.float64(np.float32(1e-5))) == affine.scale[0]


REFUSED = {
    "bn-blobs": (
        BATCH_NORM % "",
        [[1.0, 2.0]] * 5,
        "it has blobs of 2, 2, 2, 2, 2 elements, expected mean variance factor",
    ),
    "bn-no-blobs": (BATCH_NORM % "", [], "it has no blobs, expected mean variance factor"),
    "bn-sizes": (
        BATCH_NORM % "",
        ([1.0, 2.0], [1.0], [1.0]),
        "it has blobs of 2, 1, 1 elements, expected mean variance factor",
    ),
    "bn-batch": (
        BATCH_NORM % "use_global_stats: false",
        THREE_BLOBS,
        "batch statistics: use_global_stats is false",
    ),
    "bn-field": (BATCH_NORM % "relu: true", THREE_BLOBS, "it ends in a ReLU of its own"),
    "bn-negative": (
        BATCH_NORM % "eps: 0.5",
        ([0.0, 0.0], [1.0, -2.0], [1.0]),
        "its variance + eps is -1.5 in channel 1",
    ),
    "bn-zero": (BATCH_NORM % "eps: 0", ([0.0, 0.0], [1.0, 0.0], [1.0]), "its variance + eps is 0 in channel 1"),
    "bn-nan": (BATCH_NORM % "", ([0.0, np.nan], [1.0, 1.0], [1.0]), "its shift is nan in channel 1"),
    "bn-dialect": (
        "type: 'BN'",
        [np.ones(2)] * 4,
        "its blobs do not show which dialect of BN it is",
    ),
    "scale-spatial": (
        "type: 'Scale' scale_param { num_axes: 2 }",
        [np.ones((3, 4))],
        "its blob of shape 3x4 covers more than one axis",
    ),
    "scale-inf": ("type: 'Scale'", [[1.0, np.inf, 1.0]], "its scale is inf in channel 1"),
    "scale-blobs": ("type: 'Scale'", [], "it has no blobs, expected 1 of one size"),
    "scale-sizes": (
        "type: 'Scale' scale_param { bias_term: true }",
        [np.ones(3), np.ones(2)],
        "it has blobs of 3, 2 elements, expected 2 of one size",
    ),
    "power": ("type: 'Power' power_param { power: 2 }", [], "its power is 2, but only a power of 1 is "),
    "power-zero": ("type: 'Power' power_param { power: 0 }", [], "its power is 0, but only a power of 1 is "),
    "dropout-field": (
        "type: 'Dropout' dropout_param { scale_train: false }",
        [],
        "scale_train is set in its DropoutParameter",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_says_what_was_found(case):
    text, blobs, reason = REFUSED[case]
    refusal = affine_of(text, blobs)
    assert isinstance(refusal, Refusal)
    assert reason == refusal.reason[: len(reason)]


def test_a_scale_with_two_bottoms_is_refused():
    refusal = affine_of("type: 'Scale'", [], [(2, 3), (3,)])
    assert Refusal("its values come from another layer: it has 2 bottoms") == refusal


def test_a_negative_axis_of_an_unknown_bottom_is_refused():
    refusal = affine_of("type: 'Scale' scale_param { axis: -3 }", [np.ones(3)], [None])
    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith("its axes count from the end")


@pytest.mark.parametrize("text", ["type: 'BatchNorm'", "type: 'Dropout'"])
def test_training_is_refused(text):
    assert isinstance(affine_of(text, THREE_BLOBS, phase="TRAIN"), Refusal)


def test_global_statistics_fold_in_the_training_phase():
    assert isinstance(affine_of(BATCH_NORM % "use_global_stats: true", THREE_BLOBS, phase="TRAIN"), Affine)


@pytest.mark.parametrize(
    ("settings", "shape", "axis"),
    [
        ("", (3,), 1),
        ("axis: -3", (3,), 1),
        ("axis: 2", (4,), 2),
        ("num_axes: -1", (3, 1, 1), 1),
        ("axis: 0 num_axes: 2", (1, 3), 1),
        ("axis: 1", (1, 1, 1, 3), 1),
    ],
)
def test_a_scale_lies_along_the_one_axis_that_is_long(settings, shape, axis):
    affine = affine_of(
        f"type: 'Scale' scale_param {{ {settings} }}",
        [np.arange(1.0, shape[-1] + 1) if len(shape) == 1 else np.arange(1.0, 4).reshape(shape)],
    )
    assert (axis, np.prod(shape)) == (affine.axis, affine.channels)


IDENTITIES = ["type: 'Dropout'", "type: 'Dropout' dropout_param { dropout_ratio: 0.7 }", "type: 'Split'"]


@pytest.mark.parametrize("text", IDENTITIES)
def test_these_layers_do_nothing_in_inference(text):
    bottom = np.arange(6.0).reshape(2, 3)
    (top,) = forward(text, [], bottom)
    assert (True, bottom.tolist()) == (affine_of(text).is_identity, top.tolist())


@st.composite
def affine_layers(draw):
    """Draws the text of a layer that is an affine, its blobs, and a bottom."""
    rank = draw(st.integers(2, 5))
    sizes = tuple(draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank)))
    rng = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    bottom = rng.standard_normal(sizes)
    kind = draw(st.sampled_from(["BatchNorm", "Scale", "Bias", "Power"]))
    if kind == "BatchNorm":
        factor = draw(st.sampled_from([0.0, 1.0, 999.98, 1e-3]))
        blobs = [
            rng.standard_normal(sizes[1]) * factor,
            rng.uniform(0.1, 9, sizes[1]) * factor,
            np.array([factor]),
        ]
        return BATCH_NORM % f"eps: {draw(st.sampled_from([1e-5, 1e-3, 0.5]))}", blobs, bottom
    if kind == "Power":
        scale, shift = rng.standard_normal(2)
        return f"type: 'Power' power_param {{ scale: {scale} shift: {shift} }}", [], bottom
    axis = draw(st.integers(-rank, rank - 1))
    scalar = draw(st.booleans())
    settings = f"axis: {axis} num_axes: {0 if scalar else 1}"
    count, shape = draw(st.integers(1, 2)), () if scalar else (sizes[axis],)
    blobs = [rng.standard_normal(shape) for _ in range(count if kind == "Scale" else 1)]
    if kind == "Bias":
        return f"type: 'Bias' bias_param {{ {settings} }}", blobs, bottom
    return f"type: 'Scale' scale_param {{ {settings} bias_term: {str(count == 2).lower()} }}", blobs, bottom


@given(affine_layers())
def test_the_affine_does_what_the_layer_does(drawn):
    text, blobs, bottom = drawn
    (expected,) = forward(text, blobs, bottom)
    found = applied(affine_of(text, blobs, [bottom.shape]), bottom)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize("text", ["type: 'BatchNorm'", "type: 'Scale'", "type: 'Bias'", "type: 'Power'"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_keeps_the_type_of_the_bottom(text, dtype):
    blobs = THREE_BLOBS if "Norm" in text else ([3.0, 4.0],)
    (top,) = forward(text, [np.array(blob) for blob in blobs], np.ones((1, 2, 3), dtype))
    assert dtype == top.dtype


def test_batch_statistics_are_those_of_each_channel():
    bottom = np.array([[[1.0, 3.0], [5.0, 5.0]], [[1.0, 3.0], [7.0, 7.0]]])
    (top,) = forward(BATCH_NORM % "eps: 3", [np.zeros(2), np.zeros(2), np.zeros(1)], bottom, phase="TRAIN")
    assert [[[-0.5, 0.5], [-0.5, -0.5]], [[-0.5, 0.5], [0.5, 0.5]]] == top.tolist()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("power: 2 shift: 1", [9.0, 25.0]),
        ("power: 0", [1.0, 1.0]),
        ("scale: 0 shift: 3 power: 2", [9.0, 9.0]),
    ],
)
def test_power_that_is_not_linear(settings, expected):
    (top,) = forward(f"type: 'Power' power_param {{ {settings} }}", [], np.array([2.0, 4.0]))
    assert expected == top.tolist()
