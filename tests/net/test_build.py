"""Which layers take part, and which blobs are inputs."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import pytest
from nets import convolution, layer, model, text
from reference.files import read_net
from reference.net import is_included

from caffe_fuse.errors import InputError
from caffe_fuse.net.build import build
from caffe_fuse.net.graph import Net, Value
from caffe_fuse.net.state import State
from caffe_fuse.protobuf import text as textproto


def built(prototxt: bytes, **shapes: Tuple[int, ...]) -> Net:
    return build(textproto.parse(prototxt, "net.prototxt"), None, State(), shapes).net


def taking_part(rules: str, state: State) -> List[str]:
    net = model(text(layer("always", "ReLU", "x", "a"), layer("ruled", "ReLU", "x", "r", rules)), None, state)
    assert ["always", "ruled"] == sorted(each.name for each in (*net.net.layers, *net.excluded))
    return [each.name for each in net.net.layers[1:]]


RULES = [
    "",
    "include { phase: TEST }",
    "include { phase: TRAIN }",
    "include { phase: TRAIN } include { phase: TEST }",
    "exclude { phase: TEST }",
    "exclude { phase: TRAIN }",
    "include { min_level: 1 }",
    "include { max_level: 1 }",
    "include { min_level: 1 max_level: 2 phase: TEST }",
    "include { stage: 'a' }",
    "include { stage: 'a' stage: 'b' }",
    "include { not_stage: 'a' }",
    "include { stage: 'b' not_stage: 'a' }",
    "exclude { stage: 'a' } exclude { min_level: 2 }",
    "include { }",
    "exclude { }",
]
STATES = [
    State(phase, level, frozenset(stages))
    for phase in ("TEST", "TRAIN")
    for level in (0, 1, 3)
    for stages in ("", "a", "ab")
]


@pytest.mark.parametrize("rules", RULES)
def test_rules_mean_what_they_mean_to_caffe(rules: str) -> None:
    parameter = read_net(text(layer("ruled", "ReLU", "x", "r", rules))).layer[0]
    expected = [is_included(parameter, state.phase, state.level, tuple(state.stages)) for state in STATES]
    assert expected == [bool(taking_part(rules, state)) for state in STATES]


def test_both_kinds_of_rules_are_an_error() -> None:
    with pytest.raises(InputError) as raised:
        taking_part("include { phase: TEST } exclude { stage: 'a' }", State())
    expected = (
        "net.prototxt:4:1: layer ruled has both include and exclude rules; Caffe allows one kind: remove the other"
    )
    assert expected == str(raised.value)


def test_layers_take_the_phase_of_the_net_unless_they_have_their_own() -> None:
    prototxt = text(layer("a", "Dropout", "x", "a"), layer("b", "Dropout", "a", "b", "phase: TEST"))
    assert [0, 1] == [each.parameter.phase for each in model(prototxt, None, State("TRAIN")).net.layers]


def test_layers_keep_their_place_in_the_text() -> None:
    twin = layer("t", "ReLU", "c", "t", "include { phase: TRAIN }")
    found = model(text(convolution(), twin, convolution("d", top="d")), None)
    assert [(0, 3), (2, 5)] == [(each.index, each.line) for each in found.net.layers]
    assert [(1, 4)] == [(each.index, each.line) for each in found.excluded]


NO_SHAPE = b'input: "x" '
CONVOLUTION = convolution().encode()


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'input: "x" input_shape { dim: 1 dim: 4 dim: 8 dim: 9 } ', (1, 4, 8, 9)),
        (b'input: "x" input_dim: 1 input_dim: 4 input_dim: 8 input_dim: 9 ', (1, 4, 8, 9)),
        (b'input: ["y", "x"] input_dim: [5, 5, 5, 5, 1, 4, 8, 9] ', (1, 4, 8, 9)),
        (b'input: "y" input: "x" input_shape { dim: 7 } input_shape { dim: [1, 4, 8, 9] } ', (1, 4, 8, 9)),
        (
            b'layer { name: "d" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 dim: 8 dim: 9 } } } ',
            (1, 4, 8, 9),
        ),
        (NO_SHAPE, None),
    ],
)
def test_the_shape_of_an_input_is_found_in_every_form(head: bytes, expected: Optional[Tuple[int, ...]]) -> None:
    assert expected == built(head + CONVOLUTION).shapes[Value("x", 0)]


def test_a_given_shape_counts_where_there_is_none_or_another() -> None:
    assert (1, 6, 6, 7) == built(NO_SHAPE + CONVOLUTION, x=(1, 4, 8, 9)).shapes[Value("c", 0)]
    assert (1, 6, 6, 7) == built(text(convolution()), x=(1, 4, 8, 9)).shapes[Value("c", 0)]
    data = b'layer { name: "d" type: "Data" top: "x" } '
    assert (1, 6, 6, 7) == built(data + CONVOLUTION, x=(1, 4, 8, 9)).shapes[Value("c", 0)]


def test_a_given_shape_is_of_the_input_and_not_of_what_overwrites_it() -> None:
    pooled = layer("p", "Pooling", "x", "x", "pooling_param { kernel_size: 2 }").encode()
    assert (1, 4, 7, 8) == built(NO_SHAPE + pooled, x=(1, 4, 8, 9)).shapes[Value("x", 1)]


@pytest.mark.parametrize(
    ("prototxt", "shapes", "expected"),
    [
        (b"", {}, "net.prototxt: contains no layer; give the deploy prototxt of a Caffe net"),
        (b'name: "empty" ', {}, "net.prototxt: contains no layer; give the deploy prototxt of a Caffe net"),
        (
            text("layer: [{ name: 'a' }]"),
            {},
            "net.prototxt:3:1: layers in a list [...] cannot be edited; write each as `layer { ... }`",
        ),
        (
            text("layer: 3"),
            {},
            "net.prototxt:3:1: layers in a list [...] cannot be edited; write each as `layer { ... }`",
        ),
        (
            NO_SHAPE + CONVOLUTION,
            {"c": (1,)},
            "--input-shape names blob c, which is not an input of the net; its inputs are: x",
        ),
        (
            b'layer { name: "d" type: "Data" top: "u" top: "v" }',
            {"c": (1,)},
            "--input-shape names blob c, which is not an input of the net; its inputs are: u, v",
        ),
    ],
)
def test_what_is_no_net_is_an_error(prototxt: bytes, shapes: Any, expected: str) -> None:
    with pytest.raises(InputError) as raised:
        built(prototxt, **shapes)
    assert expected == str(raised.value)


def test_a_blob_that_only_another_phase_makes_is_an_input() -> None:
    data = 'layer { name: "d" type: "Data" top: "x" top: "label" include { phase: TRAIN } }'
    layers = "\n".join([data, 'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }']).encode()
    built = build(textproto.parse(layers, "net.prototxt"), None, State(), {"x": (1, 3, 4, 4)})
    assert {"x": (1, 3, 4, 4)} == built.net.inputs
    assert (1, 3, 4, 4) == built.net.shapes[Value("r", 0)]
    assert (
        "net.prototxt:1:1: blob x is produced by layer d, which does not take part in this phase; "
        "it is taken for an input of the net",
    ) == built.warnings


RELU6 = 'layer { name: "r" type: "ReLU" bottom: "x" top: "r" relu_param { relu6: true } }'
AVERAGE = 'layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { pool: AVE_EXC_PAD kernel_size: 2 } }'
FOREIGN = 'layer { name: "f" type: "Foreign" bottom: "x" top: "f" relu_param { relu6: true } }'


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((RELU6,), "net.prototxt:3:1: field relu_param.relu6 of ReLU r is not understood, and ignored when the net "),
        ((FOREIGN, RELU6), "net.prototxt:4:1: field relu_param.relu6 of ReLU r is not understood, and ignored when "),
        ((AVERAGE, RELU6), "net.prototxt:3:1: field pooling_param.pool of Pooling p is not understood, and ignored "),
    ],
)
def test_a_layer_that_is_run_without_one_of_its_fields_is_told(layers: Tuple[str, ...], expected: str) -> None:
    (warning,) = (each for each in model(text(*layers), None).warnings if "not understood" in each)
    assert warning.startswith(expected)
    assert (AVERAGE in layers) == warning.endswith("when the net is run, as are fields of 1 more layer")


@pytest.mark.parametrize(
    "each", [FOREIGN, 'layer { name: "q" type: "ReLU" bottom: "x" top: "x" quantization_param { } }']
)
def test_what_a_run_does_not_need_is_not_told(each: str) -> None:
    assert not any("not understood" in warning for warning in model(text(each), None).warnings)
