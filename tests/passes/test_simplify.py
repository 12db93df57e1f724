"""Layers that do nothing, removed: before and after, and the judge's word on the values."""

from __future__ import annotations

from typing import Any, Dict, Sequence

import numpy as np
import pytest
from nets import Fused, batch_norm, convolution, fuse, layer, numbers, scale, text
from test_fold import becomes

SILENCE = 'layer {{ name: "{}" type: "Silence" bottom: "{}" }}'
CONVOLUTION, RELU = convolution(), layer("r", "ReLU", "i", "r")
IDENTITIES = [
    layer("i", "Dropout", "c", "i"),
    layer("i", "Power", "c", "i", "power_param { power: 1 scale: 1 }"),
    layer("i", "Split", "c", "i"),
    layer("i", "Concat", "c", "i"),
    layer("i", "Slice", "c", "i"),
    layer("i", "Reshape", "c", "i", "reshape_param { shape { dim: 0 dim: 0 dim: 0 dim: 0 } }"),
    layer("i", "Flatten", "c", "i", "flatten_param { axis: 3 }"),
]


def simplified(before: Sequence[str], after: Sequence[str], **options: Any) -> Fused:
    return becomes(before, after, **{"simplify": True, **options})


def removed(fused: Fused) -> Dict[str, str]:
    return {removal.layer: removal.reason for removal in fused.result.report.simplified}


@pytest.mark.parametrize("identity", IDENTITIES)
def test_the_consumer_of_an_identity_reads_what_it_copies(identity: str) -> None:
    fused = simplified([CONVOLUTION, identity, RELU], [CONVOLUTION, layer("r", "ReLU", "c", "r")])
    assert {"i": "it changes nothing"} == removed(fused)
    assert {"i": "c"} == fused.result.report.vanished_blobs


@pytest.mark.parametrize("identity", IDENTITIES)
def test_an_identity_that_writes_an_output_gives_its_producer_the_name(identity: str) -> None:
    fused = simplified([CONVOLUTION, identity], [convolution(top="i")])
    assert {"c": "i"} == fused.result.report.vanished_blobs


@pytest.mark.parametrize("identity", IDENTITIES)
def test_without_the_option_they_stay(identity: str) -> None:
    becomes([CONVOLUTION, identity, RELU], [CONVOLUTION, identity, RELU])


def test_a_scale_of_ones_goes_with_its_weights() -> None:
    layers = [layer("r", "ReLU", "x", "r"), scale("one", "r", "one"), layer("t", "TanH", "one", "t")]
    prototxt = text(*layers)
    blobs = {**numbers(prototxt), "one": [np.ones(4, np.float32), np.zeros(4, np.float32)]}
    fused = fuse(prototxt, blobs, simplify=True)
    assert [layers[0], layer("t", "TanH", "r", "t")] == fused.lines
    assert {} == fused.arrays
    assert () == fused.violations()
    blobs["one"][0][2] = np.float32(1 + 2.0**-23)
    assert {} == removed(fuse(prototxt, blobs, simplify=True))


def test_all_consumers_of_a_split_read_its_bottom() -> None:
    before = [
        *(CONVOLUTION, layer("i", "Split", "c", "a b"), layer("t", "TanH", "b", "t"), layer("r", "ReLU", "a", "r")),
        layer("e", "Eltwise", "r t", "e"),
    ]
    after = [CONVOLUTION, layer("t", "TanH", "c", "t"), layer("r", "ReLU", "c", "r"), before[-1]]
    simplified(before, after)


def test_identities_in_a_row() -> None:
    before = [
        *(CONVOLUTION, layer("d", "Dropout", "c", "d"), layer("k", "Dropout", "d", "d")),
        *(layer("i", "Dropout", "d", "i"), layer("r", "ReLU", "i", "i")),
    ]
    simplified(before, [CONVOLUTION, layer("r", "ReLU", "c", "i")])
    simplified(before[:-1], [convolution(top="i")])


def test_a_split_of_an_output_stays() -> None:
    layers = [CONVOLUTION, layer("i", "Split", "c", "a b"), layer("r", "ReLU", "a", "r")]
    simplified(layers, layers)


def test_an_input_that_is_an_output_keeps_both_names() -> None:
    layers = [layer("d", "Dropout", "x", "d")]
    simplified(layers, layers)


def test_an_output_whose_source_has_another_consumer_keeps_both_names() -> None:
    layers = [CONVOLUTION, layer("d", "Dropout", "c", "d"), layer("r", "ReLU", "c", "r")]
    simplified(layers, layers)
    copied = [CONVOLUTION, layer("i", "Split", "c", "i"), layer("d", "Dropout", "i", "d"), layer("r", "ReLU", "i", "r")]
    simplified(copied, [CONVOLUTION, layer("d", "Dropout", "c", "d"), layer("r", "ReLU", "c", "r")])


def test_a_layer_in_place_cannot_give_its_blob_the_name_of_the_output() -> None:
    layers = [CONVOLUTION, layer("r", "ReLU", "c", "c"), layer("d", "Dropout", "c", "d")]
    simplified(layers, layers)


@pytest.mark.parametrize("name", ["c", "d"])
def test_what_keep_names_stays_as_it_is(name: str) -> None:
    layers = [CONVOLUTION, layer("d", "Dropout", "c", "d")]
    simplified(layers, layers, keep=[name])


def test_a_consumer_that_keep_names_reads_what_it_did() -> None:
    layers = [CONVOLUTION, IDENTITIES[0], RELU]
    simplified(layers, layers, keep=["r"])


@pytest.mark.parametrize("following", [[], [layer("s", "Sigmoid", "c", "s")]])
def test_a_flatten_that_shares_memory_with_a_layer_in_place_stays(following: Sequence[str]) -> None:
    """The ReLU writes into blob c, which the Sigmoid reads, as in Caffe."""
    flatten = layer("i", "Flatten", "c", "i", "flatten_param { axis: 3 }")
    layers = [CONVOLUTION, flatten, layer("r", "ReLU", "i", "i"), *following]
    simplified(layers, layers)


def test_a_flatten_that_changes_the_shape_stays() -> None:
    layers = [CONVOLUTION, layer("i", "Flatten", "c", "i"), RELU]
    simplified(layers, layers)


def test_dropout_in_training_stays() -> None:
    from caffe_fuse.net.state import State

    layers = [CONVOLUTION, layer("d", "Dropout", "c", "d")]
    assert layers == fuse(text(*layers), simplify=True, state=State(phase="TRAIN")).lines


# What only a Silence reads


def test_what_only_a_silence_reads_goes_with_it() -> None:
    before = [CONVOLUTION, convolution("k", top="k"), layer("t", "TanH", "k", "t"), SILENCE.format("q", "t")]
    fused = simplified(before, [CONVOLUTION])
    assert dict.fromkeys("ktq", "no output needs it") == removed(fused)
    assert {"k": None, "t": None} == fused.result.report.vanished_blobs
    assert ["c"] == list(fused.arrays)


def test_a_silence_beside_another_consumer_is_not_needed_and_the_fold_is_possible() -> None:
    before = [CONVOLUTION, batch_norm(), scale(), SILENCE.format("q", "c")]
    assert "Scale" in fuse(text(*before)).prototxt.decode()
    simplified(before, [convolution(top="s")])


def test_a_silence_stays_for_what_would_be_an_output() -> None:
    slices = layer("i", "Slice", "c", "a b", "slice_param { slice_point: 2 }")
    before = [CONVOLUTION, slices, layer("r", "ReLU", "a", "r"), SILENCE.format("q", "b"), SILENCE.format("p", "x")]
    simplified(before, [*before[:-1]])


def test_a_silence_that_stays_keeps_all_that_it_reads() -> None:
    slices = layer("i", "Slice", "c", "a b", "slice_param { slice_point: 2 }")
    before = [CONVOLUTION, slices, layer("r", "ReLU", "a", "r"), SILENCE.format("q", 'r" bottom: "b')]
    simplified([*before, layer("t", "TanH", "a", "t")], [*before, layer("t", "TanH", "a", "t")])


def test_an_input_of_the_net_stays_with_its_silence() -> None:
    layers = [CONVOLUTION, 'layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 2 } } }']
    layers.append(SILENCE.format("q", "l"))
    assert layers == fuse(text(*layers), simplify=True).lines


def test_layers_of_another_phase_that_read_a_blob_that_is_gone_go_as_well() -> None:
    training = layer("t", "TanH", "i", "t", "include { phase: TRAIN }")
    fused = fuse(text(CONVOLUTION, IDENTITIES[0], RELU, training), simplify=True)
    assert [CONVOLUTION, layer("r", "ReLU", "c", "r")] == fused.lines
    assert ["t"] == [each.layer for each in fused.result.report.dropped]
