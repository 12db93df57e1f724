"""What a target changes in the files as a whole: layers of other phases, inputs, and names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Mapping, Sequence, Tuple

import nets
import numpy as np
import pytest
import reference
from nets import batch_norm, caffemodel, convolution, fuse, layer, model, numbers, text

import caffe_fuse
from caffe_fuse.cli import main
from caffe_fuse.targets import find, findings

CONVOLUTION = convolution(settings="bias_term: true")
INPUT = 'layer { name: "i" type: "Input" top: "x" input_param { shape { dim: 3 dim: 4 dim: 5 dim: 6 } } }'
TRAIN = "include { phase: TRAIN }"


def with_input(*layers: str, source: str = INPUT) -> bytes:
    return ("\n".join([source, *layers]) + "\n").encode()


def changed(prototxt: bytes, target: str, keep: Sequence[str] = ()) -> List[str]:
    """Returns the lines of the new prototxt."""
    return fuse(prototxt, target=target, half_policy=None, keep=keep).prototxt.decode().splitlines()


def left(target: str, prototxt: bytes) -> List[str]:
    """Returns what the tool does not take of a net as it is."""
    found = findings(model(prototxt, None), find(target))
    return [f"{each.demand} {each.layer and each.layer.name}" for each in found]


def written(folder: Path, prototxt: bytes) -> Tuple[str, str]:
    files = str(folder / "net.prototxt"), str(folder / "net.caffemodel")
    Path(files[0]).write_bytes(prototxt)
    Path(files[1]).write_bytes(caffemodel(prototxt, numbers(prototxt)))
    return files


def judged(fused: nets.Fused, inputs: Mapping[str, np.ndarray], names: Mapping[str, str]) -> None:
    """Asserts by the interpreter that blobs of the old net are in the new one under these names, for the first item."""
    before = reference.run(*fused.before, inputs)
    batches = {name: shape[0] for name, shape in model(fused.prototxt, fused.weights).net.inputs.items() if shape}
    firsts = {name: value[: batches.get(name, 1)] for name, value in inputs.items()}
    after = reference.run(fused.prototxt, fused.weights, firsts)
    for old, new in names.items():
        assert np.allclose(before[old][: len(after[new])], after[new], rtol=1e-5, atol=1e-5)


# Phases


def test_layers_of_another_phase_go_with_their_weights() -> None:
    """Caffe, X2Paddle and TPU-MLIR look at `include`, OpenCV and the others do not."""
    loss = layer("l", "SoftmaxWithLoss", "c c", "l", TRAIN)
    twin = layer("t", "Convolution", "x", "t", f"{TRAIN} convolution_param {{ num_output: 2 kernel_size: 1 }}")
    data = f'layer {{ name: "d" type: "ImageSegData" top: "q" {TRAIN} }}'
    layers = (data, CONVOLUTION, loss, twin)
    assert ["one-phase d", "one-phase l", "one-phase t"] == left("opencv", text(*layers))
    blobs = {**numbers(text(*layers)), "t": [np.ones((2, 4, 1, 1), np.float32), np.ones(2, np.float32)]}
    fused = fuse(text(*layers), blobs, target="opencv", half_policy=None)
    assert ([CONVOLUTION], {"c"}) == (fused.lines, set(fused.arrays))
    report = fused.result.report
    assert report.target is not None
    assert ((), ["d", "l", "t"]) == (report.dropped, [each.layer.name for each in report.target.changes])
    assert () == fused.violations()
    for name in ("caffe", "x2paddle", "sophgo"):
        assert list(layers) == fuse(text(*layers), blobs, target=name, half_policy=None).lines


# Inputs


def test_a_batch_of_1_where_each_layer_computes_each_item_by_itself() -> None:
    matrix = layer("f", "InnerProduct", "c", "f", "inner_product_param { num_output: 3 }")
    prototxt = with_input(CONVOLUTION, matrix)
    assert ["batch-1 i"] == left("nnie", prototxt)
    fused = fuse(prototxt, target="nnie", half_policy=None)
    assert [INPUT.replace("dim: 3", "dim: 1"), CONVOLUTION, matrix] == fused.prototxt.decode().splitlines()
    judged(fused, {"x": nets.spread((3, 4, 5, 6), 1)}, {"c": "c", "f": "f"})
    verification = fused.result.verified().verification
    assert verification is not None
    assert () == verification.problems


@pytest.mark.parametrize(
    "mixing",
    [
        layer("r", "Reshape", "c", "r", "reshape_param { shape { dim: 3 dim: -1 } }"),
        layer("r", "Reshape", "c", "r", "reshape_param { shape { dim: 1 dim: -1 } }"),
        layer("r", "Softmax", "c", "r", "softmax_param { axis: 0 }"),
        layer("r", "Flatten", "c", "r", "flatten_param { axis: 0 }"),
        layer("r", "Reduction", "c", "r", "reduction_param { axis: 0 }"),
        layer("r", "Unheard", "c", "r"),
        layer("r", "Scale", "c", "r", "scale_param { axis: 0 num_axes: 2 }"),
    ],
)
def test_a_batch_stays_where_a_layer_mixes_its_items_or_may(mixing: str) -> None:
    assert [INPUT, CONVOLUTION, mixing] == changed(with_input(CONVOLUTION, mixing), "nnie")


def test_a_batch_stays_where_something_else_has_it_too() -> None:
    other = 'layer { name: "e" type: "DummyData" top: "e" dummy_data_param { shape { dim: 3 dim: 4 dim: 5 dim: 6 } } }'
    added = [other, layer("s", "Eltwise", "x e", "s")]
    assert [INPUT, *added] == changed(with_input(*added), "nnie")


def test_an_input_that_keep_names_keeps_its_batch() -> None:
    assert [INPUT, CONVOLUTION] == changed(with_input(CONVOLUTION), "nnie", keep=["i"])


def test_input_layers_become_fields() -> None:
    two = 'layer { name: "i" type: "Input" top: "x" top: "z" input_param { shape { dim: 1 dim: 4 dim: 5 dim: 6 } } }'
    prototxt = with_input(CONVOLUTION, layer("r", "ReLU", "z", "r"), source=two)
    assert ["input-fields i"] == left("ncsdk", prototxt)
    fused = fuse(prototxt, target="ncsdk", half_policy=None)
    assert fused.prototxt.startswith(b'input: "x"\ninput: "z"\ninput_shape {\n  dim: 1\n  dim: 4\n')
    judged(fused, {name: nets.spread((1, 4, 5, 6), place) for place, name in enumerate("xz")}, {"c": "c", "r": "r"})
    after = model(fused.prototxt, fused.weights).net
    assert ({"x": (1, 4, 5, 6), "z": (1, 4, 5, 6)}, ["c", "r"]) == (after.inputs, [each.name for each in after.layers])


def test_inputs_as_fields_and_as_layers_are_layers(tmp_path: Path) -> None:
    """BVLC Caffe does not look at `input` without a shape."""
    net, weights = written(tmp_path, b'input: "x"\n' + with_input(CONVOLUTION))
    assert ["input-once i"] == left("opencv", Path(net).read_bytes())
    assert 0 == main(["fuse", net, weights, "-o", str(tmp_path / "new"), "--target", "opencv", "-q"])
    assert [INPUT, CONVOLUTION] == (tmp_path / "new.prototxt").read_text().splitlines()


def test_types_of_v1_as_text() -> None:
    settings = b"convolution_param { num_output: 1 kernel_size: 1 }"
    old = b'layers { name: "c" type: "Convolution" bottom: "x" top: "c" %b }' % settings
    net = text() + old + b"\n"
    assert ["v1-types c"] == left("caffe", net)
    assert [] == left("caffe", net.replace(b'"Convolution"', b"CONVOLUTION"))


def test_a_shape_that_is_given_is_written(tmp_path: Path) -> None:
    without = 'layer { name: "i" type: "Input" top: "x" }'
    assert ["input-shape i"] == left("mnn", with_input(CONVOLUTION, source=without))
    net, weights = written(tmp_path, with_input(CONVOLUTION))
    Path(net).write_bytes(with_input(CONVOLUTION, source=without))
    assert 0 == main(
        ["fuse", net, weights, "-o", str(tmp_path / "new"), "--target", "mnn", "--input-shape", "x=1,4,5,6"]
    )
    after = caffe_fuse.load(tmp_path / "new.prototxt", tmp_path / "new.caffemodel")
    assert (1, 4, 5, 6) == after.net.shapes[after.net.tops(after.net.layers[0])[0]]


# Names


def test_illegal_names_become_legal_in_both_files() -> None:
    fused = fuse(
        text(convolution("_c 1"), batch_norm("c:1"), layer("x_c_1", "ReLU", "b", "r")), target="rknn1", half_policy=None
    )
    assert ["x_c_1_", "x_c_1"] == [each.name for each in model(fused.prototxt, None).net.layers]
    assert {"x_c_1_"} == set(fused.arrays)
    assert [] == [each for each in left("rknn1", fused.prototxt) if each.startswith("names")]
    judged(fused, {"x": nets.spread((2, 4, 5, 6), 1)}, {"r": "r"})
    verification = fused.result.verified().verification
    assert verification is not None
    assert () == verification.problems


def test_a_layer_keeps_its_weights_under_its_new_name() -> None:
    """Nothing else of it changes, so that its record could have stayed."""
    net = text(convolution("_c", settings="bias_term: true"))
    fused = fuse(net, target="rknn1", half_policy=None)
    before = numbers(net)["_c"]
    assert ({"x_c"}, [each.tolist() for each in before]) == (
        set(fused.arrays),
        [each.tolist() for each in fused.arrays["x_c"]],
    )


def test_layers_that_keep_names_keep_their_names() -> None:
    net = text(convolution("_c"), layer("r", "ReLU", "c", "r"))
    assert changed(net, "rknn1", keep=["_c"]) == net.decode().splitlines()


def test_blobs_are_renamed_with_all_that_reads_them(tmp_path: Path) -> None:
    layers = convolution(top="c_d"), layer("r", "ReLU", "c_d", "r"), layer("t", "TanH", "c_d", "r_t")
    blanks = with_input(*layers).replace(b'"c_d"', b'"c d"').replace(b'"r_t"', b'"r t"')
    assert ["names c", "names t"] == left("ncnn", blanks)
    files = written(tmp_path, blanks)
    new, report = tmp_path / "new", tmp_path / "r.json"
    arguments = ["--target", "ncnn", "--verify", "--report", str(report)]
    assert 0 == main(["fuse", *files, "-o", str(new), *arguments])
    told = json.loads(report.read_text())
    assert {"c d": "c_d", "r t": "r_t"} == told["target"]["renamed_blobs"] == told["vanished_blobs"]
    pair = [f"{new}.prototxt", f"{new}.caffemodel"]
    assert ("x", "c_d", "r", "r_t") == caffe_fuse.load(*pair).net.blob_names
    records = nets.records(Path(pair[1]).read_bytes())
    assert [["c_d"], ["c_d"]] == [list(records["c"].top), list(records["t"].bottom)]
    compared = tmp_path / "v.json"
    assert 0 == main(["verify", *files, *pair, "--rescaled", str(report), "--report", str(compared)])
    assert {"c d", "r", "r t"} == {row["blob"] for row in json.loads(compared.read_text())["verification"]["blobs"]}


def test_the_values_of_renamed_blobs() -> None:
    layers = convolution(top="c_d"), layer("r", "ReLU", "c_d", "r"), layer("t", "TanH", "c_d", "r_t")
    blanks = with_input(*layers).replace(b'"c_d"', b'"c d"').replace(b'"r_t"', b'"r t"').replace(b"dim: 3", b"dim: 1")
    fused = fuse(blanks, target="ncnn", half_policy=None)
    judged(fused, {"x": nets.spread((1, 4, 5, 6), 1)}, {"c d": "c_d", "r": "r", "r t": "r_t"})


def test_a_repair_is_told_under_the_new_names() -> None:
    layers = convolution(top="c_d"), layer("r", "ReLU", "c_d", "r_d"), convolution("e", "r_d", "e")
    blanks = with_input(*layers).replace(b'"c_d"', b'"c d"').replace(b'"r_d"', b'"r d"').replace(b"dim: 3", b"dim: 1")
    blobs = numbers(blanks)
    blobs["c"] = [blobs["c"][0] * np.float32(1e6), blobs["c"][1]]
    plain, named = (fuse(blanks, blobs, target=name, half_policy=None).result for name in ("tengine", "ncnn"))
    moved = plain.report.rescaled
    assert {"c d", "r d"} <= set(moved)
    assert {name.replace(" ", "_"): powers for name, powers in moved.items()} == dict(named.report.rescaled)
    verification = named.verified().verification
    assert verification is not None
    assert verification.equal


def test_of_two_layers_with_one_name_that_with_weights_keeps_it() -> None:
    """The file has a record for each; Caffe would load that without blobs into the Convolution, and stop."""
    net = text(CONVOLUTION, layer("c", "ReLU", "c", "r"))
    content = nets.message_class("NetParameter").FromString(caffemodel(text(CONVOLUTION), numbers(text(CONVOLUTION))))
    content.layer.add(name="c", type="ReLU")
    fused = fuse(net, weights=content.SerializeToString(), target="caffe", half_policy=None)
    assert ["c", "c_"] == [each.name for each in model(fused.prototxt, None).net.layers]
    records = nets.message_class("NetParameter").FromString(fused.weights).layer
    assert [("c", 2)] == [(each.name, len(each.blobs)) for each in records]


def test_a_layer_in_place_on_an_input_is_compared_under_its_new_name() -> None:
    net = with_input(layer("r", "ReLU", "x", "x"), convolution(settings="bias_term: true"))
    result = fuse(net, target="tensorrt", half_policy=None).result
    verification = result.verified().verification
    assert verification is not None
    assert ((), {"x", "c"}) == (verification.problems, {row.blob for row in verification.rows})
    fused = fuse(net, target="tensorrt", half_policy=None)
    before = reference.run(*fused.before, {"x": nets.spread((3, 4, 5, 6), 1)})
    after = reference.run(fused.prototxt, fused.weights, {"x": nets.spread((3, 4, 5, 6), 1)})
    assert np.array_equal(before["x"], after["x_r"])
    assert np.allclose(before["c"], after["c"], rtol=1e-6)
