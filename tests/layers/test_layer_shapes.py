"""The shapes of tops and of learned blobs, by hand."""

from __future__ import annotations

from contextlib import suppress
from typing import Dict, Tuple

import pytest
from layer_texts import layer, row_of

from caffe_fuse import layers
from caffe_fuse.errors import InputError
from caffe_fuse.layers.layer_type import Shapes


def shapes(text, *bottoms, tops=1, blobs=()):
    parameter = layer(text, tops=tops)
    return list(row_of(parameter.type).shapes(parameter, bottoms, blobs))


def blob_shapes(text, *bottoms):
    parameter = layer(text)
    facet = row_of(parameter.type).blobs
    assert facet is not None
    return list(facet(parameter, bottoms))


CONVOLUTION = "type: 'Convolution' convolution_param { num_output: 4 %s }"
SHAPES: Dict[str, Tuple[str, Shapes, Shapes]] = {
    "conv-unknown-bottom-two-kernels": (
        CONVOLUTION % "kernel_h: 3 kernel_w: 1",
        [None],
        [(None, 4, None, None)],
    ),
    "conv-unknown-bottom-one-kernel": (CONVOLUTION % "kernel_size: 3", [None], [None]),
    "conv-unknown-size": (CONVOLUTION % "kernel_size: 3", [(1, 3, None, 9)], [(1, 4, None, 7)]),
    "conv-rect": (
        CONVOLUTION % "kernel_h: 3 kernel_w: 5 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 2",
        [(2, 3, 11, 13)],
        [(2, 4, 6, 5)],
    ),
    "conv-pad-each-side": (
        CONVOLUTION % "kernel_size: 3 stride: 2 pad_b: 1 pad_r: 1",
        [(2, 3, 8, 6)],
        [(2, 4, 4, 3)],
    ),
    "conv-dilation": (CONVOLUTION % "kernel_size: 3 dilation: 2", [(2, 3, 9, 11)], [(2, 4, 5, 7)]),
    "conv-negative-axis": (CONVOLUTION % "kernel_size: 3 axis: -2", [(2, 3, 9)], [(2, 4, 7)]),
    "deconv": (
        "type: 'Deconvolution' convolution_param { num_output: 6 kernel_size: 4 stride: 2 pad: 1 group: 3 }",
        [(2, 9, 5, 7)],
        [(2, 6, 10, 14)],
    ),
    "ip-unknown-bottom": ("type: 'InnerProduct' inner_product_param { num_output: 7 }", [None], [(None, 7)]),
    "ip-negative-axis": (
        "type: 'InnerProduct' inner_product_param { num_output: 7 axis: -1 }",
        [(2, 3, 4)],
        [(2, 3, 7)],
    ),
    "pool-rounds-up": (
        "type: 'Pooling' pooling_param { kernel_size: 3 stride: 2 }",
        [(1, 2, 6, 7)],
        [(1, 2, 3, 3)],
    ),
    "pool-clips-both-axes": (
        "type: 'Pooling' pooling_param { kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 0 }",
        [(1, 2, 9, 12)],
        [(1, 2, 5, 4)],
    ),
    "pool-does-not-clip-without-padding": (
        "type: 'Pooling' pooling_param { kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 }",
        [(1, 2, 9, 12)],
        [(1, 2, 4, 5)],
    ),
    "pool-floor": (
        "type: 'Pooling' pooling_param { kernel_size: 3 stride: 2 round_mode: FLOOR }",
        [(1, 2, 6, 7)],
        [(1, 2, 2, 3)],
    ),
    "pool-ceil-mode-false": (
        "type: 'Pooling' pooling_param { kernel_size: 3 stride: 2 ceil_mode: false }",
        [(1, 2, 6, 7)],
        [(1, 2, 2, 3)],
    ),
    "pool-global-unknown": (
        "type: 'Pooling' pooling_param { global_pooling: true }",
        [None],
        [(None, None, 1, 1)],
    ),
    "pool-three-axes-of-space": (
        "type: 'Pooling' pooling_param { kernel_size: 1 kernel_size: 3 kernel_size: 2 stride: 1 stride: 2 stride: 2 }",
        [(1, 2, 4, 7, 8)],
        [(1, 2, 4, 3, 4)],
    ),
    "pool-one-size-for-all-axes": (
        "type: 'Pooling' pooling_param { kernel_size: 2 stride: 2 pad: 1 }",
        [(1, 2, 4, 7, 8)],
        [(1, 2, 3, 4, 5)],
    ),
    "pool-one-axis-of-space": ("type: 'Pooling' pooling_param { kernel_size: 3 }", [(1, 2, 8)], [(1, 2, 6)]),
    "pool-global-three-axes-of-space": (
        "type: 'Pooling' pooling_param { global_pooling: true }",
        [(1, 2, 4, None, 8)],
        [(1, 2, 1, 1, 1)],
    ),
    "pool-unknown-three-kernels": (
        "type: 'Pooling' pooling_param { kernel_size: 1 kernel_size: 3 kernel_size: 2 }",
        [None],
        [(None,) * 5],
    ),
    "spp-one-level": ("type: 'SPP' spp_param { pyramid_height: 1 }", [(2, 3, 9, 9)], [(2, 3, 1, 1)]),
    "spp-three-levels": ("type: 'SPP' spp_param { pyramid_height: 3 }", [(2, 3, 9, 9)], [(2, 63)]),
    "concat-unknown": ("type: 'Concat'", [(1, 2, None, 4), (1, None, 3, 4)], [(1, None, 3, 4)]),
    "concat-dim": ("type: 'Concat' concat_param { concat_dim: 2 }", [(1, 2, 3), (1, 2, 4)], [(1, 2, 7)]),
    "concat-axis-negative": ("type: 'Concat' concat_param { axis: -1 }", [(1, 2), (1, 5), (1, 1)], [(1, 8)]),
    "concat-all-unknown": ("type: 'Concat'", [None, None], [None]),
    "eltwise-joins-what-is-known": ("type: 'Eltwise'", [(1, None, 3), None, (None, 2, 3)], [(1, 2, 3)]),
    "flatten-middle": ("type: 'Flatten' flatten_param { axis: 1 end_axis: 2 }", [(2, 3, 4, 5)], [(2, 12, 5)]),
    "flatten-unknown": ("type: 'Flatten'", [None], [(None, None)]),
    "reshape": (
        "type: 'Reshape' reshape_param { shape { dim: 0 dim: -1 dim: 2 } }",
        [(3, 4, 5)],
        [(3, 10, 2)],
    ),
    "reshape-inserts-at-the-end": (
        "type: 'Reshape' reshape_param { shape { dim: 1 } axis: -1 num_axes: 0 }",
        [(3, 4)],
        [(3, 4, 1)],
    ),
    "reshape-part": (
        "type: 'Reshape' reshape_param { shape { dim: 2 dim: -1 } axis: 1 num_axes: 1 }",
        [(3, 6, 5)],
        [(3, 2, 3, 5)],
    ),
    "reshape-part-keeps": (
        "type: 'Reshape' reshape_param { shape { dim: 0 dim: -1 } axis: 1 }",
        [(3, 6, 5, 2)],
        [(3, 6, 10)],
    ),
    "reshape-unknown": (
        "type: 'Reshape' reshape_param { shape { dim: 0 dim: 8 dim: -1 } }",
        [None],
        [(None, 8, None)],
    ),
    "permute-appends": ("type: 'Permute' permute_param { order: 2 }", [(1, 2, 3, 4)], [(3, 1, 2, 4)]),
    "crop": ("type: 'Crop' crop_param { offset: 1 offset: 2 }", [(1, 2, 9, 9), (7, 7, 8, 6)], [(1, 2, 8, 6)]),
    "crop-unknown-model": ("type: 'Crop'", [(1, 2, 9, 9), None], [(1, 2, None, None)]),
    "tile": ("type: 'Tile' tile_param { axis: 2 tiles: 3 }", [(1, 2, 3)], [(1, 2, 9)]),
    "reduction": ("type: 'Reduction' reduction_param { axis: -2 }", [(2, 3, 4, 5)], [(2, 3)]),
    "argmax": ("type: 'ArgMax' argmax_param { top_k: 2 out_max_val: true }", [(5, 9)], [(5, 2, 2)]),
    "argmax-high-rank": ("type: 'ArgMax'", [(5, 2, 3, 4)], [(5, 1, 1, 1)]),
    "batch-reindex": ("type: 'BatchReindex'", [(5, 2), (9,)], [(9, 2)]),
    "accuracy": ("type: 'Accuracy'", [(5, 7), (5,)], [(), (7,)]),
    "loss": ("type: 'SoftmaxWithLoss'", [(5, 7), (5,)], [(), (5, 7)]),
    "lstm-exposed": (
        "type: 'LSTM' recurrent_param { num_output: 6 expose_hidden: true }",
        [(4, 2, 3), (4, 2), (1, 2, 6), (1, 2, 6)],
        [(4, 2, 6), (1, 2, 6), (1, 2, 6)],
    ),
    "lstm-unit": ("type: 'LSTMUnit'", [(1, 2, 6), (1, 2, 24), (1, 2)], [(1, 2, 6), (1, 2, 6)]),
    "dummy-data": (
        "type: 'DummyData' dummy_data_param { num: 2 channels: 3 height: 4 width: 5 }",
        [],
        [(2, 3, 4, 5)],
    ),
    "data": (
        "type: 'Data' data_param { batch_size: 8 } transform_param { crop_size: 227 }",
        [],
        [(8, None, 227, 227), (8,)],
    ),
    "memory-data": (
        "type: 'MemoryData' memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }",
        [],
        [(2, 3, 4, 5), (2,)],
    ),
    "image-data-grey": (
        "type: 'ImageData' image_data_param { batch_size: 2 new_height: 4 new_width: 5 is_color: false }",
        [],
        [(2, 1, 4, 5), (2,)],
    ),
    "prior-box": (
        "type: 'PriorBox' prior_box_param { min_size: 3 max_size: 5 aspect_ratio: 2 aspect_ratio: 1 aspect_ratio: 3 }",
        [(1, 9, 2, 3), (1, 3, 20, 30)],
        [(1, 2, 2 * 3 * 6 * 4)],
    ),
    "detection-output": ("type: 'DetectionOutput'", [(1, 8), (1, 4), (1, 2, 8)], [(1, 1, None, 7)]),
    "roi-pooling": (
        "type: 'ROIPooling' roi_pooling_param { pooled_h: 6 pooled_w: 7 }",
        [(1, 9, 20, 30), (300, 5)],
        [(300, 9, 6, 7)],
    ),
    "psroi-pooling": (
        "type: 'PSROIPooling' psroi_pooling_param { output_dim: 21 group_size: 7 }",
        [(1, 1029, 20, 30), (300, 5)],
        [(300, 21, 7, 7)],
    ),
    "upsample": ("type: 'Upsample'", [(1, 2, 5, 7)], [(1, 2, 10, 14)]),
    "upsample-to-a-size": (
        "type: 'Upsample' upsample_param { upsample_h: 9 upsample_w: 13 }",
        [(1, 2, 5, 7), (1, 2, 5, 7)],
        [(1, 2, 9, 13)],
    ),
    "interp-zoom": ("type: 'Interp' interp_param { zoom_factor: 2 }", [(1, 2, 5, 7)], [(1, 2, 9, 13)]),
    "interp-shrink": ("type: 'Interp' interp_param { shrink_factor: 2 }", [(1, 2, 9, 13)], [(1, 2, 5, 7)]),
    "interp-size": ("type: 'Interp' interp_param { height: 33 width: 65 }", [(1, 2, 5, 7)], [(1, 2, 33, 65)]),
    "interp-like-second-bottom": ("type: 'Interp'", [(1, 2, 5, 7), (1, 3, 9, None)], [(1, 2, 9, None)]),
    "interp-size-and-second-bottom": (
        "type: 'Interp' interp_param { height: 33 width: 65 }",
        [(1, 2, 5, 7), (1, 3, 9, 8)],
        [(1, 2, 33, 65)],
    ),
    "axpy": ("type: 'Axpy'", [(1, 2, 1, 1), (1, 2, 5, 7), (1, 2, 5, 7)], [(1, 2, 5, 7)]),
    "same-padding": (
        "type: 'Convolution' convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad_type: 1 }",
        [(1, 3, 7, None)],
        [(1, 4, 4, None)],
    ),
    "pooling-same-padding": (
        "type: 'Pooling' pooling_param { kernel_size: 4 stride: 2 pad_type: 1 }",
        [(1, 2, 3, 8)],
        [(1, 2, 2, 4)],
    ),
    "pooling-kernel-1": (
        "type: 'Pooling' pooling_param { kernel_size: 1 stride: 2 }",
        [(1, 2, 56, 56)],
        [(1, 2, 29, 29)],
    ),
    "pooling-kernel-1-of-intel": (
        "type: 'Pooling' pooling_param { kernel_size: 1 stride: 2 engine: MKLDNN }",
        [(1, 2, 56, 56)],
        [(1, 2, 28, 28)],
    ),
    "batch-to-space": (
        "type: 'BatchToSpaceND' batch_to_space_nd_param { block_shape: [2, 2] crops: [0, 1, 0, 0] }",
        [(8, 3, None, 5)],
        [(2, 5, None, 5)],
    ),
    "space-to-batch": (
        "type: 'SpaceToBatchND' space_to_batch_nd_param { block_shape: 2 paddings: 1 paddings: 0 }",
        [(2, 3, 4)],
        [(4, 2, 4)],
    ),
    "pixel-shuffle": ("type: 'Reshape' reshape_param { pixelshuffler: 2 }", [(1, 8, 3, 4)], [(1, 2, 6, 8)]),
    "reorg": ("type: 'Reorg' reorg_param { stride: 2 }", [(1, 2, 6, 8)], [(1, 8, 3, 4)]),
    "reorg-back": ("type: 'Reorg' reorg_param { stride: 2 reverse: true }", [(1, 8, 3, 4)], [(1, 2, 6, 8)]),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_by_hand(case):
    text, bottoms, expected = SHAPES[case]
    assert expected == shapes(text, *bottoms)


def test_a_convolution_takes_its_rank_from_the_weights_where_the_bottom_is_unknown():
    assert [(None, 4, None, None)] == shapes(CONVOLUTION % "kernel_size: 3", None, blobs=[(4, 2, 3, 3)])


def test_a_convolution_gives_a_top_for_each_bottom():
    assert [(1, 4, 3, 3)] * 2 == shapes(CONVOLUTION % "kernel_size: 3", (1, 3, 5, 5), (1, 3, 5, 5), tops=2)


def test_the_bottoms_of_a_convolution_have_one_shape():
    """Caffe: base_conv_layer.cpp Reshape."""
    with pytest.raises(InputError, match="have to be of one shape, found 1x3x5x5 and 2x3x7x7"):
        shapes(CONVOLUTION % "kernel_size: 3", (1, 3, 5, 5), (2, 3, 7, 7), tops=2)


def test_a_slice_ends_where_the_bottom_ends():
    text = "type: 'Slice' slice_param { axis: -1 slice_point: 2 slice_point: 3 }"
    assert [(5, 2), (5, 1), (5, 6)] == shapes(text, (5, 9), tops=3)


def test_a_slice_of_an_unknown_axis_knows_all_but_the_last_size():
    text = "type: 'Slice' slice_param { slice_point: 2 slice_point: 3 }"
    assert [(5, 2), (5, 1), (5, None)] == shapes(text, (5, None), tops=3)


def test_one_input_shape_serves_all_tops():
    assert [(2, 3), (2, 3)] == shapes("type: 'Input' input_param { shape { dim: 2 dim: 3 } }", tops=2)


def test_an_input_without_shape_is_unknown():
    assert [None] == shapes("type: 'Input'")


WRONG: Dict[str, Tuple[str, Shapes, str]] = {
    "no-bottom": ("type: 'ReLU'", [], "needs 1 bottom, has 0"),
    "one-bottom": ("type: 'Eltwise'", [(1, 2)], "needs 2 bottoms, has 1"),
    "group": (
        CONVOLUTION % "kernel_size: 3 group: 2",
        [(1, 3, 5, 5)],
        "group 2 does not divide 3 input and 4 output channels",
    ),
    "no-outputs": (
        "type: 'Convolution' convolution_param { kernel_size: 3 }",
        [(1, 3, 5, 5)],
        "num_output is missing",
    ),
    "no-kernel": (CONVOLUTION % "", [(1, 3, 5, 5)], "kernel_size is missing"),
    "kernel-twice": (
        CONVOLUTION % "kernel_size: 3 kernel_h: 3 kernel_w: 3",
        [(1, 3, 5, 5)],
        "kernel_h and kernel_w need two spatial axes, and exclude kernel_size",
    ),
    "pad-each-side-of-three-axes": (
        CONVOLUTION % "kernel_size: 3 pad_l: 1",
        [(1, 3, 5, 5, 5)],
        "pad_l, pad_r, pad_t and pad_b need two spatial axes, found 3",
    ),
    "strides": (
        CONVOLUTION % "kernel_size: 3 stride: 1 stride: 2 stride: 3",
        [(1, 3, 5, 5)],
        "stride has 3 values for 2 spatial axes",
    ),
    "stride-zero": (
        CONVOLUTION % "kernel_size: 3 stride_h: 2",
        [(1, 3, 5, 5)],
        "kernel_size, stride and dilation have to be at least 1",
    ),
    "kernel-too-large": (
        CONVOLUTION % "kernel_size: 7",
        [(1, 3, 5, 5)],
        "a window of 7 with stride 1 and padding 0 leaves nothing of a bottom of size 5",
    ),
    "axis": (
        CONVOLUTION % "kernel_size: 3 axis: 4",
        [(1, 3, 5, 5)],
        "axis 4 is outside its bottom of 4 axes",
    ),
    "pool-rank": (
        "type: 'Pooling' pooling_param { kernel_size: 2 }",
        [(1, 2)],
        "its bottom has to have spatial axes after num and channels; found 1x2",
    ),
    "pool-kernels": (
        "type: 'Pooling' pooling_param { kernel_h: 2 kernel_w: 2 }",
        [(1, 2, 3, 3, 3)],
        "kernel_size has 2 values for 3 spatial axes",
    ),
    "spp-rank": (
        "type: 'SPP' spp_param { pyramid_height: 1 }",
        [(1, 2, 3)],
        "its bottom has to have 4 axes: num, channels, height, width; found 1x2x3",
    ),
    "pool-padding": (
        "type: 'Pooling' pooling_param { kernel_size: 2 pad: 2 }",
        [(1, 2, 3, 3)],
        "its padding 2x2 has to be smaller than its kernel 2x2",
    ),
    "pool-no-kernel": (
        "type: 'Pooling'",
        [(1, 2, 3, 3)],
        "kernel 0x0 and stride 1x1 have to be at least 1",
    ),
    "concat": (
        "type: 'Concat'",
        [(1, 2, 3), (1, 2, 4)],
        "its bottoms have to be of one shape, found 1x?x3 and 1x?x4",
    ),
    "concat-rank": (
        "type: 'Concat'",
        [(1, 2, 3), (1, 2)],
        "its bottoms have different numbers of axes: 1x2x3, 1x2",
    ),
    "eltwise": (
        "type: 'Eltwise'",
        [(1, 2), (1, 3)],
        "its bottoms have to be of one shape, found 1x2 and 1x3",
    ),
    "pad-type-of-nobody": (
        "type: 'Convolution' convolution_param { num_output: 2 kernel_size: 1 pad_type: 2 }",
        [(1, 2, 3, 3)],
        "pad_type 2 is not known: 0 is Caffe's padding, 1 is TensorFlow's SAME",
    ),
    "pad-type-and-pad": (
        "type: 'Pooling' pooling_param { kernel_size: 3 pad: 1 pad_type: 1 }",
        [(1, 2, 3, 3)],
        "pad_type 1 excludes a padding in numbers",
    ),
    "pad-type-of-a-deconvolution": (
        "type: 'Deconvolution' convolution_param { num_output: 2 kernel_size: 3 pad_type: 1 }",
        [(1, 2, 3, 3)],
        "the size and the values that Synopsys' Caffe computes with pad_type 1 do not fit each other",
    ),
    "padding-below-0": (
        "type: 'Convolution' convolution_param { num_output: 2 kernel_size: 1 pad_t: -1 }",
        [(1, 2, 3, 3)],
        "padding below 0 is only for a Deconvolution",
    ),
    "blocks": (
        "type: 'BatchToSpaceND' batch_to_space_nd_param { block_shape: 0 }",
        [(4, 2, 3)],
        "block_shape [0] has to hold 1 or more for each of the axes after the batch",
    ),
    "crops": (
        "type: 'BatchToSpaceND' batch_to_space_nd_param { block_shape: 2 crops: 1 }",
        [(4, 2, 3)],
        "1 crops or paddings do not fit 1 axes",
    ),
    "pixel-shuffle": (
        "type: 'Reshape' reshape_param { pixelshuffler: 2 }",
        [(1, 6, 3, 3)],
        "pixelshuffler 2 squared does not divide 6 channels",
    ),
    "reshape-count": (
        "type: 'Reshape' reshape_param { shape { dim: 5 } }",
        [(2, 3)],
        "its bottom 2x3 has 6 elements, 5 has 5",
    ),
    "reshape-rest": (
        "type: 'Reshape' reshape_param { shape { dim: 4 dim: -1 } }",
        [(2, 3)],
        "its bottom 2x3 has 6 elements, which 4 does not divide",
    ),
    "reshape-two-rests": (
        "type: 'Reshape' reshape_param { shape { dim: -1 dim: -1 } }",
        [(2, 3)],
        "shape [-1, -1] has to hold sizes, 0, and at most one -1",
    ),
    "reshape-copies-nothing": (
        "type: 'Reshape' reshape_param { shape { dim: 2 dim: 3 dim: 0 } }",
        [(2, 3)],
        "shape [2, 3, 0] keeps an axis that its bottom 2x3 does not have",
    ),
    "flatten": (
        "type: 'Flatten' flatten_param { axis: 2 end_axis: 1 }",
        [(1, 2, 3)],
        "end_axis 1 is before axis 2",
    ),
    "slice-uneven": ("type: 'Slice'", [(1, 3)], "an axis of 3 cannot be sliced into 2 equal tops"),
    "slice-points": (
        "type: 'Slice' slice_param { slice_point: 3 }",
        [(1, 3)],
        "slice_point [3] has to ascend from 1 and stay below the 3 of its bottom",
    ),
    "slice-count": (
        "type: 'Slice' slice_param { slice_point: 1 slice_point: 2 }",
        [(1, 3)],
        "2 tops need 1 values of slice_point, found 2",
    ),
    "crop": (
        "type: 'Crop' crop_param { offset: 2 }",
        [(1, 2, 5, 5), (1, 2, 4, 4)],
        "4 from offset 2 on exceeds the ",
    ),
    "permute": (
        "type: 'Permute' permute_param { order: 1 order: 1 }",
        [(2, 3)],
        "order [1, 1] has to name different ",
    ),
    "tile": ("type: 'Tile'", [(2, 3)], "tiles 0 has to be at least 1"),
    "argmax": (
        "type: 'ArgMax' argmax_param { axis: 1 top_k: 4 }",
        [(2, 3)],
        "top_k 4 has to be from 1 to 3, the number ",
    ),
    "spp": ("type: 'SPP'", [(1, 2, 3, 3)], "pyramid_height 0 has to be between 1 and 16"),
    "shuffle": (
        "type: 'ShuffleChannel' shuffle_channel_param { group: 2 }",
        [(1, 3, 4, 4)],
        "group 2 does not divide 3 channels",
    ),
    "scale-second-bottom": (
        "type: 'Scale'",
        [(2, 3, 4), (5,)],
        "its bottoms have to be of one shape, found 3 and 5",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_combination_is_an_error_that_says_what_was_found(case):
    text, bottoms, message = WRONG[case]
    with pytest.raises(InputError) as caught:
        shapes(text, *bottoms, tops=2)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", sorted(layers.LAYERS))
@pytest.mark.parametrize("bottoms", [(), (None,), (None,) * 4, ((),) * 4, ((3,),) * 4], ids=str)
@pytest.mark.parametrize("facet", ["shapes", "blobs"])
def test_no_row_fails_otherwise_than_with_an_input_error(facet, bottoms, name):
    parameter, row = layer(f"type: '{name}'"), layers.LAYERS[name]
    with suppress(InputError):
        if facet == "shapes":
            row.shapes(parameter, bottoms, [])
        elif row.blobs is not None:
            assert None not in row.blobs(parameter, bottoms)


BLOBS: Dict[str, Tuple[str, Shapes, Shapes]] = {
    "conv": (CONVOLUTION % "kernel_h: 3 kernel_w: 5 group: 2", [(1, 6, 9, 9)], [(4, 3, 3, 5), (4,)]),
    "conv-no-bias": (CONVOLUTION % "kernel_size: 3 bias_term: false", [(1, 6, 9, 9)], [(4, 6, 3, 3)]),
    "conv-unknown": (CONVOLUTION % "kernel_size: 3", [None], [(4, None, 3, 3), (4,)]),
    "deconv": (
        "type: 'Deconvolution' convolution_param { num_output: 4 kernel_size: 3 group: 2 }",
        [(1, 6, 9, 9)],
        [(6, 2, 3, 3), (4,)],
    ),
    "depthwise": (
        "type: 'DepthwiseConvolution' convolution_param { num_output: 6 kernel_size: 3 group: 1 }",
        [(1, 6, 9, 9)],
        [(6, 1, 3, 3), (6,)],
    ),
    "ip": ("type: 'InnerProduct' inner_product_param { num_output: 7 }", [(2, 3, 4)], [(7, 12), (7,)]),
    "ip-transposed": (
        "type: 'InnerProduct' inner_product_param { num_output: 7 transpose: true bias_term: false }",
        [(2, 3, 4)],
        [(12, 7)],
    ),
    "scale-unknown": (
        "type: 'Scale' scale_param { bias_term: true num_axes: 2 }",
        [None],
        [(None, None)] * 2,
    ),
    "scale-scalar": ("type: 'Scale' scale_param { num_axes: 0 }", [(2, 3)], [()]),
    "scale-rest": ("type: 'Scale' scale_param { axis: 1 num_axes: -1 }", [(2, 3, 4)], [(3, 4)]),
    "scale-two-bottoms": ("type: 'Scale' scale_param { bias_term: true }", [(2, 3, 4), (3, 4)], [(3, 4)]),
    "bias-two-bottoms": ("type: 'Bias'", [(2, 3, 4), (3,)], []),
    "prelu-shared": ("type: 'PReLU' prelu_param { channel_shared: true }", [(2, 3)], [()]),
    "lstm-exposed-has-states-and-no-static-input": (
        "type: 'LSTM' recurrent_param { num_output: 5 expose_hidden: true }",
        [(4, 2, 3), (4, 2), (1, 2, 5), (1, 2, 5)],
        [(20, 3), (20,), (20, 5)],
    ),
    "lstm-static": (
        "type: 'LSTM' recurrent_param { num_output: 5 }",
        [(4, 2, 3), (4, 2), (2, 7)],
        [(20, 3), (20,), (20, 7), (20, 5)],
    ),
}


@pytest.mark.parametrize("case", BLOBS)
def test_blob_shapes_by_hand(case):
    text, bottoms, expected = BLOBS[case]
    assert expected == blob_shapes(text, *bottoms)
