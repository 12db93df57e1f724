"""What a target changes: before and after as prototxt, and the judge's word on the values."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import AbstractSet, Any, Sequence

import nets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Fused, batch_norm, caffemodel, convolution, fuse, layer, model, numbers, scale, text
from old_forms import as_v1, as_v1_weights
from strategies_nets import INPUT
from strategies_nets import nets as any_nets

import caffe_fuse
from caffe_fuse.blobs.blob import ArrayBlob
from caffe_fuse.cli import main
from caffe_fuse.folding import save
from caffe_fuse.half.targets import POLICIES
from caffe_fuse.targets import TARGETS, adapted, find, findings

CONVOLUTION = convolution(settings="bias_term: true")


def fitted(target: str, before: Sequence[str], after: Sequence[str], **options: Any) -> Fused:
    """Asserts the layers of the new net, that every blob keeps its value, and that a second fold changes nothing."""
    fused = fuse(text(*before), target=target, half_policy=None, **options)
    assert list(after) == fused.lines
    assert () == fused.violations()
    again = fuse(fused.prototxt, weights=fused.weights, target=target, half_policy=None, **options)
    assert (fused.prototxt, fused.weights) == (again.prototxt, again.weights)
    return fused


def left(target: str, *layers: str) -> Sequence[str]:
    """Returns what the tool does not take of a net as it is."""
    return [
        f"{each.demand} {each.layer and each.layer.name}" for each in findings(model(text(*layers), None), find(target))
    ]


# What is changed


@pytest.mark.parametrize("target", ["caffe", "mnn", "ncnn", "openvino", "rknn", "x2paddle", "tensorrt"])
@pytest.mark.parametrize(
    ("settings", "window"),
    [
        ("upsample_param { scale: 2 }", "kernel_size: 2 stride: 2"),
        ("upsample_param { scale_h: 2 scale_w: 3 mode: NEAREST }", "kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 3"),
    ],
)
def test_an_upsample_is_a_deconvolution_with_ones(target: str, settings: str, window: str) -> None:
    deconvolution = f"convolution_param {{ num_output: 6 bias_term: false group: 6 {window} }}"
    fused = fuse(text(CONVOLUTION, layer("u", "Upsample", "c", "u", settings)), target=target, half_policy=None)
    (_, line) = fused.lines
    assert 'type: "Deconvolution"' in line
    assert "upsample_param" not in line
    assert set(window.split()) | {"group:", "bias_term:"} <= set(line.split())
    assert () == fused.violations()
    assert [1.0] == np.unique(fused.arrays["u"][0]).tolist()
    assert deconvolution.count("{") == line.count("convolution_param {")


def test_an_upsample_by_a_mask_or_to_a_size_that_is_no_multiple_is_only_named() -> None:
    odd = layer("u", "Upsample", "c", "u", "upsample_param { scale: 2 pad_out_h: true }")
    assert ["upsample u"] == left("mnn", CONVOLUTION, odd)
    fused = fuse(text(CONVOLUTION, odd), target="mnn", half_policy=None)
    assert [CONVOLUTION, odd] == fused.lines


def test_an_upsample_to_the_size_of_another_blob_needs_that_no_more() -> None:
    windows = "kernel_h: 5 kernel_w: 3 stride_h: 5 stride_w: 3"
    pooling = layer("p", "Pooling", "c", "p", f"pooling_param {{ {windows} }}")
    up = layer("u", "Upsample", "p c", "u", "upsample_param { mode: NEAREST }")
    wide = CONVOLUTION.replace("kernel_size: 3", "kernel_size: 3 pad: 1")
    fused = fuse(text(wide, pooling, up, layer("e", "Eltwise", "u c", "e")), target="mnn", half_policy=None)
    line = fused.lines[2]
    assert (1, True) == (line.count("bottom:"), 'type: "Deconvolution"' in line)
    assert set(windows.split()) <= set(line.split())
    after = model(fused.prototxt, fused.weights)
    inputs = {"x": np.linspace(-1, 1, 240, dtype=np.float32).reshape(2, 4, 5, 6)}
    expected = caffe_fuse.run(model(*fused.before), inputs)
    assert np.allclose(expected["e"], caffe_fuse.run(after, inputs)["e"], atol=1e-5)


def test_a_depthwise_type_is_a_convolution_with_groups() -> None:
    deep = layer("d", "ConvolutionDepthwise", "x", "d", "convolution_param { num_output: 4 kernel_size: 3 }")
    after = layer("d", "Convolution", "x", "d", "convolution_param { num_output: 4 kernel_size: 3 group: 4 }")
    fitted("caffe", [deep], [after])


def test_a_depthwise_type_that_has_absorbed_a_batch_norm_too(tmp_path: Path) -> None:
    settings = "convolution_param { num_output: 4 kernel_size: 3 bias_term: true }"
    deep = layer("d", "DepthwiseConvolution", "x", "d", settings)
    prototxt = text(deep, batch_norm("b", "d", "d"))
    result = caffe_fuse.fuse(model(prototxt, caffemodel(prototxt, numbers(prototxt))), target="mnn")
    result.save(str(tmp_path / "new"))  # with its proofs
    assert 'type: "Convolution"' in (tmp_path / "new.prototxt").read_text()


def test_holes_are_dilation() -> None:
    hole = layer("h", "HoleConvolution", "x", "h", "convolution_param { num_output: 3 kernel_size: 2 hole: 2 }")
    after = layer("h", "Convolution", "x", "h", "convolution_param { num_output: 3 kernel_size: 2 dilation: 2 }")
    fitted("caffe", [hole], [after])


def test_fields_that_choose_a_kernel_go_and_others_are_named() -> None:
    silent = convolution(settings='bias_term: true engine: MKLDNN conv_algorithm: "winograd"')
    fitted("caffe", [silent], [CONVOLUTION.replace("bias_term: true ", "bias_term: true ")])
    same = convolution(settings="bias_term: true pad_type: 1")
    assert ["fields c"] == left("caffe", same)
    fitted("caffe", [same], [same])
    fitted("caffe", [convolution(settings="bias_term: true pad_type: 0")], [CONVOLUTION])


def test_fields_of_ssd_are_known_to_most() -> None:
    permute = layer("p", "Permute", "c", "p", "permute_param { order: 0 order: 2 order: 3 order: 1 }")
    assert ["types p", "fields p"] == left("caffe", CONVOLUTION, permute)
    assert [] == left("mnn", CONVOLUTION, permute)
    detection = layer("d", "DetectionOutput", "x x x", "d", "detection_output_param { num_classes: 2 clip: true }")
    assert ["fields d"] == [each for each in left("mnn", detection) if each.startswith("fields")]


def test_a_scale_by_another_blob() -> None:
    pooling = layer("g", "Pooling", "c", "g", "pooling_param { pool: AVE global_pooling: true }")
    gate = [pooling, layer("f", "Flatten", "g", "f"), layer("s", "Scale", "c f", "s", "scale_param { axis: 0 }")]
    assert ["scale-blobs s"] == left("mnn", CONVOLUTION, *gate)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ("pool: AVE kernel_size: 2 stride: 2", True),  # 3 x 4 to 2 x 2
        ("pool: AVE kernel_h: 3 kernel_w: 2 stride: 2", False),
        ("pool: AVE kernel_size: 3 stride_h: 1 stride_w: 3 pad_h: 1 pad_w: 1", False),
        ("pool: MAX kernel_size: 2 stride: 2", False),
        ("pool: AVE global_pooling: true", False),
    ],
)
def test_a_mean_of_windows_beyond_the_edge(settings: str, named: bool) -> None:
    pooling = layer("p", "Pooling", "c", "p", f"pooling_param {{ {settings} }}")
    assert ["means p"] * named == left("sophgo", CONVOLUTION, pooling)
    assert [] == left("openvino", CONVOLUTION, pooling)
    padded = layer("p", "Pooling", "c", "p", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }")
    assert ["means p"] == left("openvino", CONVOLUTION, padded)  # 4 to 3 of 2, beyond 6
    within = layer("p", "Pooling", "c", "p", "pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 }")
    assert ["means p"] == left("x2paddle", CONVOLUTION, within)
    assert [] == left("openvino", CONVOLUTION, within) == left("sophgo", CONVOLUTION, within)


def test_bias_terms_are_written_out() -> None:
    before = [convolution(), layer("r", "ReLU", "c", "r"), layer("s", "Scale", "r", "s")]
    fused = fitted(
        "tensorrt",
        before,
        [
            before[0].replace("kernel_size: 3 }", "kernel_size: 3 bias_term: true }"),
            before[1],
            layer("s", "Scale", "r", "s", "scale_param { bias_term: false }"),
        ],
    )
    assert fused.result.report.target is not None
    changes = fused.result.report.target.changes
    assert [("c", "bias_term: true"), ("s", "bias_term: false")] == [(each.layer.name, each.what) for each in changes]


def test_a_matrix_that_reads_images_is_proved_on_images_of_their_size() -> None:
    before = layer("f", "InnerProduct", "x", "f", "inner_product_param { num_output: 3 }")
    after = layer("f", "InnerProduct", "x", "f", "inner_product_param { num_output: 3 bias_term: true }")
    assert [after] == fuse(text(before, shape=(1, 2, 12, 12)), target="tensorrt", half_policy=None).lines


def test_a_scale_gets_a_bias_of_zeros() -> None:
    before = [layer("r", "ReLU", "x", "r"), layer("s", "Scale", "r", "s")]
    fused = fitted("vitis", before, [before[0], layer("s", "Scale", "r", "s", "scale_param { bias_term: true }")])
    assert [0.0] * 4 == fused.arrays["s"][1].tolist()


def test_a_batch_norm_that_stays_uses_its_statistics_as_they_are() -> None:
    before = [layer("r", "ReLU", "x", "r"), batch_norm("b", "r", "b")]
    prototxt = text(*before)
    blobs = numbers(prototxt)
    blobs["b"][2] = np.array([4], np.float32)
    assert before == fuse(prototxt, blobs, target="sophgo", half_policy=None, keep=["b"], allow_bn=True).lines
    done = adapted(model(prototxt, caffemodel(prototxt, blobs)), find("sophgo"), frozenset())
    (changed,) = [each for each in done.model.net.layers if each.name == "b"]
    assert [1.0] == changed.blobs[2].array().tolist()
    assert (blobs["b"][0] / 4).tolist() == changed.blobs[0].array().tolist()
    assert changed.parameter.batch_norm_param.use_global_stats


def test_batch_statistics_and_a_factor_of_0_are_named() -> None:
    norms = [batch_norm("b", "x", "b", "batch_norm_param { use_global_stats: false }"), batch_norm("n", "x", "n")]
    prototxt = text(*norms)
    blobs = numbers(prototxt)
    blobs["n"][2] = np.zeros(1, np.float32)
    found = findings(model(prototxt, caffemodel(prototxt, blobs)), find("armnn"))
    assert ["says use_global_stats: false", "has a factor of 0"] == [
        each.what for each in found if each.demand == "statistics"
    ]


def test_shared_statistics_stay_shared() -> None:
    shared = 'param { name: "m" } param { name: "v" } param { name: "f" }'
    norms = [layer(name, "BatchNorm", "x", name, shared) for name in ("b", "n")]
    net = model(text(*norms), caffemodel(text(*norms), numbers(text(*norms))))
    assert () == adapted(net, find("sophgo"), frozenset()).changes


def test_fp16_weights_become_float32(tmp_path: Path) -> None:
    files = pair(tmp_path, CONVOLUTION)
    caffe_fuse.fuse(caffe_fuse.load(*files), blob_type="float16").save(str(tmp_path / "narrow"))
    narrow = caffe_fuse.load(tmp_path / "narrow.prototxt", tmp_path / "narrow.caffemodel")
    assert "float32" in [each.demand for each in findings(narrow, find("mnn"))]
    caffe_fuse.fuse(narrow, target="mnn").save(str(tmp_path / "wide"))
    wide = caffe_fuse.load(tmp_path / "wide.prototxt", tmp_path / "wide.caffemodel")
    assert [] == list(findings(wide, find("mnn")))
    with pytest.raises(caffe_fuse.InputError, match="MNN does not read fp16 weights"):
        caffe_fuse.fuse(narrow, target="mnn", blob_type="float16")


def test_a_bias_is_a_scale_by_ones() -> None:
    bias = layer("b", "Bias", "c", "b", "bias_param { axis: -3 }")
    after = layer("b", "Scale", "c", "b", "scale_param { axis: -3 bias_term: true }")
    blobs = {"b": [np.arange(4, dtype=np.float32)]}
    assert ["bias b"] == left("rknn", layer("c", "ReLU", "x", "c"), bias)[1:]
    fused = fitted("opencv", [layer("c", "ReLU", "x", "c"), bias], [layer("c", "ReLU", "x", "c"), after], blobs=blobs)
    assert [[1, 1, 1, 1], [0, 1, 2, 3]] == [found.tolist() for found in fused.arrays["b"]]
    assert nets.records(fused.weights)["b"].scale_param.bias_term


def test_a_scale_alone_is_a_pointwise_convolution() -> None:
    before = [layer("r", "ReLU", "x", "r"), scale("s", "r", "s")]
    settings = "num_output: 4 bias_term: true kernel_size: 1 group: 4"
    fused = fuse(text(*before), target="snpe", half_policy=None)
    new = layer("s", "Convolution", "r", "s", f"convolution_param {{ {settings} }}")
    assert ([before[0], new], ()) == (fused.lines, fused.violations())
    assert [(4, 1, 1, 1), (4,)] == [found.shape for found in fused.arrays["s"]]
    record = nets.records(fused.weights)["s"]
    assert ("Convolution", 4) == (record.type, record.convolution_param.group)
    after_norm = [layer("r", "ReLU", "x", "r"), batch_norm("b", "r", "b"), scale("s", "b", "s")]
    assert after_norm == fuse(text(*after_norm), target="snpe", half_policy=None, keep=["b"], allow_bn=True).lines
    gate = layer("s", "Scale", "r", "s", "scale_param { axis: 0 }")
    assert [before[0], gate] == fuse(text(before[0], gate, shape=(4, 4, 5, 6)), target="snpe", half_policy=None).lines
    assert ["scale s"] == left("snpe", before[0], gate)


def test_no_word_of_a_bias_that_a_scale_does_not_have() -> None:
    before = [layer("r", "ReLU", "x", "r"), layer("s", "Scale", "r", "s", "scale_param { axis: 1 bias_term: false }")]
    assert ["absent-bias s"] == left("armnn", *before)
    fitted("armnn", before, [before[0], layer("s", "Scale", "r", "s", "scale_param { axis: 1 }")])
    biased = [before[0], scale("s", "r", "s")]
    fitted("armnn", biased, biased)


def test_splits_go_where_the_tool_has_none() -> None:
    split = layer("p", "Split", "c", "a b")
    net = [CONVOLUTION, split, layer("r", "ReLU", "a", "r"), layer("t", "TanH", "b", "t")]
    assert ["simple p"] == left("openvino", *net) == left("sophgo", *net)
    after = [CONVOLUTION, layer("r", "ReLU", "c", "r"), layer("t", "TanH", "c", "t")]
    assert after == fuse(text(*net), target="openvino", half_policy=None).lines
    assert net == fuse(text(*net), target="mnn", half_policy=None).lines


def test_a_layer_in_place_on_an_input_writes_its_own_blob() -> None:
    before = [
        *(layer("r", "ReLU", "x", "x"), layer("t", "TanH", "x", "x")),
        convolution(settings="bias_term: true"),
    ]
    after = [
        *(layer("r", "ReLU", "x", "x_r"), layer("t", "TanH", "x_r", "x_r")),
        before[-1].replace('bottom: "x"', 'bottom: "x_r"'),
    ]
    fused = fuse(text(*before), target="tensorrt", half_policy=None)
    assert after == fused.lines
    inputs = {"x": np.linspace(-1, 1, 240, dtype=np.float32).reshape(2, 4, 5, 6)}
    found = [caffe_fuse.run(each, inputs)["c"] for each in (model(*fused.before), model(fused.prototxt, fused.weights))]
    assert found[0].tolist() == found[1].tolist()
    output = [layer("r", "ReLU", "x", "x")]
    assert output == fuse(text(*output), target="tensorrt", half_policy=None).lines
    kept = fuse(text(*before), target="tensorrt", half_policy=None, keep=["c"])
    assert before == kept.lines  # or c would read the input before the ReLU


def test_a_net_of_the_v1_form_is_named_where_nothing_has_upgraded_it() -> None:
    today = text(convolution())  # it does not say that it has a bias, which the target would write out
    old = model(as_v1(today), as_v1_weights(caffemodel(today, numbers(today))))
    result = caffe_fuse.fuse(old, target="tensorrt")
    assert result.report.target is not None
    assert ((), ["v2"]) == (result.report.target.changes, [each.demand for each in result.report.target.left][:1])


# What is only named


def test_layers_in_place_on_an_input_and_illegal_names() -> None:
    assert ["in-place r"] == [each for each in left("tensorrt", layer("r", "ReLU", "x", "x")) if "bias" not in each]
    assert ["names _c"] == [each for each in left("rknn1", convolution("_c", top="c")) if "input" not in each]


def test_names_that_x2paddle_writes_as_one_and_capitals_of_outputs() -> None:
    inside = [convolution("Conv/1", top="c"), layer("a-r", "ReLU", "c", "c")]
    named = [*inside, layer("a/R", "ReLU", "c", "c"), layer("Prob", "Softmax", "c", "p")]
    assert ["names a/R", "names Prob"] == left("x2paddle", *named)
    assert [] == left("x2paddle", *inside)
    renamed = [layer("a_r_", "ReLU", "c", "c"), layer("prob", "Softmax", "c", "p")]
    fused = fitted("x2paddle", named, [*inside, *renamed])
    assert ["Conv/1"] == list(fused.arrays)
    output = convolution("C", top="c")
    fused = fitted("x2paddle", [output], [convolution("c", top="c")])
    assert ["c"] == list(fused.arrays)
    fitted("x2paddle", [output], [output], keep=["C"])


@pytest.mark.parametrize(
    ("kind", "without"),
    [("ELU", {"x2paddle", "sophgo", "tvm"}), ("AbsVal", {"tvm"}), ("TanH", set())],
)
def test_converters_do_not_have_every_type_of_caffe(kind: str, without: AbstractSet[str]) -> None:
    net = [CONVOLUTION, layer("t", kind, "c", "t")]
    assert without == {name for name in ("x2paddle", "sophgo", "tvm", "mnn") if "types t" in left(name, *net)}


def test_input_layers_and_batches() -> None:
    inputs = 'layer { name: "i" type: "Input" top: "i" input_param { shape { dim: 2 dim: 3 } } }'
    net = model((inputs + "\n").encode(), None)
    assert ["batch-1", "input-fields"] == [each.demand for each in findings(net, find("ncsdk"))]
    assert ["input-layer"] == [each.demand for each in findings(model(text(CONVOLUTION), None), find("ncnn"))]


def test_a_transposed_matrix_is_straight() -> None:
    settings = "inner_product_param { num_output: 3 transpose: true }"
    before = layer("f", "InnerProduct", "x", "f", settings)
    assert ["transposed f"] == left("opencv", before)
    blobs = numbers(text(before))
    after = layer("f", "InnerProduct", "x", "f", "inner_product_param { num_output: 3 }")
    fused = fitted("opencv", [before], [after], blobs=blobs)
    assert blobs["f"][0].T.tolist() == fused.arrays["f"][0].tolist()


@pytest.mark.parametrize("blob_type", ["float32", "float16"])
def test_a_transposed_matrix_that_has_absorbed_a_batch_norm(blob_type: Any, tmp_path: Path) -> None:
    """The proof of the fold reads the file, where the matrix is straight."""
    before = layer("f", "InnerProduct", "x", "f", "inner_product_param { num_output: 3 transpose: true }")
    prototxt = text(before, batch_norm("b", "f", "b"))
    old = model(prototxt, caffemodel(prototxt, numbers(prototxt)))
    caffe_fuse.fuse(old, target="opencv", blob_type=blob_type).save(str(tmp_path / "new"))
    new = caffe_fuse.load(tmp_path / "new.prototxt", tmp_path / "new.caffemodel")
    assert not new.net.layers[0].parameter.inner_product_param.transpose
    assert () == caffe_fuse.verify(old, new, tolerance=1e-3).problems


def test_what_is_written_for_a_target_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = layer("f", "InnerProduct", "x", "f", "inner_product_param { num_output: 3 transpose: true }")
    prototxt = text(before, batch_norm("b", "f", "b"))
    result = caffe_fuse.fuse(model(prototxt, caffemodel(prototxt, numbers(prototxt))), target="opencv")
    read = save.read_weights

    def damaged(source: Any) -> Any:
        found = read(source)
        (record,) = (each for each in found.layers if each.name == "f")
        zeros = ArrayBlob(np.zeros(record.blobs[0].shape, np.float32))
        return found._replace(layers=(replace(record, blobs=(zeros, *record.blobs[1:])),))

    monkeypatch.setattr(save, "read_weights", damaged)
    with pytest.raises(caffe_fuse.InternalError, match="layer f has other weights"):
        result.save(str(tmp_path / "new"))
    assert [] == list(tmp_path.iterdir())


def test_what_tools_do_not_look_at_is_named() -> None:
    total = layer("e", "Eltwise", "c c", "e", "eltwise_param { coeff: 1 coeff: -1 }")
    plain = layer("e", "Eltwise", "c c", "e", "eltwise_param { coeff: 1 coeff: 1 }")
    along = layer("s", "Scale", "c", "s", "scale_param { axis: 2 }")
    assert ["eltwise e"] == left("onnx", CONVOLUTION, total)
    assert [] == left("onnx", CONVOLUTION, plain) == left("mnn", CONVOLUTION, total)
    assert ["eltwise e"] == left("mnn", CONVOLUTION, total.replace("-1", "2"))
    assert ["eltwise e"] == left("onnx", CONVOLUTION, layer("e", "Eltwise", "c c c", "e"))
    assert ["eltwise e"] == left(
        "onnx", CONVOLUTION, layer("e", "Eltwise", "c c", "e", "eltwise_param { operation: MAX }")
    )
    assert ["channels s"] == left("mnn", CONVOLUTION, along)
    assert [] == left("mnn", CONVOLUTION, layer("s", "Scale", "c", "s", "scale_param { axis: -3 }"))


def test_types_that_a_tool_has_but_not_right() -> None:
    (found,) = findings(model(text(CONVOLUTION, layer("a", "ELU", "c", "a")), None), find("mnn")) or (None,)
    assert found is None
    found = findings(model(text(CONVOLUTION, layer("a", "MVN", "c", "a")), None), find("mnn"))[0]
    assert ("types", "computes something else") == (found.demand, found.effect)


def test_values_that_opencv_does_not_know_and_fields_that_it_skips() -> None:
    mean = layer("p", "Pooling", "c", "p", "pooling_param { pool: AVE_EXC_PAD kernel_size: 2 }")
    same = layer("p", "Pooling", "c", "p", "pooling_param { pool: AVE kernel_size: 2 ceil_mode: true unheard: 3 }")
    assert ["fields p"] == left("opencv", CONVOLUTION, mean)
    assert [] == left("opencv", CONVOLUTION, same)
    quick = convolution(settings="bias_term: true engine: MKLDNN")
    assert ["fields c"] == left("opencv", quick)
    fitted("opencv", [quick], [CONVOLUTION])


def test_a_field_inside_a_repeated_one() -> None:
    unheard = convolution(settings="bias_term: true", rest="param { lr_mult: 1 unheard: 2 }")
    assert ["fields c"] == left("mnn", unheard)
    assert [] == left("opencv", unheard)


def test_what_keep_names_is_not_said_to_be_changed() -> None:
    up = layer("u", "Upsample", "c", "u")
    report = fuse(text(CONVOLUTION, up), target="caffe", half_policy=None, keep=["u"]).result.report
    assert report.target is not None
    assert [("u", "")] == [(each.layer and each.layer.name, each.remedy) for each in report.target.left]
    checked = findings(model(text(CONVOLUTION, up), None), find("caffe"))
    assert ["fuse changes it"] == [each.remedy for each in checked]


def test_layers_of_training_are_named() -> None:
    data = 'layer { name: "d" type: "Data" top: "d" data_param { batch_size: 2 } }'
    loss = layer("l", "SoftmaxWithLoss", "c c", "l")
    assert ["deploy d", "deploy l"] == [each for each in left("opencv", data, CONVOLUTION, loss) if "deploy" in each]


# The table


def test_names_and_aliases_are_found_in_any_case_and_are_unique() -> None:
    names = [name for target in TARGETS.values() for name in (target.name, *target.aliases)]
    assert len(names) == len(set(names))
    for name in names:
        assert find(name) is find(name.upper())
    with pytest.raises(caffe_fuse.InputError, match=r"target tensorr is not known \(did you mean tensorrt\?\)"):
        find("tensorr")


def test_each_row_has_what_it_needs() -> None:
    wanted = "caffe opencv mnn ncnn openvino rknn tensorrt x2paddle ascend nnie ncsdk snpe armnn sophgo tengine vitis"
    assert {find(name).name for name in [*wanted.split(), "horizon", "tvm"]} <= set(TARGETS)
    for target in TARGETS.values():
        assert target.policy in POLICIES
        assert target.source
        assert target.versions
        assert target.demands


# The command


def pair(folder: Path, *layers: str) -> Sequence[str]:
    prototxt = text(*layers)
    (folder / "net.prototxt").write_bytes(prototxt)
    (folder / "net.caffemodel").write_bytes(caffemodel(prototxt, numbers(prototxt)))
    return [str(folder / "net.prototxt"), str(folder / "net.caffemodel")]


def test_fuse_upgrades_changes_and_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = pair(
        tmp_path, CONVOLUTION, batch_norm(), scale(), layer("u", "Upsample", "s", "u"), layer("m", "Hearsay", "u", "m")
    )
    report = tmp_path / "r.json"
    assert 0 == main(["fuse", *files, "-o", str(tmp_path / "new"), "--target", "RKNN2", "--report", str(report)])
    printed = capsys.readouterr().out
    assert "upgraded   the net's `input` fields are now an Input layer" in printed
    assert "target     rknn: changed 1 upsample" in printed
    assert "has the type Hearsay, which the tool does not know: it refuses" in printed
    content = json.loads(report.read_text())["target"]
    assert ("rknn", ["u"]) == (content["name"], [each["layer"] for each in content["changed"]])
    assert [("types", "m")] == [(each["demand"], each["layer"]) for each in content["not_taken"]]
    assert 0 == main(
        ["verify", *files, str(tmp_path / "new.prototxt"), str(tmp_path / "new.caffemodel"), "--precision", "float32"]
    )
    capsys.readouterr()
    assert 0 == main(["fuse", *pair(tmp_path, CONVOLUTION), "--dry-run", "--target", "mnn"])
    assert "nothing known that MNN would not take" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "show"])
def test_check_and_show_list_what_a_tool_does_not_take(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = pair(tmp_path, CONVOLUTION, layer("u", "Upsample", "c", "u"))
    assert 0 == main([command, *files, "--target", "ncnn"])
    printed = capsys.readouterr().out
    assert "target     ncnn: ncnn does not take" in printed
    assert "Upsample u has the type Upsample, or fields of it" in printed
    assert printed.index("ncnn: ncnn does not take 1 input-layer") < printed.index("ncnn: fuse changes 1 upsample")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.caffemodel", "net.prototxt"]


def test_targets_lists_all_and_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["targets"])
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]} == set(TARGETS)
    assert 0 == main(["targets", "Huawei"])
    printed = capsys.readouterr().out
    assert "target     ascend-inference: Huawei's Ascend" in printed
    assert "policy ascend-inference" in printed
    assert "from documents: the tool was not run" in printed


def test_the_next_command_names_the_target_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prototxt = text(CONVOLUTION, batch_norm(top="c"))
    blobs = numbers(prototxt)
    blobs["b"][1][0] = 1e6
    (tmp_path / "net.prototxt").write_bytes(prototxt)
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(prototxt, blobs))
    for option in (["--target", "TRT"], ["--target=TRT"]):
        assert 1 == main(["check", str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"), *option])
        assert capsys.readouterr().out.rstrip().endswith("net.caffemodel --target tensorrt")


# Random nets


@given(any_nets(), st.sampled_from(sorted(TARGETS)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_net_computes_the_same_for_any_target_and_needs_nothing_more(
    prototxt: bytes, target: str, named: bool
) -> None:
    """A blob that a target gives another name is not compared here; the outputs keep theirs, or are told.

    named: whether layers have names that some tools do not take.
    """
    prototxt = re.sub(rb'name: "(\w+)"', rb'name: "_\1 B"', prototxt) if named else prototxt
    fused = fuse(prototxt, target=target, half_policy=None, rescale="never", allow_bn=True)
    comparison = fused.compared(INPUT)
    assert () == comparison.violations
    renamed = fused.result.facts.adapted
    assert renamed is not None
    outputs = {value.blob for value in model(*fused.before).net.outputs}
    assert outputs.isdisjoint(comparison.vanished) or renamed.renamed
    again = fuse(fused.prototxt, weights=fused.weights, target=target, half_policy=None, rescale="never", allow_bn=True)
    assert (fused.prototxt, fused.weights) == (again.prototxt, again.weights)
    asked = again.result.report.target
    assert asked is not None
    assert () == asked.changes
