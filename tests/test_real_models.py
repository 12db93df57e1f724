"""Trained models and public net definitions: the folded layers match counts by hand, and no blob changes.

Most of these files state no licence, so none is in the project; without them these tests are skipped.
"""

from __future__ import annotations

import csv
import json
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterable, NamedTuple, Sequence, Tuple

import numpy as np
import pytest
import reference
import rescaled
import truth
import wiring_counts
from conftest import SHARED

import caffe_fuse
from caffe_fuse import passes
from caffe_fuse.net.graph import Layer
from caffe_fuse.report.show import plan_report
from caffe_fuse.wording import counted

# Net -> the shape of its picture where the judge would need too long for the net's own, or the net has none.
FOLDABLE: Dict[str, Tuple[int, ...]] = {
    "caffe-onnx-test/test.prototxt": (),
    "cifar-densenet/deploy.prototxt": (),
    "cifar-densenet/test.prototxt": (2, 3, 28, 28),
    "cifar-resnet20/deploy_derived.prototxt": (),
    "cifar-resnet20/res20_cifar_train_test.prototxt": (2, 3, 32, 32),
    "dibco-binarize/model.prototxt": (),
    "hyperlpr-segfree-inception/SegmenationFree-Inception.prototxt": (),
    "mobilefacenet-v0-no_bn/no_bn.prototxt": (),
    "mobilefacenet-v0/mobilefacenet-v0.prototxt": (),
    "mtcnn-det1-bn/det1_.prototxt": (),
    "mtcnn-det1-half-fp16/det1.prototxt": (),
    "mtcnn-det1-relu/det1_relu.prototxt": (),
    "person-detection-0022/deploy.prototxt": (1, 3, 96, 160),
    "res10-ssd-fp16/deploy.prototxt": (),
    "retinaface-mnet/mnet.prototxt": (),
    "retinaface-mobile025-notypes/mobile0.25.prototxt": (),
    "segnet-basic-BN/manoj_basic_inference.prototxt": (1, 3, 48, 64),
    "siamese-mnist/mnist_siamese.prototxt": (),
    "siamese-mnist/mnist_siamese_train_test.prototxt": (4, 2, 28, 28),
    "vgg68-landmark-bn/deploy_68_new.prototxt": (),
    "vgg68-landmark-folded/result.prototxt": (),
    "wechat-qr-sr/sr.prototxt": (),
    "xilinx-enet/float.prototxt": (1, 3, 64, 64),
    "xilinx-enet/float_test.prototxt": (1, 3, 64, 64),
    "yoloface-100k/yoloface-100k.prototxt": (),
    "yoloface-500k-v2/yoloface-500k-v2.prototxt": (),
    "yoloface-50k/yoloface-50k.prototxt": (),
}
# Nets of which range repair moves something when it is asked to: depthwise, residual, concatenated, with branches.
RESCALED = (
    "cifar-resnet20/deploy_derived.prototxt",
    "mobilefacenet-v0/mobilefacenet-v0.prototxt",
    "retinaface-mnet/mnet.prototxt",
    "yoloface-50k/yoloface-50k.prototxt",
    "hyperlpr-segfree-inception/SegmenationFree-Inception.prototxt",
)
# Of this one the numbers are noise (quantised, or hidden on purpose): 229,403 of 523,168 are no halves, 2,098 are NaN.
NOISE = "xilinx-densebox-quantized/face_detection.prototxt"
# A net for training: its data layer is of another phase, and all its BatchNorms use batch statistics.
TRAINING = "person-detection-0022/train.prototxt"
# Where Caffe itself stops, and what is said about it.
UNUSABLE = {
    "ssrnet-small/ssrnet.prototxt": "dense_1 (InnerProduct) is 3x250 in the net and 3x160 in the weights",
}
# SegNet's BN in the mode that learns uses the statistics of the batch.
LEARNING = (
    "segnet-basic-BN/__for_calculating_BN_stats_manoj_basic_train.prototxt",
    "segnet-basic-BN/manoj_basic_train.prototxt",
    "segnet-basic-BN-training/manoj_basic_train.prototxt",
)


# What a sum or a pooling carries back meets weights that half precision would lose.
REPAIRED = {"res10-ssd-fp16/deploy.prototxt"}


class Counts(NamedTuple):
    """BatchNorm layers of a net."""

    folded: int
    converted: int
    refused: int


def norms(layers: Iterable[Layer]) -> int:
    return sum(layer.type in ("BatchNorm", "BN") for layer in layers)


@lru_cache(maxsize=None)
def expected_counts() -> Dict[str, Counts]:
    with open(SHARED / "models" / "expected_counts.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {row["net"]: Counts(int(row["folded"]), int(row["converted"]), int(row["batch-stats"])) for row in rows}


@lru_cache(maxsize=None)
def manifest() -> Dict[str, Dict[str, str]]:
    """Returns each net of the models, FOLDER/NET.prototxt, with its weights and, if Caffe could run it, its record."""
    entries = json.loads((SHARED / "models" / "MANIFEST.json").read_text(encoding="utf-8"))
    return {
        f"{entry['name']}/{net}": {
            "weights": f"{entry['name']}/{entry['weights']}",
            "record": entry["caffe"].get(net, ""),
        }
        for entry in entries
        for net in entry["nets"]
    }


@pytest.fixture
def models(shared: Path) -> Path:
    return shared / "models"


def load(name: str) -> caffe_fuse.Model:
    folder = SHARED / "models"
    return caffe_fuse.load(folder / name, folder / manifest()[name]["weights"])


def for_the_judge(prototxt: bytes, model: caffe_fuse.Model) -> bytes:
    """Returns a net with its inputs, and without what the judge interprets differently.

    With two bottoms Upsample takes the size of the second. DeephiResize resizes the image to the size used here.
    """
    known = prototxt.replace(b'"Upsample"', b'"Resize"').replace(b'"DeephiResize"', b'"Dropout"')
    return with_inputs(known, model)


def with_inputs(prototxt: bytes, model: caffe_fuse.Model) -> bytes:
    """Adds inputs for blobs that only layers of another phase produce."""
    inputs = "".join(f'input: "{name}" ' for name, shape in model.net.inputs.items() if shape is None)
    return inputs.encode() + prototxt


def inputs_of(model: caffe_fuse.Model, shape: Sequence[int]) -> Dict[str, np.ndarray]:
    """Returns the inputs of the recorded results; `shape` is for nets whose data layer states none."""
    random = np.random.RandomState(20261123)
    values = {value for layer in model.net.layers if not layer.bottoms for value in model.net.tops(layer)}
    shapes = dict(model.net.inputs)
    shapes.update({value.blob: model.net.shapes[value] for value in sorted(values)})
    if shape:
        picture, *others = shapes
        shapes = {picture: tuple(shape), **dict.fromkeys(others, (shape[0],))}
    return {name: np.asarray(random.rand(*dims) * 255 - 120, np.float32) for name, dims in shapes.items() if dims}


def test_each_model_is_in_one_of_the_tables(models: Path) -> None:
    tables = [*FOLDABLE, *UNUSABLE, *LEARNING, NOISE, TRAINING]
    assert sorted(manifest()) == sorted(tables)


@pytest.mark.parametrize("name", [*FOLDABLE, *LEARNING, NOISE, TRAINING])
def test_of_a_model_what_folds_is_what_was_counted(models: Path, name: str) -> None:
    model = load(name)
    assert expected_counts()[name] == counted_in(passes.run(model.net, folds="direct"))
    assert with_indirect(expected_counts()[name], model, plans=False) == counted_in(passes.run(model.net, folds="all"))


def counted_in(progress: passes.Progress) -> Counts:
    verbs: Dict[str, Dict[int, Layer]] = {"folded": {}, "converted": {}}
    for rewrite in progress.rewrites:
        changed = rewrite.absorbed if rewrite.rule.verb == "folded" else rewrite.before
        verbs[rewrite.rule.verb].update({layer.index: layer for layer in changed})
    refused = norms(refused.layer for refused in progress.refusals.values())
    return Counts(norms(verbs["folded"].values()), norms(verbs["converted"].values()), refused)


def with_indirect(direct: Counts, model: caffe_fuse.Model, plans: bool) -> Counts:
    """The counts with those that fold backward or forward, as the wiring tells."""
    layers = [each.parameter for each in model.net.layers]
    more = sum(wiring_counts.counts(list(model.net.inputs), layers, plans).values())
    return Counts(direct[0] + more, direct[1] - more, direct[2])


@pytest.mark.parametrize("name", FOLDABLE)
def test_a_folded_model_has_no_batch_norm_and_the_same_blobs(models: Path, name: str, tmp_path: Path) -> None:
    model = load(name)
    result = caffe_fuse.fuse(model)
    assert result.safe
    assert bool(result.report.rescaled) == (name in REPAIRED)  # dead channels, of which there are many, need nothing
    if name in REPAIRED:
        result = caffe_fuse.fuse(model, rescale="never")
    weights, prototxt = result.save(str(tmp_path / "out"))
    assert 0 == norms(caffe_fuse.load(prototxt, weights).net.layers)
    before, after = (for_the_judge(path.read_bytes(), model) for path in (models / name, Path(prototxt)))
    stored = (models / manifest()[name]["weights"]).read_bytes()
    inputs = inputs_of(model, FOLDABLE[name])
    compared = truth.compare(before, stored, after, Path(weights).read_bytes(), inputs)
    assert () == compared.violations
    assert len(compared.unknown) < len(compared.differences)
    if manifest()[name]["record"]:
        folded = reference.run(after, Path(weights).read_bytes(), inputs, dtype=np.float32)
        _compare_with_caffe((models / name).with_name(manifest()[name]["record"]), compared, folded)


@pytest.mark.parametrize("name", RESCALED)
def test_powers_of_two_change_no_output_of_a_trained_model(models: Path, name: str) -> None:
    model = load(name)
    plain, result = (caffe_fuse.fuse(model, rescale=mode) for mode in ("never", "always"))
    assert result.report.rescaled
    before, after = (rescaled.files(each, each.model.net) for each in (plain, result))
    inputs = inputs_of(model, FOLDABLE[name])
    found = [rescaled.values((for_the_judge(net, model), weights), inputs) for net, weights in (before, after)]
    assert [] == rescaled.differences(found[0], found[1], dict(result.report.rescaled))


def _compare_with_caffe(record: Path, compared: truth.Comparison, folded: Dict[str, np.ndarray]) -> None:
    """Caffe is within the bound of the judge, and so is the folded net: together, within twice the bound."""
    bounds = {each.blob: each.bound for each in compared.differences}
    with np.load(record) as recorded:
        names = {key.split(":", 1)[1]: key for key in recorded.files}
        assert set(bounds) <= set(names)
        for blob, bound in bounds.items():
            actual = folded[blob] if names[blob].startswith("out:") else probe(folded[blob])
            assert truth.largest_error(recorded[names[blob]], actual) <= 2 * bound, blob


def probe(value: np.ndarray) -> np.ndarray:
    """Returns the largest magnitude, the mean, and 16 elements spread over the blob, or all of a smaller one."""
    numbers = value.reshape(-1)
    places = np.linspace(0, numbers.size - 1, min(16, numbers.size)).astype(int)
    return np.concatenate([[np.abs(numbers).max(), numbers.mean()], numbers[places]])


def test_a_fold_of_others_that_is_right_is_ours(models: Path) -> None:
    """The folder vgg68-landmark-folded holds what another tool made of vgg68-landmark-bn."""
    ours = {
        layer.name: layer
        for layer in caffe_fuse.fuse(load("vgg68-landmark-bn/deploy_68_new.prototxt")).model.net.layers
    }
    theirs = [layer for layer in load("vgg68-landmark-folded/result.prototxt").net.layers if layer.blobs]
    assert 6 == len(theirs)
    for layer in theirs:
        for expected, actual in zip(layer.blobs, ours[layer.name].blobs):
            size = np.abs(expected.array()).max()
            np.testing.assert_allclose(actual.array(), expected.array(), rtol=0, atol=1e-5 * size)


def test_a_fold_of_others_with_the_wrong_eps_is_not_ours(models: Path) -> None:
    """It was made with an eps of 1e-5 where the net says 0.001; ours agrees with Caffe, as is tested above."""
    folded = caffe_fuse.fuse(load("mobilefacenet-v0/mobilefacenet-v0.prototxt")).model.net
    ours = {layer.name: layer for layer in folded.layers}
    differences = []
    for layer in load("mobilefacenet-v0-no_bn/no_bn.prototxt").net.layers:
        if layer.type == "Convolution":
            wrong, right = (each.blobs[0].array() for each in (layer, ours[layer.name]))
            differences.append(np.abs(wrong - right).max() / np.abs(right).max())
    assert 48 == len(differences)
    assert max(differences) > 0.05


def test_a_model_whose_numbers_are_noise_is_not_safe(models: Path, tmp_path: Path) -> None:
    result = caffe_fuse.fuse(load(NOISE))
    with pytest.raises(caffe_fuse.UnsafeResult, match="229,403 values in 26 blobs are not finite in half"):
        result.save(str(tmp_path / "out"))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_model_that_cannot_be_used_is_a_clear_error(models: Path, name: str) -> None:
    with pytest.raises(caffe_fuse.InputError) as caught:
        load(name)
    assert UNUSABLE[name] in str(caught.value)
    assert str(caught.value).startswith(f"{models / name}:")


@pytest.mark.parametrize("name", LEARNING)
def test_batch_statistics_are_refused_and_the_files_stay(models: Path, name: str, tmp_path: Path) -> None:
    result = caffe_fuse.fuse(load(name))
    assert {"batch statistics: its bn_mode is LEARN, the default, so it depends on the batch"} == {
        refused.reason for refused in result.report.refused if refused.type == "BN"
    }
    assert "NOT BN-free: 4 BatchNorm layers remain" == result.report.verdict
    weights, prototxt = result.save(str(tmp_path / "out"), force=True)
    assert (models / name).read_bytes() == Path(prototxt).read_bytes()
    assert (models / manifest()[name]["weights"]).read_bytes() == Path(weights).read_bytes()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("negative/html-instead-of-weights.caffemodel", "is a web page, expected a caffemodel"),
        ("negative/truncated-res10.caffemodel", "the file is truncated or damaged"),
        ("cifar10-quick-h5/cifar10_quick_iter_5000.caffemodel.h5", "layers with weights matched by name"),
        ("yoloface-50k/yoloface-50k.caffemodel", "layers with weights matched by name"),
    ],
)
def test_weights_that_are_not_the_nets_are_a_clear_error(models: Path, weights: str, expected: str) -> None:
    with pytest.raises(caffe_fuse.InputError) as caught:
        caffe_fuse.load(models / "res10-ssd-fp16/deploy.prototxt", models / weights)
    assert expected in str(caught.value)


# Definitions without weights that BVLC Caffe stops at too. Their counts in expected_counts.tsv are right by the wiring,
# but the nets do not run:
# enet-train: an Upsample was renamed Pooling. It has no kernel (pooling_layer.cpp LayerSetUp), and two bottoms where a
#   Pooling has one (pooling_layer.hpp).
# jacintonet11: a template that a program fills in.
# shufflenet-v1: 90 filters are not 8 equal groups (base_conv_layer.cpp LayerSetUp: num_output % group is 0).
UNREADABLE = {
    "enet-train-BatchNorm.prototxt": "upsample4_0_4 (Pooling): kernel 0x0 and stride 1x1 have to be at least 1",
    "jacintonet11.prototxt": "$#batch_size#$",
    "shufflenet-v1-g8-wuyong.prototxt": "group 8 does not divide 24 input and 90 output channels",
}
DEFINITIONS = sorted(path.name for path in (SHARED / "prototxt").glob("*.prototxt")) or ["none here"]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_plan_of_a_definition_is_what_was_counted(shared: Path, name: str) -> None:
    path = shared / "prototxt" / name
    if name in UNREADABLE:
        with pytest.raises(caffe_fuse.InputError) as caught:
            caffe_fuse.load(path)
        assert UNREADABLE[name] in str(caught.value)
        return
    model = caffe_fuse.load(path)
    plan = plan_report(model)
    assert plan[-1].startswith(f"summary    {counted(len(model.net.layers), 'layer')}")
    assert plan[len(model.net.layers)].startswith("cost ")
    assert expected_counts()[name] == counted_in(passes.run(model.net, folds="direct"))
    assert with_indirect(expected_counts()[name], model, plans=True) == counted_in(passes.run(model.net, folds="all"))


def test_each_definition_has_its_count(shared: Path) -> None:
    assert 65 == len(DEFINITIONS)
    assert set(DEFINITIONS) <= set(expected_counts())
    assert set(UNREADABLE) <= set(DEFINITIONS)
