"""`upgrade` writes what BVLC Caffe's own tools write, and does not change what is V2 already."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import pytest
import truth
from caffemodel_bytes import SHAPE, field, singles
from conftest import TESTS
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from nets import batch_norm, caffemodel, convolution, fuse, numbers, text
from old_forms import as_v1, as_v1_weights
from reference.files import message_class, read_net
from strategies_nets import nets

import caffe_fuse
from caffe_fuse.cli import process as cli
from caffe_fuse.errors import InputError, InternalError
from caffe_fuse.protobuf import text as textproto
from caffe_fuse.protobuf.wire import Source
from caffe_fuse.upgrading.text import upgraded_text
from caffe_fuse.upgrading.upgrade import Upgrade, upgrade
from caffe_fuse.upgrading.weights import upgraded_weights
from caffe_fuse.weights import read_weights

CASES = TESTS / "data" / "caffe_upgrade"
INPUT = 'input: "x"\ninput_dim: 2\ninput_dim: 4\ninput_dim: 5\ninput_dim: 6\n'


def new_text(content: bytes) -> bytes:
    document = textproto.parse(content, "net.prototxt")
    return document.render(upgraded_text(document).edits)


def new_weights(content: bytes, **types: str) -> bytes:
    pieces: Dict[int, bytes] = {}

    def put(place: int, data: memoryview) -> None:
        if len(data):
            pieces[place] = bytes(data)

    upgraded_weights(read_weights(Source(content, "net.caffemodel")), types).write(put)
    return b"".join(pieces[place] for place in sorted(pieces))


def parsed_text(content: bytes) -> Any:
    return text_format.Parse(content.decode(), message_class("NetParameter")())


def parsed(content: bytes) -> Any:
    return message_class("NetParameter").FromString(content)


def without_learning(layers: Any) -> Any:
    """Returns BatchNorm layers with three `param` as Caffe upgrades them (upgrade_proto.cpp:1005-1032)."""
    for each in layers:
        for spec in each.param if each.type == "BatchNorm" and len(each.param) == 3 else ():
            spec.lr_mult, spec.decay_mult = 0, 0
    return layers


# What BVLC's tools wrote


@pytest.mark.parametrize("name", ["v0-net", "v0-train", "v1-net", "v1-train", "v2-old-fields"])
def test_a_text_becomes_what_caffe_made_of_it(name: str) -> None:
    expected = parsed_text((CASES / f"{name}.upgraded.prototxt").read_bytes())
    assert expected == parsed_text(new_text((CASES / f"{name}.prototxt").read_bytes()))


@pytest.mark.parametrize("name", ["v0-net", "v1-net"])
def test_weights_become_what_caffe_made_of_them(name: str) -> None:
    expected = parsed((CASES / f"{name}.upgraded.caffemodel").read_bytes())
    assert expected == parsed(new_weights((CASES / f"{name}.caffemodel").read_bytes()))


@pytest.mark.parametrize("name", ["v0-net", "v1-net"])
def test_an_upgraded_model_gives_what_caffe_recorded(name: str, tmp_path: Path) -> None:
    upgrade(CASES / f"{name}.prototxt", CASES / f"{name}.caffemodel", tmp_path / "new")
    recorded: Dict[str, np.ndarray] = dict(np.load(CASES / f"{name}.npz"))
    inputs = {key[3:]: array for key, array in recorded.items() if key.startswith("in:")}
    content = [(tmp_path / f"new.{ending}").read_bytes() for ending in ("prototxt", "caffemodel")]
    found = truth.trace(content[0], content[1], inputs).last()
    for key, array in recorded.items():
        if key.startswith("out:"):
            assert truth.largest_error(array, found[key[4:]]) <= 4 * truth.ulp(float(np.abs(array).max()))


@pytest.mark.parametrize("name", ["v0-net.upgraded", "v1-net.upgraded"])
def test_what_is_upgraded_stays_byte_for_byte(name: str, tmp_path: Path) -> None:
    done = upgrade(CASES / f"{name}.prototxt", CASES / f"{name}.caffemodel", tmp_path / "new")
    assert Upgrade((), (), (), done.written) == done
    for path, ending in zip(done.written, ("caffemodel", "prototxt")):
        assert (CASES / f"{name}.{ending}").read_bytes() == Path(path).read_bytes()


@given(nets(), st.integers(0, 1000))
def test_a_v1_net_becomes_its_v2_twin(prototxt: bytes, seed: int) -> None:
    upgraded = read_net(new_text(as_v1(prototxt)))
    assert ["Input", "x"] == [upgraded.layer[0].type, *upgraded.layer[0].top]
    assert [str(each) for each in without_learning(read_net(prototxt).layer)] == [
        str(each) for each in upgraded.layer[1:]
    ]
    content = caffemodel(prototxt, numbers(prototxt, seed))
    types = {each.name: each.type for each in upgraded.layer}
    old = as_v1_weights(content)
    found = parsed(new_weights(old, **types))
    names = [(each.name, each.type) for each in parsed(content).layer]
    assert names == [(each.name, each.type) for each in found.layer]
    assert [list(each.blobs) for each in parsed(old).layers] == [list(each.blobs) for each in found.layer]


@given(nets(), st.integers(0, 1000))
def test_the_upgrade_of_a_v1_net_folds_as_its_v2_twin(prototxt: bytes, seed: int) -> None:
    content = caffemodel(prototxt, numbers(prototxt, seed))
    types = {each.name: each.type for each in read_net(prototxt).layer}
    new = fuse(prototxt, weights=content)
    old = fuse(new_text(as_v1(prototxt)), weights=new_weights(as_v1_weights(content), **types))
    upgraded = [str(each) for each in read_net(old.prototxt).layer[1:]]
    assert [str(each) for each in without_learning(read_net(new.prototxt).layer)] == upgraded
    found = {name: [blob.ravel().tolist() for blob in blobs] for name, blobs in new.arrays.items()}
    layers = [each for each in parsed(old.weights).layer if each.blobs]
    assert found == {each.name: [list(each_blob.data) for each_blob in each.blobs] for each in layers}


# The text


V1_TEXT = b"""# a net
name: "old"  # of 2014
layers {
  type: CONVOLUTION  # the type is an enum
  name: "c"
  bottom: "x"
  top: "c"
  # learning
  blobs_lr: 1
  blobs_lr: 2
  weight_decay: 1
  weight_decay: 0
  convolution_param {
    num_output: 6
    kernel_size: 3  # small
    own: 7
  }
  own_param { speed: 3 }
}
# between
layers { name: "r" type: MY_OWN bottom: "c" top: "c" }
"""
V2_TEXT = b"""# a net
name: "old"  # of 2014
layer {
  type: "Convolution"  # the type is an enum
  name: "c"
  bottom: "x"
  top: "c"
  # learning
  param { lr_mult: 1 decay_mult: 1 }
  param { lr_mult: 2 decay_mult: 0 }
  convolution_param {
    num_output: 6
    kernel_size: 3  # small
    own: 7
  }
  own_param { speed: 3 }
}
# between
layer { name: "r" type: "MY_OWN" bottom: "c" top: "c" }
"""


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_only_what_v2_spells_otherwise_changes_in_a_v1_text(newline: bytes) -> None:
    assert V2_TEXT.replace(b"\n", newline) == new_text(V1_TEXT.replace(b"\n", newline))


def test_a_v0_layer_is_written_anew_and_the_comments_around_it_stay() -> None:
    before = b"""# a net
layers { layer { name: "p" type: "padding" pad: 1 } bottom: "x" top: "p" }
# the first
layers {
  bottom: "p" top: "c"
  layer { name: "c" type: "conv" kernelsize: 3 own { speed: 3 } weight_filler { std: 0.1 } }
}  # end
"""
    after = b"""# a net
# the first
layer {
  name: "c"
  type: "Convolution"
  bottom: "x"
  top: "c"
  convolution_param {
    pad: 1
    kernel_size: 3
    weight_filler {
      std: 0.1
    }
  }
  own { speed: 3 }
}  # end
"""
    assert after == new_text(before)


BATCH_NORMS = [
    ("param { lr_mult: 1 } param { } param { name: 'x' }", ["0", "0", "0"]),
    ("param: [{ lr_mult: 1 }, { lr_mult: 2 }, { decay_mult: 3 }]", ["0", "0", "0"]),
    ("param { lr_mult: 1 } param { lr_mult: 2 }", ["1", "2"]),
    ("", []),
]


@pytest.mark.parametrize(("params", "expected"), BATCH_NORMS)
def test_only_a_batch_norm_with_three_params_must_not_learn(params: str, expected: List[str]) -> None:
    after = new_text(text(convolution(), batch_norm(rest=params))).decode()
    (norm,) = [each for each in parsed_text(after.encode()).layer if each.type == "BatchNorm"]
    assert expected == [format(spec.lr_mult, "g") for spec in norm.param]
    assert [name for name in ("x",) if name in params] == [spec.name for spec in norm.param if spec.name]


def test_other_layers_may_learn() -> None:
    before = convolution(rest="param { lr_mult: 1 } param { lr_mult: 2 } param { lr_mult: 3 }")
    assert before in new_text(text(before)).decode()


def test_the_old_transform_of_one_layer_moves_and_the_others_get_both_messages() -> None:
    # As UpgradeNetDataTransformation does, which makes the messages before it looks
    before = b"""layers { name: "a" type: DATA data_param { source: "s" scale: 0.5 mirror: true } }
layers { name: "b" type: IMAGE_DATA transform_param { crop_size: 3 } }
layer { name: "c" type: "Data" data_param { crop_size: 4 } }
"""
    first, second, third = parsed_text(new_text(before)).layer
    assert (0.5, True, "s") == (first.transform_param.scale, first.transform_param.mirror, first.data_param.source)
    assert (False, True) == (first.data_param.HasField("scale"), second.HasField("image_data_param"))
    assert (3, 4) == (second.transform_param.crop_size, third.data_param.crop_size)
    weights = new_weights(parsed_text(before.split(b"layer {")[0]).SerializeToString())
    assert [str(first), str(second)] == [str(each) for each in parsed(weights).layer]


SHAPES = [
    'input: "x" input: "y" input_shape { dim: 3 } input_shape { dim: 2 dim: 1 }',
    'input: "x"\ninput: "y"\ninput_shape { dim: 3 }\ninput_shape { dim: 2 dim: 1 }\n',
    "input: ['x', 'y'] input_shape: [{ dim: 3 }, { dim: [2, 1] }]",
]


@pytest.mark.parametrize("inputs", SHAPES)
@pytest.mark.parametrize("behind", [False, True])
def test_the_input_fields_become_a_layer_in_front_of_the_others(inputs: str, behind: bool) -> None:
    layer = 'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }\n'
    after = new_text((layer + inputs if behind else inputs + layer).encode())
    first, second = parsed_text(after).layer
    assert ("input", "Input", ["x", "y"], "r") == (first.name, first.type, list(first.top), second.name)
    assert [[3], [2, 1]] == [list(shape.dim) for shape in first.input_param.shape]
    assert [0, 0] == [len(parsed_text(after).input), len(parsed_text(after).input_shape)]
    assert layer.strip().encode() in after


def test_inputs_without_a_shape_are_taken_out_with_a_warning() -> None:
    document = textproto.parse(b'input: "x"\nlayer { name: "r" type: "ReLU" bottom: "x" top: "r" }\n', "net.prototxt")
    upgraded = upgraded_text(document)
    assert b'layer { name: "r" type: "ReLU" bottom: "x" top: "r" }\n' == document.render(upgraded.edits)
    assert upgraded.warnings[0].startswith("net.prototxt:1:1: the net does not say the shape of its input")


@pytest.mark.parametrize("shapes", ["input_dim: 1 input_dim: 2 input_dim: 3", "input_shape { }"])
def test_inputs_of_which_one_has_no_shape_are_refused(shapes: str) -> None:
    with pytest.raises(InputError, match=r"net\.prototxt:1:1: input x has no shape, but other inputs have one"):
        new_text(f'input: "x" {shapes} layer {{ name: "r" }}'.encode())


def test_a_net_of_two_forms_becomes_one() -> None:
    after = parsed_text(new_text(b'layer { name: "a" type: "ReLU" }\nlayers { name: "b" type: RELU }'))
    assert ([("a", "ReLU"), ("b", "ReLU")], 0) == ([(each.name, each.type) for each in after.layer], len(after.layers))


@pytest.mark.parametrize("name", [name for name in truth.names() if not name.startswith("format-")])
def test_of_a_net_of_today_only_the_learning_of_batch_norms_changes(name: str) -> None:
    net = truth.load(name)
    assert net.prototxt == new_text(net.prototxt)
    # Caffe writes lr_mult: 0 itself, but no decay_mult
    expected, found = parsed(net.weights), new_weights(net.weights)
    without_learning(expected.layer)
    assert expected == parsed(found)
    assert ("BatchNorm" in [each.type for each in expected.layer]) == (net.weights != found)
    assert found == new_weights(found)


# The weights


BLOB = field(5, singles([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])) + SHAPE


def only(content: bytes, **types: str) -> Any:
    (record,) = parsed(new_weights(content, **types)).layer
    return record


def test_blobs_and_the_fields_of_other_caffes_are_copied() -> None:
    settings = field(1, 6) + field(999, b"another Caffe's")
    blob = BLOB + field(99, b"own")
    record = field(2, field(4, b"c") + field(5, 4) + field(10, settings) + field(6, blob))
    found = new_weights(field(1, b"net") + record + field(7777, b"own"))
    expected = field(1, b"c") + field(2, b"Convolution") + field(106, settings) + field(7, blob)
    whole = found[: len(field(1, b"net"))], found[-len(field(7777, b"own")) :]
    assert (field(1, b"net"), field(7777, b"own")) == whole
    assert sorted(expected) == sorted(found[len(field(1, b"net")) : -len(field(7777, b"own"))][-len(expected) :])
    assert ["Convolution", "c"] == [parsed(found).layer[0].type, parsed(found).layer[0].name]


def test_names_that_are_no_utf8_stay_what_they_were() -> None:
    strange = b"\xc4\xe3"
    for record in (
        field(4, strange) + field(5, 18) + field(2, strange) + field(3, strange),
        field(1, field(1, strange) + field(2, b"relu")) + field(2, strange) + field(3, strange),
    ):
        found = new_weights(field(2, record))
        for number in (1, 3, 4):
            assert field(number, strange) in found


def test_a_type_that_only_a_fork_has_a_number_for_is_the_nets() -> None:
    record = field(2, field(4, b"b") + field(5, 47) + field(6, BLOB))
    assert "BatchNorm" == only(record, b="BatchNorm").type
    assert not only(record, other="BatchNorm").HasField("type")


@pytest.mark.parametrize(("rates", "expected"), [([1.0, 1.0, 1.0], [0, 0, 0]), ([1.0, 2.0], [1, 2])])
def test_a_batch_norm_with_three_params_must_not_learn_in_the_weights(
    rates: Sequence[float], expected: Sequence[float]
) -> None:
    params = b"".join(field(6, field(3, rate) + field(1, b"own") + field(88, 5)) for rate in rates)
    content = field(100, field(1, b"b") + field(2, b"BatchNorm") + params + field(7, BLOB) + field(139, b""))
    record = only(content)
    assert expected == [spec.lr_mult for spec in record.param]
    assert ["own"] * len(rates) == [spec.name for spec in record.param]
    assert record.HasField("batch_norm_param")
    assert len(rates) == new_weights(content).count(field(88, 5))


def test_inputs_without_a_shape_are_taken_out_of_the_weights() -> None:
    content = field(3, b"x") + field(2, field(4, b"r") + field(5, 18))
    assert ["ReLU"] == [each.type for each in parsed(new_weights(content)).layer]
    assert not parsed(new_weights(content)).input
    with pytest.raises(InputError, match=r"net\.caffemodel: input x has no shape"):
        new_weights(field(4, 1) + content)


def test_parameters_that_are_damaged_are_an_input_error() -> None:
    with pytest.raises(InputError, match=r"net.caffemodel: layer c: its parameters are not those of BVLC Caffe"):
        new_weights(field(2, field(4, b"c") + field(36, b"\x0f")))


# The command


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_the_command_writes_both_files_and_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [CASES / f"v0-net.{ending}" for ending in ("caffemodel", "prototxt")]
    assert 0 == run("upgrade", *names, "-o", tmp_path / "new")
    output = capsys.readouterr()
    assert ("", [tmp_path / "new.caffemodel", tmp_path / "new.prototxt"]) == (output.err, sorted(tmp_path.iterdir()))
    assert [
        "net        layers of the V0 form that are now `layer`: 8",
        "net        padding layers that are now part of their consumers: 1",
        "net        the net's `input` fields are now an Input layer",
        "weights    layers of the V0 form that are now `layer`: 8",
        "weights    the net's `input` fields are now an Input layer",
        f"wrote      {tmp_path / 'new.caffemodel'}",
        f"wrote      {tmp_path / 'new.prototxt'}",
    ] == output.out.splitlines()


def test_the_default_name_is_that_of_the_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert 0 == run("upgrade", "-q", CASES / "v1-train.prototxt")
    assert ["v1-train_upgraded.prototxt"] == [path.name for path in tmp_path.iterdir()]


def test_a_model_of_today_is_written_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = truth.load("layer-conv1d")
    assert 0 == run("upgrade", net.prototxt_path, net.weights_path, "-o", tmp_path / "new")
    assert "nothing is in an old form" in capsys.readouterr().out.splitlines()[0]
    written = tuple((tmp_path / f"new.{ending}").read_bytes() for ending in ("prototxt", "caffemodel"))
    assert (net.prototxt, net.weights) == written


def refused(tmp_path: Path) -> List[Tuple[str, List[object], str]]:
    net = CASES / "v1-net.prototxt"
    copy = tmp_path / "copy.prototxt"
    copy.write_bytes(net.read_bytes())
    (tmp_path / "new.prototxt").mkdir()
    return [
        ("an input as output", [copy, "-o", copy], "this output is the input"),
        ("no folder", [net, "-o", tmp_path / "none" / "x"], "does not exist"),
        ("a folder as output", [net, "-o", tmp_path / "new"], "this output is a folder"),
        ("weights alone", [CASES / "v1-net.caffemodel", "-o", tmp_path / "x"], "it is binary"),
        ("no net", [tmp_path / "none.prototxt", "-o", tmp_path / "x"], "there is no such file"),
    ]


@pytest.mark.parametrize("case", range(5))
def test_what_cannot_be_upgraded_is_status_2_and_writes_nothing(
    case: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, arguments, message = refused(tmp_path)[case]
    assert 2 == run("upgrade", *arguments)
    assert message in capsys.readouterr().err
    assert ["copy.prototxt", "new.prototxt"] == sorted(path.name for path in tmp_path.iterdir())


def test_an_upgrade_that_does_not_read_as_meant_is_an_internal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caffe_fuse.upgrading.text._on_one_line", lambda lines: b"param { }")
    with pytest.raises(InternalError, match="the upgraded net does not read as it should"):
        upgrade(CASES / "v1-net.prototxt", None, tmp_path / "new")
    monkeypatch.undo()
    monkeypatch.setattr("caffe_fuse.upgrading.weights._read", without_blobs)
    with pytest.raises(InternalError, match="the upgraded weights do not read as they should"):
        upgrade(CASES / "v1-net.prototxt", CASES / "v1-net.caffemodel", tmp_path / "new")
    assert [] == list(tmp_path.iterdir())


def without_blobs(source: Source, generation: Any, record: Any) -> Any:
    from caffe_fuse.upgrading.weights import _Old

    message = message_class("V1LayerParameter")(name=record.name)
    return _Old(record, message, [])


def test_every_definition_of_a_real_net_can_be_upgraded(shared: Path) -> None:
    templates = 0
    paths = sorted((shared / "prototxt").glob("*.prototxt"))
    for path in paths:
        try:
            content = path.read_bytes()
            upgraded = new_text(content)
        except caffe_fuse.TextError:
            templates += 1
            continue
        assert upgraded == content or upgraded == new_text(upgraded)
    assert (65, 1) == (len(paths), templates)


def test_types_are_told_and_a_layer_without_one_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net = tmp_path / "n.prototxt"
    net.write_bytes(b'layer { name: "c" type: "Convolutoin" top: "c" }')
    assert 0 == cli.main(["upgrade", str(net), "-o", str(tmp_path / "u")])
    assert "type Convolutoin of 1 layer is not known (did you mean Convolution?)" in capsys.readouterr().err
    net.write_bytes(b'layer { name: "c" top: "c" }')
    assert 2 == cli.main(["upgrade", str(net), "-o", str(tmp_path / "v")])
    assert "n.prototxt:1:1: layer c has no type; add its type" in capsys.readouterr().err
    assert not (tmp_path / "v.prototxt").exists()
