"""Layer types of forks, and weight files whose layers differ from those of the net."""

from __future__ import annotations

from typing import List

import numpy as np
import pytest
from nets import batch_norm, caffemodel, convolution, fuse, layer, numbers, records, scale, spread, text
from reference.files import message_class

from caffe_fuse import layers


@pytest.mark.parametrize("kind", ["ConvolutionDepthwise", "DepthwiseConvolution", "DepthwiseConv"])
def test_the_depthwise_types_absorb(kind: str) -> None:
    """Each filter has one input channel, whatever `group` says."""
    prototxt = text(
        layer("c", kind, "x", "c", "convolution_param { num_output: 4 kernel_size: 3 bias_term: false }"),
        batch_norm(),
        scale(),
    )
    blobs = numbers(prototxt)
    made = fuse(prototxt, blobs)
    assert 1 == len(made.lines)
    assert (kind, "bias_term: true" in made.lines[0]) == (records(made.weights)["c"].type, True)
    mean, variance, factor = (blob.astype(np.float64) for blob in blobs["b"])
    gain = blobs["s"][0] / np.sqrt(variance / factor + np.float64(np.float32(1e-5)))
    expected = (blobs["c"][0] * gain.reshape(-1, 1, 1, 1)).astype(np.float32)
    assert expected.tolist() == made.arrays["c"][0].tolist()
    bias = (blobs["s"][1] - mean / factor * gain).astype(np.float32)
    np.testing.assert_array_max_ulp(bias, made.arrays["c"][1], 1)


ALIASED = {alias: kind for alias, kind in layers.ALIASES.items() if kind in ("Convolution", "Deconvolution")}


@pytest.mark.parametrize("alias", ALIASED)
def test_the_names_of_cudnn_and_mkl_are_those_of_what_they_compute(alias: str) -> None:
    settings = "convolution_param { num_output: 6 kernel_size: 3 }"
    prototxt = text(layer("c", alias, "x", "c", settings), batch_norm())
    made = fuse(prototxt)
    assert [layer("c", alias, "x", "b", settings)] == made.lines
    before, after = (part.replace(alias.encode(), ALIASED[alias].encode()) for part in (prototxt, made.prototxt))
    again = fuse(before, numbers(prototxt))
    assert after == again.prototxt
    assert () == again.violations()


def test_a_scale_beside_an_axpy_folds() -> None:
    prototxt = text(
        convolution("a", top="a", settings="pad: 1"),
        convolution("c", settings="pad: 1"),
        batch_norm(),
        scale(),
        layer("p", "Pooling", "s", "p", "pooling_param { pool: AVE global_pooling: true }"),
        layer("e", "Axpy", "p s a", "e"),
    )
    made = fuse(prototxt)
    assert 4 == len(made.lines)
    compared = made.compared()
    assert ((), ()) == (compared.violations, compared.unknown)


@pytest.mark.parametrize("field", ["min_value: 0", "max_value: 6", "scale_from_blob: true"])
def test_a_scale_that_does_more_than_scale_is_refused(field: str) -> None:
    prototxt = text(convolution(), scale(bottom="c", rest=f"scale_param {{ {field} bias_term: true }}"))
    made = fuse(prototxt)
    assert field.split(":")[0] in made.refused["s"]
    assert prototxt == made.prototxt


def test_an_unknown_layer_passes_through_and_blocks_only_what_reads_it() -> None:
    unknown = layer("u", "Vendor", "c", "u", "vendor_param { strength: 3 }")
    lines = [
        convolution(),
        unknown,
        layer("n", "BatchNorm", "u", "n"),
        convolution("d", "x", "d"),
        batch_norm("m", "d", "m"),
    ]
    blobs = {"c": [spread((6, 4, 3, 3), 1), spread((6,), 2)], "d": [spread((6, 4, 3, 3), 3), spread((6,), 4)]}
    norm = [spread((6,), 5), spread((6,), 6, 0.1, 3), np.ones(1, np.float32)]
    made = fuse(text(*lines), {**blobs, "n": norm, "m": norm, "u": [spread((7,), 8)]})
    becomes = layer("n", "Scale", "u", "n", "scale_param { bias_term: true }")
    assert [convolution(), unknown, becomes, convolution("d", "x", "m")] == made.lines
    assert {} == made.refused
    assert spread((7,), 8).tolist() == made.arrays["u"][0].tolist()
    assert b"".join(pieces(made.before[1])[:2]) in made.weights


def pieces(weights: bytes) -> List[bytes]:
    """Yields the records one by one."""
    net = message_class("NetParameter")
    return [net(layer=[record]).SerializeToString() for record in net.FromString(weights).layer]


PLAIN = text(convolution(), batch_norm(), scale(), layer("r", "ReLU", "s", "s"))


def changed(prototxt: bytes, change: str) -> bytes:
    """Returns the weights of a net, with their records changed."""
    net = message_class("NetParameter").FromString(caffemodel(prototxt, numbers(prototxt)))
    kept = list(net.layer)
    if change == "another order":
        kept.reverse()
    for record in kept:
        if change == "no types":
            record.ClearField("type")
        if change == "nothing but names and blobs":
            kept = [message_class("LayerParameter")(name=each.name, blobs=each.blobs) for each in kept]
            break
        if change == "other types" and record.type == "Convolution":
            record.type = "ConvolutionDepthwise"
        if change == "blobs of an older phase":
            record.phase = 0
    return bytes(message_class("NetParameter")(layer=kept).SerializeToString())


@pytest.mark.parametrize(
    "change", ["no types", "nothing but names and blobs", "other types", "another order", "blobs of an older phase"]
)
def test_only_names_and_blobs_of_the_weight_file_count(change: str) -> None:
    expected = fuse(PLAIN)
    made = fuse(PLAIN, weights=changed(PLAIN, change))
    assert (expected.prototxt, {}) == (made.prototxt, made.refused)
    assert {name: [blob.tolist() for blob in blobs] for name, blobs in expected.arrays.items()} == {
        name: [blob.tolist() for blob in blobs] for name, blobs in made.arrays.items()
    }
    assert () == made.violations()


def test_a_layer_for_training_under_the_same_name_goes_and_the_weights_are_of_the_other() -> None:
    train, test = (f"include {{ phase: {phase} }}" for phase in ("TRAIN", "TEST"))
    twin = f"batch_norm_param {{ use_global_stats: false }} {train}"
    prototxt = text(
        convolution(),
        layer("b", "BatchNorm", "c", "b", twin),
        layer("b", "BatchNorm", "c", "b", f"batch_norm_param {{ use_global_stats: true }} {test}"),
        scale(),
    )
    made = fuse(prototxt)
    assert ([convolution(top="s")], {}) == (made.lines, made.refused)
    assert ["b"] == [each.layer for each in made.result.report.dropped]
    assert () == made.violations()


def test_of_two_layers_of_one_name_the_first_has_the_numbers() -> None:
    prototxt = text(convolution("c"), layer("c", "ReLU", "c", "c"), batch_norm())
    net = message_class("NetParameter").FromString(caffemodel(prototxt, numbers(prototxt)))
    del net.layer[1]  # Caffe would give its blobs, none, to the first layer of the name, and stop
    made = fuse(prototxt, weights=net.SerializeToString())
    assert [convolution("c"), layer("c", "ReLU", "c", "c")] == made.lines[:2]
    assert "Scale" in made.lines[2]
    assert () == made.violations()
