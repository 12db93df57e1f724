"""Chains that are carried backward to the layers that absorb them: before and after, and the judge's word on values."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import pytest
from nets import Fused, batch_norm, convolution, fuse, layer, scale, text
from test_fold import becomes

TWO = [convolution("c1", top="c1"), convolution("c2", top="c2")]
SHARERS = [each.replace(" }", ' } param { name: "w" } param { name: "v" }', 1) for each in TWO]
SHAPE = (2, 4, 5, 6)


def carried(layers: Sequence[str], after: Sequence[str], **options: Any) -> Fused:
    """As `becomes`, with all folds."""
    return becomes(layers, after, **{"folds": "all", **options})


def left(reason: str, *layers: str, name: str = "b", **options: Any) -> None:
    """Asserts that the chain becomes a Scale, with this reason, and no blob changes its value."""
    fused = fuse(text(*layers), **{"folds": "all", **options})
    assert () == fused.violations(SHAPE)
    converted = {each.layer: each.reason for each in fused.result.report.converted}
    assert reason == {**fused.refused, **converted}[name]


def test_through_a_concat_each_input_takes_its_slice() -> None:
    layers = [*TWO, layer("cat", "Concat", "c1 c2", "cat"), batch_norm("b", "cat", "b"), scale("s", "b", "s")]
    fused = carried(
        layers,
        [convolution("c1", top="c1_b"), convolution("c2", top="c2_b"), layer("cat", "Concat", "c1_b c2_b", "s")],
    )
    assert {"c1": None, "c2": None, "cat": None, "b": None} == fused.result.report.vanished_blobs


def test_inputs_that_already_have_a_batch_norm_take_both() -> None:
    layers = [
        *(convolution("c1", top="c1"), batch_norm("b1", "c1", "c1"), scale("s1", "c1", "c1"), TWO[1]),
        *(layer("cat", "Concat", "c1 c2", "cat"), batch_norm("b", "cat", "cat"), layer("r", "ReLU", "cat", "cat")),
    ]
    carried(
        layers,
        [
            *(convolution("c1", top="c1_b"), convolution("c2", top="c2_b")),
            *(layer("cat", "Concat", "c1_b c2_b", "cat"), layers[-1]),
        ],
    )


@pytest.mark.parametrize("settings", ["", "eltwise_param { operation: SUM coeff: 0 coeff: -0.75 }"])
def test_a_sum_gives_the_scale_to_all_and_the_shift_to_one(settings: str) -> None:
    layers = [*TWO, layer("e", "Eltwise", "c1 c2", "e", settings), batch_norm("b", "e", "b")]
    carried(
        layers,
        [
            convolution("c1", top="c1_b"),
            convolution("c2", top="c2_b"),
            layer("e", "Eltwise", "c1_b c2_b", "b", settings),
        ],
    )


@pytest.mark.parametrize(
    "between",
    [
        layer("p", "Pooling", "c", "p", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }"),
        layer("p", "Pooling", "c", "p", "pooling_param { pool: AVE global_pooling: true }"),
        layer("p", "Permute", "c", "p", "permute_param { order: 0 order: 1 order: 3 order: 2 }"),
        layer("p", "ShuffleChannel", "c", "p", "shuffle_channel_param { group: 2 }"),
        layer("p", "Reshape", "c", "p", "reshape_param { shape { dim: 0 dim: 0 dim: -1 } }"),
        layer("p", "Flatten", "c", "p", "flatten_param { axis: 2 }"),
        layer("p", "Crop", "c x", "p", "crop_param { axis: 2 }"),
        layer("p", "Dropout", "c", "p"),
        layer("p", "Split", "c", "p"),
    ],
)
def test_through_layers_that_move_or_average_values(between: str) -> None:
    settings = "pad: 1"
    layers = [convolution(settings=settings), between, batch_norm("b", "p", "b"), scale()]
    end = between.replace('bottom: "c"', 'bottom: "c_b"').replace('top: "p"', 'top: "s"')
    if "Dropout" in between or "Split" in between:  # a chain goes through what is the identity
        carried(layers, [convolution(top="s", settings=settings)])
    else:
        carried(layers, [convolution(top="c_b", settings=settings), end])


def test_through_a_permutation_the_axis_follows() -> None:
    layers = [
        *(convolution(), layer("p", "Permute", "c", "p", "permute_param { order: 0 order: 2 order: 3 order: 1 }")),
        *(scale("s", "p", "s", "scale_param { axis: 3 }"), layer("r", "ReLU", "s", "r")),
    ]
    carried(
        layers, [convolution(top="c_s"), layers[1].replace('"c"', '"c_s"').replace('top: "p"', 'top: "s"'), layers[-1]]
    )


def test_through_several_layers() -> None:
    layers = [
        *(*TWO, convolution("c3", top="c3")),
        *(layer("e", "Eltwise", "c1 c2", "e"), layer("d", "Dropout", "e", "e")),
        *(
            layer("cat", "Concat", "e c3", "cat"),
            layer("p", "Pooling", "cat", "p", "pooling_param { pool: AVE kernel_size: 2 }"),
        ),
        batch_norm("b", "p", "b"),
    ]
    carried(
        layers,
        [
            *(convolution("c1", top="c1_b"), convolution("c2", top="c2_b"), convolution("c3", top="c3_b")),
            *(layer("e", "Eltwise", "c1_b c2_b", "e_b"), layer("d", "Dropout", "e_b", "e_b")),
            layer("cat", "Concat", "e_b c3_b", "cat_b"),
            layer("p", "Pooling", "cat_b", "b", "pooling_param { pool: AVE kernel_size: 2 }"),
        ],
    )


def test_what_one_move_leaves_lets_the_next_chain_move() -> None:
    layers = [
        *(*TWO, convolution("c3", top="c3")),
        *(layer("e", "Concat", "c1 c2", "e"), batch_norm("b1", "e", "e")),
        *(layer("cat", "Concat", "e c3", "cat"), batch_norm("b2", "cat", "cat")),
    ]
    fused = fuse(text(*layers), folds="all")
    assert () == fused.violations(SHAPE)
    assert "BatchNorm" not in fused.prototxt.decode()
    assert "Scale" not in fused.prototxt.decode()


def test_a_slice_whose_every_top_has_a_chain() -> None:
    layers = [
        *(convolution(), layer("cut", "Slice", "c", "a z", "slice_param { slice_point: 2 }")),
        *(batch_norm("b1", "a", "a"), batch_norm("b2", "z", "z2"), layer("r", "ReLU", "a", "a")),
    ]
    carried(
        layers,
        [convolution(top="c_b1"), layer("cut", "Slice", "c_b1", "a z2", "slice_param { slice_point: 2 }"), layers[-1]],
    )


def test_through_blocks_of_the_batch_along_an_axis_behind_them() -> None:
    """Synopsys' atrous convolutions: channels last between two Permutes."""
    to_last = "permute_param { order: 0 order: 2 order: 3 order: 1 }"
    to_first = "permute_param { order: 0 order: 3 order: 1 order: 2 }"
    blocks = "batch_to_space_nd_param { block_shape: 2 block_shape: 1 crops: 1 crops: 0 crops: 0 crops: 0 }"
    between = [
        layer("p", "Permute", "c", "p", to_last),
        layer("t", "BatchToSpaceND", "p", "t", blocks),
        layer("q", "Permute", "t", "q", to_first),
    ]
    after = [each.replace('"c"', '"c_b"').replace('"p"', '"p_b"', 1) for each in between]
    after = [
        convolution(top="c_b"),
        layer("p", "Permute", "c_b", "p_b", to_last),
        layer("t", "BatchToSpaceND", "p_b", "t_b", blocks),
        layer("q", "Permute", "t_b", "b", to_first),
    ]
    carried([convolution(), *between, batch_norm("b", "q", "b")], after)


def test_through_a_pixel_shuffle_each_block_of_channels_takes_one() -> None:
    shuffle = "reshape_param { pixelshuffler: 2 }"
    wide = convolution().replace("num_output: 6", "num_output: 8")
    layers = [wide, layer("p", "Reshape", "c", "p", shuffle), batch_norm("b", "p", "b")]
    carried(layers, [wide.replace('top: "c"', 'top: "c_b"'), layer("p", "Reshape", "c_b", "b", shuffle)])


# What does not


def test_an_input_with_another_consumer_stops_all() -> None:
    cat = [layer("cat", "Concat", "c1 c2", "cat"), batch_norm("b", "cat", "b")]
    left("blob c1 has 2 consumers: cat, r", *TWO, *cat, layer("r", "ReLU", "c1", "r"))


def test_a_sum_of_a_value_with_itself_stays() -> None:
    left("blob c has 2 consumers: e", convolution(), layer("e", "Eltwise", "c c", "e"), batch_norm("b", "e", "b"))


def test_what_cannot_absorb_stops_all() -> None:
    layers = [TWO[0], layer("r", "ReLU", "x", "r"), layer("cat", "Concat", "c1 r", "cat", "concat_param { axis: 2 }")]
    shape = [layers[0].replace("num_output: 6 kernel_size: 3", "num_output: 4 kernel_size: 1"), *layers[1:]]
    left("blob r comes from ReLU r, which cannot absorb it", *shape, batch_norm("b", "cat", "b"))


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (
            layer("p", "Pooling", "c", "p", "pooling_param { kernel_size: 2 }"),
            "Pooling p: a scale is not above 0, and turns its maximum",
        ),
        (
            layer("p", "Pooling", "c", "p", "pooling_param { pool: AVE kernel_size: 2 pad: 1 }"),
            "Pooling p: its padding counts as zeros, which the shift would not reach",
        ),
        (
            layer("p", "Reshape", "c", "p", "reshape_param { shape { dim: 0 dim: 3 dim: -1 } }"),
            "Reshape p: the channels after it are no axis before it",
        ),
        (
            layer("p", "Eltwise", "c k", "p", "eltwise_param { operation: PROD }"),
            "Eltwise p: it multiplies its bottoms",
        ),
        (
            layer("p", "Eltwise", "c k", "p", "eltwise_param { operation: MAX }"),
            "Eltwise p: a scale is not above 0, and turns its maximum",
        ),
        (
            layer("p", "Eltwise", "c k", "p", "eltwise_param { coeff: 0 coeff: 0 }"),
            "Eltwise p: all of its coefficients are 0",
        ),
    ],
)
def test_layers_that_do_not_let_it_through(between: str, reason: str) -> None:
    left(reason, convolution(), convolution("k", top="k"), between, scale("b", "p", "b"))


def test_keep_names_a_layer_on_the_way() -> None:
    layers = [*TWO, layer("cat", "Concat", "c1 c2", "cat"), batch_norm("b", "cat", "b")]
    left("--keep names Concat cat", *layers, keep=["cat"])
    left("--keep names Convolution c2", *layers, keep=["c2"])


def test_sharers_have_to_get_the_same_slice() -> None:
    layers = [*SHARERS, layer("cat", "Concat", "c1 c2", "cat"), batch_norm("b", "cat", "b")]
    reason = "Convolution c1 shares its weights with Convolution c2, which does not get the same scale and shift"
    left(reason, *layers)


def test_sharers_that_get_the_same_fold() -> None:
    along = layer("cat", "Concat", "c1 c2", "cat", "concat_param { axis: 2 }")
    fused = fuse(text(*SHARERS, along, batch_norm("b", "cat", "b")), folds="all")
    assert () == fused.violations(SHAPE)
    assert [] == list(fused.result.report.converted)


def test_only_direct_folds() -> None:
    layers = [*TWO, layer("cat", "Concat", "c1 c2", "cat"), batch_norm("b", "cat", "b")]
    left("it reads the output of Concat cat, which cannot absorb it", *layers, folds="direct")


# What the proof has to run


def test_values_of_several_sizes_meet(tmp_path: Path) -> None:
    """The proof takes small images at first, of which these do not fit together."""
    pooling = layer("p", "Pooling", "c1", "p", "pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
    strided = convolution("c2", top="c2", settings="stride: 2")
    layers = [TWO[0], strided, pooling, layer("e", "Eltwise", "p c2", "e"), batch_norm("b", "e", "b")]
    shape = (2, 4, 20, 20)
    fused = fuse(text(*layers, shape=shape), folds="all")
    assert () == fused.violations(shape)
    assert [] == list(fused.result.report.converted)
    fused.result.save(tmp_path / "out")


def test_a_slice_of_the_batch() -> None:
    layers = [
        *(convolution(), layer("cut", "Slice", "c", "a z", "slice_param { axis: 0 }")),
        *(scale("s1", "a", "a1", "scale_param { }"), scale("s2", "z", "z1", "scale_param { }")),
    ]
    left("Slice cut: its tops have different scales and shifts", *layers, name="s1")


def test_a_scale_of_the_batch_stays() -> None:
    along = scale("s", "cat", "s", "scale_param { axis: 0 bias_term: true }")
    left("it works along axis 0, the batch", *TWO, layer("cat", "Concat", "c1 c2", "cat"), along, name="s")


def test_a_reshape_that_fits_one_batch_alone() -> None:
    reshape = layer("p", "Reshape", "c", "p", "reshape_param { shape { dim: 2 dim: 6 dim: 12 } }")
    carried(
        [convolution(), reshape, batch_norm("b", "p", "b")],
        [convolution(top="c_b"), reshape.replace('"c"', '"c_b"').replace('top: "p"', 'top: "b"')],
    )
