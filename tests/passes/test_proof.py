"""The proof accepts right weights, and finds one wrong weight in one channel."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import numpy as np
import pytest
from nets import batch_norm, caffemodel, fuse, layer, model, numbers, scale, text

import caffe_fuse
from caffe_fuse.blobs.blob import ArrayBlob
from caffe_fuse.blobs.scaled import ScaledBlob
from caffe_fuse.errors import InternalError
from caffe_fuse.folding.result import Result
from caffe_fuse.passes import Rewrite
from caffe_fuse.passes.proof import prove
from caffe_fuse.rescale.rescale import rescaled_alone

SHAPE = (2, 4, 2, 2)  # no channel has more weights than the proof looks at
KINDS = {
    "convolution": ("Convolution", "convolution_param { num_output: 6 kernel_size: 2 }"),
    "convolution of groups": ("Convolution", "convolution_param { num_output: 6 kernel_size: 2 group: 2 }"),
    "deconvolution": ("Deconvolution", "convolution_param { num_output: 6 kernel_size: 2 }"),
    "deconvolution of groups": ("Deconvolution", "convolution_param { num_output: 6 kernel_size: 2 group: 2 }"),
    "inner product": ("InnerProduct", "inner_product_param { num_output: 6 }"),
    "transposed": ("InnerProduct", "inner_product_param { num_output: 6 transpose: true }"),
    "merged": ("ReLU", ""),
}


def folded(kind: str) -> Tuple[Rewrite, List[np.ndarray]]:
    """Returns the one rewrite of a small net, and copies of its right weights."""
    type_name, settings = KINDS[kind]
    fused = fuse(text(layer("c", type_name, "x", "c", settings), batch_norm(), scale(), shape=SHAPE))
    (rewrite,) = fused.result.facts.progress.rewrites
    return rewrite, [array.copy() for array in fused.arrays[rewrite.after.name]]


def run(rewrite: Rewrite, arrays: List[np.ndarray]) -> None:
    prove(rewrite, [ArrayBlob(array) for array in arrays])


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_numbers_pass(kind: str) -> None:
    run(*folded(kind))


@pytest.mark.parametrize(("type_name", "shape", "axes"), [("Convolution", (1, 4, 3, 3), 2), ("ReLU", (5, 1, 3, 3), 1)])
def test_a_scale_along_the_batch_is_proved_with_the_batch_it_is_made_for(
    type_name: str, shape: Tuple[int, ...], axes: int
) -> None:
    settings = "convolution_param { num_output: 6 kernel_size: 2 }" if type_name == "Convolution" else ""
    along = scale(rest=f"scale_param {{ axis: 0 num_axes: {axes} bias_term: true }}")
    fused = fuse(text(layer("c", type_name, "x", "c", settings), batch_norm(), along, shape=shape))
    (rewrite,) = fused.result.facts.progress.rewrites
    assert 3 == len(rewrite.before) + (type_name == "ReLU")
    right = fused.arrays[rewrite.after.name]
    run(rewrite, right)
    with pytest.raises(InternalError, match="channel 3 "):
        run(rewrite, [right[0], right[1] + (np.arange(right[1].size) == 3).reshape(right[1].shape)])


@pytest.mark.parametrize("blob", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_one_wrong_number_is_found(kind: str, blob: int) -> None:
    for place in (0, -1):
        rewrite, arrays = folded(kind)
        arrays[blob].flat[place] *= np.float32(1 + 1e-4)
        with pytest.raises(InternalError, match=f"the proof of layer {rewrite.after.name} failed: channel "):
            run(rewrite, arrays)


def test_the_channel_and_both_numbers_are_named() -> None:
    rewrite, arrays = folded("deconvolution of groups")
    arrays[1][4] = 1e6
    with pytest.raises(InternalError, match=r"failed: channel 4 is .*, expected .*; nothing was written; please"):
        run(rewrite, arrays)


@pytest.mark.parametrize("kind", KINDS)
def test_two_channels_that_changed_places_are_found(kind: str) -> None:
    rewrite, arrays = folded(kind)
    arrays[1][[1, 2]] = arrays[1][[2, 1]]
    with pytest.raises(InternalError, match="channel 1 "):
        run(rewrite, arrays)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_found(wrong: float) -> None:
    rewrite, arrays = folded("convolution")
    arrays[1][3] = wrong
    with pytest.raises(InternalError, match="channel 3 "):
        run(rewrite, arrays)


def test_a_large_layer_is_proved_by_samples_of_each_channel() -> None:
    big = layer("c", "InnerProduct", "x", "c", "inner_product_param { num_output: 3 }")
    prototxt = text(big, batch_norm(), shape=(1, 5000))
    fused = fuse(prototxt)
    (rewrite,) = fused.result.facts.progress.rewrites
    arrays = [array.copy() for array in fused.arrays["c"]]
    run(rewrite, arrays)
    arrays[0][2] *= np.float32(1 + 1e-3)
    with pytest.raises(InternalError, match="channel 2 "):
        run(rewrite, arrays)


RESCALED = {
    kind: layer("m", *args)
    for kind, args in {
        "convolution": ("Convolution", "r", "m", "convolution_param { num_output: 4 kernel_size: 2 }"),
        "convolution of groups": (
            "Convolution",
            "r",
            "m",
            "convolution_param { num_output: 4 kernel_size: 2 group: 2 }",
        ),
        "depthwise": ("ConvolutionDepthwise", "r", "m", "convolution_param { num_output: 4 kernel_size: 2 }"),
        "deconvolution": ("Deconvolution", "r", "m", "convolution_param { num_output: 4 kernel_size: 2 group: 2 }"),
        "inner product": ("InnerProduct", "r", "m", "inner_product_param { num_output: 4 }"),
        "transposed": ("InnerProduct", "r", "m", "inner_product_param { num_output: 4 transpose: true }"),
        "scale": ("Scale", "r", "m", "scale_param { bias_term: true }"),
        "scale without a bias": ("Scale", "r", "m"),
        "bias": ("Bias", "r", "m"),
    }.items()
}


def rescaled_net(kind: str) -> Tuple[bytes, Result]:
    """Returns a net whose layers c and m are rescaled, because the top of c overflows half precision."""
    behind = "convolution_param { num_output: 3 kernel_size: 1 }"
    product = "inner_product_param { num_output: 3 }"
    last = layer("l", "InnerProduct", "m", "l", product) if "product" in kind or kind == "transposed" else ""
    first = layer("c", "Convolution", "x", "c", "convolution_param { num_output: 4 kernel_size: 1 }")
    lines = [first, layer("r", "ReLU", "c", "r"), RESCALED[kind], last or layer("l", "Convolution", "m", "l", behind)]
    prototxt = text(*lines, shape=SHAPE)
    blobs = numbers(prototxt)
    for place, array in enumerate(blobs["c"]):
        blobs["c"][place] = np.ldexp(array, 20 + np.arange(4).reshape(4, *(1,) * (array.ndim - 1))).astype(np.float32)
    result = caffe_fuse.fuse(model(prototxt, caffemodel(prototxt, blobs)), rescale="always", folds="direct")
    assert result.facts.repair is not None
    assert {"c", "m"} <= {each.name for each in result.model.net.layers if each.index in result.facts.repair.powers}
    return prototxt, result


@pytest.mark.parametrize("kind", RESCALED)
def test_rescaled_layers_pass_and_one_wrong_number_is_found(kind: str, tmp_path: Path) -> None:
    _, result = rescaled_net(kind)
    result.save(str(tmp_path / "out"), force=True)
    assert result.facts.repair is not None
    powers = result.facts.repair.powers
    done = result.facts.progress.rewrites
    for rewrite in (*done, *rescaled_alone(result.model.source, powers, done)):
        after = next(each for each in result.model.net.layers if each.index == rewrite.after.index)
        arrays = [blob.array() for blob in after.blobs]
        prove(rewrite, [ArrayBlob(array) for array in arrays], powers[after.index])
        for array in arrays:
            wrong = array.copy()
            wrong.flat[-1] *= 2
            blobs = [ArrayBlob(wrong if each is array else each) for each in arrays]
            with pytest.raises(InternalError, match=f"the proof of layer {after.name} failed: channel "):
                prove(rewrite, blobs, powers[after.index])


def test_save_proves_what_it_has_written_and_leaves_nothing_where_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prototxt = text(layer("c", *("Deconvolution", "x", "c"), KINDS["deconvolution of groups"][1]), batch_norm())
    blobs = numbers(prototxt)
    result = caffe_fuse.fuse(model(prototxt, caffemodel(prototxt, blobs)), half_policy="off")
    (rewrite,) = result.facts.progress.rewrites
    weights = rewrite.after.blobs[0]
    assert isinstance(weights, ScaledBlob)
    weights.factors.setflags(write=True)
    weights.factors[5] *= 1.001
    with pytest.raises(InternalError, match="the proof of layer c failed: channel 5"):
        result.save(str(tmp_path / "out"))
    assert [] == list(tmp_path.iterdir())
