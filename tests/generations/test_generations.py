"""Nets of the V1 and V0 form: what they mean, and that a fold keeps their form."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence

import numpy as np
import pytest
import truth
from caffemodel_bytes import field
from conftest import TESTS
from hypothesis import given
from hypothesis import strategies as st
from nets import Fused, batch_norm, caffemodel, convolution, fuse, layer, model, numbers, scale, text
from old_forms import arrays_of_v1, as_v1, as_v1_weights
from reference.files import message_class, read_net
from strategies_nets import nets

import caffe_fuse
from caffe_fuse import generations
from caffe_fuse.errors import InputError, InternalError, TextError
from caffe_fuse.generations import V0, V1, V2, v0
from caffe_fuse.generations import type_names as types
from caffe_fuse.protobuf import text as textproto
from caffe_fuse.report.show import plan_report
from caffe_fuse.schema import messages as schema
from caffe_fuse.schema.messages import Typed

UPGRADED = TESTS / "data" / "caffe_upgrade"
HEAD = b'input: "x"\ninput_dim: 2\ninput_dim: 4\ninput_dim: 5\ninput_dim: 6\n'


def read(content: str) -> Typed:
    """Returns the only layer of a net."""
    (found,) = generations.read_layers(textproto.parse(content.encode(), "net.prototxt"))
    return found.typed


def meant(content: str) -> Any:
    """Returns the same without fields that are not understood."""
    typed = read(content)
    assert () == typed.unknown
    return typed.message


# The names of types


def test_v1_types_have_their_names_of_today() -> None:
    layer_type = schema.new("V1LayerParameter").DESCRIPTOR.enum_types_by_name["LayerType"]
    names = {value.name: types.from_v1(value.name) for value in layer_type.values}
    odd = {"NONE": "", "SOFTMAX_LOSS": "SoftmaxWithLoss"}
    assert odd == {name: names.pop(name) for name in odd}
    assert [name.replace("_", "").lower() for name in names] == [name.lower() for name in names.values()]
    assert 38 == len(names)


def test_a_v1_type_is_found_by_number_as_by_name() -> None:
    found = [types.from_v1(number) for number in (4, 20, 39)]
    assert ["Convolution", "Softmax", "Deconvolution"] == found


def test_a_number_that_only_a_fork_has_says_so() -> None:
    assert ["V1:40", "V1:-1"] == [types.from_v1(number) for number in (40, -1)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BN", "BN"),
        ("BATCH_NORM", "BatchNorm"),
        ("BATCHNORM", "BatchNorm"),
        ("SCALE", "Scale"),
        ("PRELU", "PReLU"),
        ("CUDNN_BATCH_NORM", "CuDNNBatchNorm"),
        ("CONVOLUTION_DEPTHWISE", "ConvolutionDepthwise"),
        ("Softmax", "Softmax"),
        ("MY_OWN_TYPE", "MY_OWN_TYPE"),
    ],
)
def test_a_name_that_only_forks_have_is_told_by_its_letters(name: str, expected: str) -> None:
    assert expected == types.from_v1(name) == types.from_v0(name)


def test_v0_types_have_their_names_of_today() -> None:
    names = ["conv", "images", "innerproduct", "pool", "softmax_loss", "padding"]
    expected = ["Convolution", "ImageData", "InnerProduct", "Pooling", "SoftmaxWithLoss", "padding"]
    assert expected == [types.from_v0(name) for name in names]


# What a layer means


@pytest.mark.parametrize("name", ["v0-net", "v0-train", "v1-net", "v1-train"])
def test_a_net_means_what_caffe_upgrades_it_to(name: str) -> None:
    document = textproto.parse((UPGRADED / f"{name}.prototxt").read_bytes())
    found = [each.typed.message.SerializeToString() for each in generations.read_layers(document)]
    upgraded = read_net((UPGRADED / f"{name}.upgraded.prototxt").read_bytes()).layer
    assert [each.SerializeToString() for each in upgraded if each.type != "Input"] == found


@pytest.mark.parametrize("spelled", ["POOLING", '"POOLING"', '"Pooling"', "'Pool' 'ing'", "17", "0x11"])
def test_a_v1_type_may_be_a_word_or_text_or_a_number(spelled: str) -> None:
    assert "Pooling" == meant(f"layers {{ type: {spelled} }}").type


def test_the_parameters_of_a_fork_are_read_as_those_of_v2() -> None:
    parameter = meant("layers { name: 'b' type: BN bn_param { bn_mode: INFERENCE } batch_norm_param { eps: 0.5 } }")
    assert ("BN", 0.5, True) == (parameter.type, parameter.batch_norm_param.eps, parameter.HasField("bn_param"))


def test_a_param_may_be_that_of_v2() -> None:
    net = b"layers { name: 'c' type: 'Convolution' param { lr_mult: 1 } param { name: 'b' lr_mult: 2 } }"
    specs = meant(net.decode()).param
    assert [("", 1), ("b", 2)] == [(spec.name, spec.lr_mult) for spec in specs]


def test_a_layer_without_a_type_has_none() -> None:
    assert not meant("layers { name: 'b' }").HasField("type")


@pytest.mark.parametrize(
    ("content", "place", "what"),
    [
        ("layers { blobs_lr: x }", "1:20", "expected a number"),
        ("layers { type: 1.5 }", "1:16", "expected an integer"),
        ("layers { convolution_param { num_output: 'a' } }", "1:42", "expected an integer"),
        ("layers { layer { num_output: 'a' } }", "1:30", "expected an integer"),
    ],
)
def test_a_wrong_value_is_an_error_with_its_place(content: str, place: str, what: str) -> None:
    with pytest.raises(TextError) as caught:
        read(content)
    assert f"net.prototxt:{place}" == caught.value.where
    assert what in caught.value.what


def test_fields_that_are_not_known_keep_their_place_in_the_layer() -> None:
    assert ["own", "relu_param.own"] == [each.path for each in read("layers { own: 1 relu_param { own: 2 } }").unknown]
    assert ["layer.own"] == [each.path for each in read("layers { layer { own: 1 } }").unknown]


@pytest.mark.parametrize("name", ["layer", "layers"])
def test_layers_in_a_list_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"net.prototxt:1:1: layers in a list .* write each as `{name} "):
        read(f"{name} [ {{ name: 'a' }} ]")


def test_each_layer_knows_its_generation() -> None:
    layers = "layer { name: 'a' type: 'Silence' } layers { name: 'b' type: SILENCE }"
    oldest = "layers { layer { name: 'c' type: 'relu' } bottom: 'x' top: 'c' }"
    net = model(HEAD + f"{layers} {oldest}".encode(), None)
    assert [V2, V1, V0] == [each.generation for each in net.net.layers]
    assert ["a", "b", "c"] == [each.name for each in net.net.layers]


def test_a_net_of_two_forms_is_read_with_a_warning() -> None:
    lines = "layer { name: 'a' type: 'Silence' }", *(f"layers {{ name: '{name}' type: SILENCE }}" for name in "bc")
    net = model(HEAD + "\n".join(lines).encode(), None)
    (warning,) = net.warnings
    assert warning.startswith("net.prototxt:7:1: this net has both `layer` and `layers`")


PADDING = "layers { layer { name: 'p' type: 'padding' pad: 3 } bottom: 'x' top: 'p' }\n"


def padded(reader: str) -> List[Any]:
    return [each.typed.message for each in generations.read_layers(textproto.parse((PADDING + reader).encode(), "net"))]


def test_padding_is_a_part_of_the_layer_that_reads_it() -> None:
    pooling, other = padded(
        "layers { layer { name: 'q' type: 'pool' kernelsize: 2 } bottom: 'p' top: 'q' }"
        "layers { layer { name: 'c' type: 'conv' pad: 1 } bottom: 'x' top: 'c' }"
    )
    assert (["x"], [3]) == (list(pooling.bottom), list(pooling.pooling_param.pad))
    assert (["x"], [1]) == (list(other.bottom), list(other.convolution_param.pad))


def test_what_is_written_over_padding_is_no_padding() -> None:
    _, pooling = padded(
        "layers { layer { name: 'r' type: 'relu' } bottom: 'x' top: 'p' }"
        "layers { layer { name: 'q' type: 'pool' } bottom: 'p' top: 'q' }"
    )
    assert (["p"], []) == (list(pooling.bottom), list(pooling.pooling_param.pad))


@pytest.mark.parametrize(
    "reader",
    [
        "layers { layer { name: 'r' type: 'relu' } bottom: 'p' top: 'r' }",
        "layers { layer { name: 'r' type: 'conv' } bottom: 'p' bottom: 'x' top: 'r' }",
    ],
)
def test_padding_that_nothing_can_take_in_is_refused(reader: str) -> None:
    with pytest.raises(InputError, match="net: layer r reads the padding layer p, but only a conv or pool layer"):
        padded(reader)


def test_what_a_v0_layer_cannot_say_is_an_internal_error() -> None:
    message = schema.new("V1LayerParameter")
    message.layer.name, message.layer.type = "c", "conv"
    before, after = v0.upgraded(message), v0.upgraded(message)
    after.convolution_param.axis = 2
    with pytest.raises(InternalError, match="the change of layer c cannot be expressed in generation V0"):
        v0.changed(message, before, after)


# Folds


@pytest.mark.parametrize("name", truth.names("fold-*"))
def test_a_recorded_net_folds_in_the_v1_form(name: str) -> None:
    net = truth.load(name)
    fused = fuse(as_v1(net.prototxt), weights=as_v1_weights(net.weights))
    assert () == fused.result.report.refused
    compared = truth.compare(net.prototxt, net.weights, fused.prototxt, fused.weights, net.inputs)
    assert () == compared.violations
    assert () == compared.unknown
    assert b"layer {" not in fused.prototxt


@given(nets(), st.integers(0, 1000))
def test_a_v1_net_folds_as_its_v2_twin(prototxt: bytes, seed: int) -> None:
    content = caffemodel(prototxt, numbers(prototxt, seed))
    new, old = fuse(prototxt, weights=content), fuse(as_v1(prototxt), weights=as_v1_weights(content))
    merged = {each.name for rewrite in new.result.report.changes.converted for each in rewrite.before}
    assert [] == [name for name in merged if "the old form of this net has no Scale" not in old.refused[name]]
    lines = [(old_line, as_v1(line.encode()).decode()) for old_line, line in zip(old.lines, new.lines)]
    if not merged:
        assert [twin for _, twin in lines] == old.lines
    kept = {name: blobs for name, blobs in new.arrays.items() if name not in merged}
    assert {name: flat(blobs) for name, blobs in kept.items()} == {
        name: flat(blobs) for name, blobs in arrays_of_v1(old.weights).items() if name not in merged
    }


def flat(blobs: Sequence[np.ndarray]) -> List[Any]:
    return [blob.ravel().tolist() for blob in blobs]


V1_NET = b"""# of 2014
layers {
  name: "c"  # convolution
  type: CONVOLUTION
  bottom: "x"
  top: "c"
  blobs_lr: 1 blobs_lr: 2
  weight_decay: 1
  param: "w"
  convolution_param { num_output: 6 kernel_size: 3 bias_term: false }
}
layers { name: "b" type: BN_TYPE bottom: "c" top: "b" }
# between
layers { name: "p" type: POWER bottom: "b" top: "p" power_param { scale: 2 } }
layers { name: "r" type: RELU bottom: "p" top: "r" }
"""
V1_FOLDED = b"""# of 2014
layers {
  name: "c"  # convolution
  type: CONVOLUTION
  bottom: "x"
  top: "p"
  blobs_lr: 1 blobs_lr: 2
  weight_decay: 1
  param: "w"
  convolution_param { num_output: 6 kernel_size: 3 bias_term: true }
}
# between
layers { name: "r" type: RELU bottom: "p" top: "r" }
"""
V2_NET = text(
    convolution(settings="bias_term: false"),
    batch_norm(),
    layer("p", "Power", "b", "p", "power_param { scale: 2 }"),
    layer("r", "ReLU", "p", "r"),
)


@pytest.mark.parametrize("name", [b"BATCH_NORM", b"BatchNorm", b'"BATCH_NORM"'])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_v1_net_stays_one_and_only_what_changes_is_edited(name: bytes, newline: bytes) -> None:
    weights = caffemodel(V2_NET, numbers(V2_NET))
    before = (HEAD + V1_NET).replace(b"BN_TYPE", name).replace(b"\n", newline)
    fused = fuse(before, weights=as_v1_weights(weights))
    assert (HEAD + V1_FOLDED).replace(b"\n", newline) == fused.prototxt
    judged = Fused((V2_NET, weights), fused.prototxt, fused.weights, fused.result)
    assert () == judged.violations()


V0_NET = b"""# of 2013
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "x" top: "pad" }
layers {
  layer {
    name: "c"  # convolution
    type: "conv" num_output: 6
    kernelsize: 3 biasterm: false
    blobs_lr: 1.
  }
  bottom: "pad"
  top: "c"
}
layers { layer { name: "b" type: "batch_norm" } bottom: "c" top: "b" }
layers { layer { name: "r" type: "relu" } bottom: "b" top: "r" }  # done
layers { layer { name: "i" type: "innerproduct" num_output: 3 } bottom: "r" top: "i" }
layers { layer { name: "n" type: "batch_norm" } bottom: "i" top: "n" }
"""
V0_FOLDED = b"""# of 2013
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "x" top: "pad" }
layers {
  layer {
    name: "c"  # convolution
    type: "conv" num_output: 6
    kernelsize: 3 biasterm: true
    blobs_lr: 1.
  }
  bottom: "pad"
  top: "b"
}
layers { layer { name: "r" type: "relu" } bottom: "b" top: "r" }  # done
layers { layer { name: "i" type: "innerproduct" num_output: 3 } bottom: "r" top: "n" }
"""
V0_MEANING = text(
    convolution(settings="pad: 1 bias_term: false"),
    batch_norm(),
    layer("r", "ReLU", "b", "r"),
    layer("i", "InnerProduct", "r", "i", "inner_product_param { num_output: 3 }"),
    batch_norm("n", "i", "n"),
)


def v0_weights(content: bytes) -> bytes:
    """Returns the V2 weights of V0_MEANING as V0."""
    old = message_class("NetParameter")()
    old.layers.add(top=["pad"], bottom=["x"]).layer.MergeFrom(
        message_class("V0LayerParameter")(name="pad", type="padding", pad=1)
    )
    labels = {"": "", "Convolution": "conv", "BatchNorm": "batch_norm", "ReLU": "relu", "InnerProduct": "innerproduct"}
    for record in message_class("NetParameter").FromString(content).layer:
        bottoms = ["pad"] if record.name == "c" else record.bottom
        new = old.layers.add(bottom=bottoms, top=record.top).layer
        new.name, new.type = record.name, labels[record.type]
        new.blobs.extend(record.blobs)
        if record.type == "Convolution":
            new.biasterm = False
    return bytes(old.SerializeToString())


def test_a_v0_net_stays_one_and_only_what_changes_is_edited() -> None:
    weights = caffemodel(V0_MEANING, numbers(V0_MEANING))
    fused = fuse(HEAD + V0_NET, weights=v0_weights(weights))
    assert HEAD + V0_FOLDED == fused.prototxt
    judged = Fused((V0_MEANING, weights), fused.prototxt, fused.weights, fused.result)
    assert () == judged.violations()
    records = message_class("NetParameter").FromString(fused.weights).layers
    assert ["pad", "c", "r", "i"] == [record.layer.name for record in records]
    assert (["pad"], ["b"], True) == (list(records[1].bottom), list(records[1].top), records[1].layer.biasterm)
    assert [0, 2, 0, 2] == [len(record.layer.blobs) for record in records]


def test_the_padding_layer_of_the_weights_is_not_pruned() -> None:
    weights = v0_weights(caffemodel(V0_MEANING, {**numbers(V0_MEANING), "stranger": [np.ones(3, np.float32)]}))
    fused = fuse(HEAD + V0_NET, weights=weights, prune=True)
    records = message_class("NetParameter").FromString(fused.weights).layers
    assert ["pad", "c", "r", "i"] == [record.layer.name for record in records]


def test_blobs_in_the_text_of_a_v0_layer_are_taken_out_when_it_changes() -> None:
    numbers_in_it = "blobs { num: 1 channels: 1 height: 3 width: 2 data: [1, 2, 3, 4, 5, 6] } blobs { shape { dim: 3 } "
    product = f'layers {{ layer {{ name: "i" type: "innerproduct" num_output: 3 {numbers_in_it} data: [7, 8, 9] }} }} '
    before = 'input: "x" input_shape { dim: 1 dim: 2 }\n' + product + 'bottom: "x" top: "i" }\n'
    norm = 'layers { layer { name: "n" type: "batch_norm" } bottom: "i" top: "n" }\n'
    weights = field(
        2, field(1, field(1, b"n") + field(2, b"batch_norm") + b"".join(map(blob, ([1] * 3, [4] * 3, [1]))))
    )
    fused = fuse((before + norm).encode(), weights=weights)
    line = 'layers { layer { name: "i" type: "innerproduct" num_output: 3 } bottom: "x" top: "n" }'
    assert line == fused.prototxt.decode().splitlines()[1]


def blob(values: Sequence[float]) -> bytes:
    content = field(5, np.array(values, "<f4").tobytes())
    return field(50, content + field(7, field(1, bytes([len(values)]))))


def test_the_two_files_may_be_of_different_forms() -> None:
    weights = caffemodel(V2_NET, numbers(V2_NET))
    old_text = (HEAD + V1_NET).replace(b"BN_TYPE", b"BATCH_NORM")
    plain = fuse(V2_NET, weights=weights)
    new_weights, old_weights = fuse(old_text, weights=weights), fuse(V2_NET, weights=as_v1_weights(weights))
    assert HEAD + V1_FOLDED == new_weights.prototxt
    assert plain.weights == new_weights.weights
    assert plain.prototxt == old_weights.prototxt
    expected = {name: flat(blobs) for name, blobs in plain.arrays.items()}
    assert expected == {name: flat(blobs) for name, blobs in arrays_of_v1(old_weights.weights).items()}


def test_a_batch_norm_that_would_become_a_scale_is_refused_with_the_way_out() -> None:
    net = text(layer("r", "ReLU", "x", "r"), batch_norm(bottom="r"), scale())
    weights = as_v1_weights(caffemodel(net, numbers(net)))
    fused = fuse(as_v1(net), weights=weights)
    reason = "it reads the output of ReLU r, which cannot absorb it, and the old form of this net has no Scale"
    assert {"b": reason, "s": reason} == fused.refused
    assert any(": caffe-fuse upgrade " in step for step in fused.result.report.next)
    assert fused.before == (fused.prototxt, fused.weights)


def test_in_a_v2_net_with_v1_weights_it_becomes_one() -> None:
    net = text(layer("r", "ReLU", "x", "r"), batch_norm(bottom="r"))
    weights = caffemodel(net, numbers(net))
    fused = fuse(net, weights=as_v1_weights(weights))
    judged = Fused((net, weights), fused.prototxt, fused.weights, fused.result)
    assert 'type: "Scale"' in fused.lines[1]
    assert () == judged.violations()


def test_in_a_net_of_two_forms_each_layer_keeps_its_own() -> None:
    before = text(convolution(), batch_norm(), layer("d", "ReLU", "b", "d"))
    mixed = before.replace(b'layer { name: "c" type: "Convolution"', b'layers { name: "c" type: CONVOLUTION')
    fused = fuse(mixed, weights=caffemodel(before, numbers(before)))
    first = fused.lines[0]
    assert first.startswith('layers { name: "c" type: CONVOLUTION bottom: "x" top: "b"')
    assert 'layer { name: "d" type: "ReLU" bottom: "b" top: "d" }' == fused.lines[1]


@pytest.mark.parametrize("name", ["v0-net", "v1-net"])
def test_a_net_in_which_nothing_folds_stays_byte_for_byte(name: str, tmp_path: Path) -> None:
    loaded = caffe_fuse.load(UPGRADED / f"{name}.prototxt", UPGRADED / f"{name}.caffemodel")
    written = caffe_fuse.fuse(loaded, half_policy="off").save(str(tmp_path / "out"))
    for path, ending in zip(written, ("caffemodel", "prototxt")):
        assert (UPGRADED / f"{name}.{ending}").read_bytes() == Path(path).read_bytes()


@pytest.mark.parametrize("name", ["v0-net", "v1-net"])
def test_the_judge_reads_the_old_forms_as_caffe_does(name: str) -> None:
    prototxt, weights = ((UPGRADED / f"{name}.{ending}").read_bytes() for ending in ("prototxt", "caffemodel"))
    recorded: Dict[str, np.ndarray] = dict(np.load(UPGRADED / f"{name}.npz"))
    inputs = {key[3:]: array for key, array in recorded.items() if key.startswith("in:")}
    found = truth.trace(prototxt, weights, inputs).last()
    for key, array in recorded.items():
        if key.startswith("out:"):
            assert truth.largest_error(array, found[key[4:]]) <= 4 * truth.ulp(float(np.abs(array).max()))


def test_the_plan_of_a_real_net_of_two_forms(shared: Path) -> None:
    loaded = caffe_fuse.load(shared / "prototxt" / "googlenet-bn-v1format.prototxt")
    assert ["Softmax"] == [each.type for each in loaded.net.layers if each.generation == V1]
    assert "301 layers: 138 fold, 0 chains to become a Scale, 0 stay; " in plan_report(loaded)[-1]
