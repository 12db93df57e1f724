"""The table of layer types, and every type against recorded results of Caffe."""

from __future__ import annotations

import fnmatch
from typing import Dict

import numpy as np
import pytest
import truth
from google.protobuf import text_format
from layer_texts import row_of

from caffe_fuse import layers
from caffe_fuse.layers.batch_norm import DIALECTS
from caffe_fuse.layers.layer_type import Shape
from caffe_fuse.schema import messages as schema


def test_the_recorded_nets_are_there():
    assert len(truth.names()) >= 200


def _layers_of(name):
    """Yields the net's layers in TEST, each with its stored blobs."""
    net, weights = schema.new("NetParameter"), schema.new("NetParameter")
    recorded = truth.load(name)
    text_format.Merge(recorded.prototxt.decode(), net)
    weights.ParseFromString(recorded.weights)
    stored = {record.name: record.blobs for record in weights.layer}
    test = schema.PHASES["TEST"]
    for parameter in net.layer:
        phases = [rule.phase for rule in parameter.include if rule.HasField("phase")]
        if phases and test not in phases:
            continue
        parameter.phase = test
        yield parameter, stored.get(parameter.name, ())


def _walk(name):
    """Each layer with its row, the shapes of its bottoms and its stored blobs; then all shapes."""
    found: Dict[str, Shape] = {blob: array.shape for blob, array in truth.load(name).inputs.items()}
    steps = []
    for parameter, stored in _layers_of(name):
        row = row_of(parameter.type)
        bottoms = [found[blob] for blob in parameter.bottom]
        blobs = [tuple(blob.shape.dim) for blob in stored]
        steps.append((parameter, row, bottoms, stored))
        found.update(zip(parameter.top, row.shapes(parameter, bottoms, blobs)))
    return steps, found


# The rows never see a V1 layer: it is upgraded when it is read.
NETS = [name for name in truth.names() if name != "format-v1"]


@pytest.mark.parametrize("name", NETS)
def test_shapes_are_those_of_caffe(name):
    _, found = _walk(name)
    expected = {blob: array.shape for blob, array in truth.load(name).outputs.items()}
    if name == "layer-filter":
        expected["y"] = (None, *expected["y"][1:])  # the data decides how many images pass
    assert expected == {blob: found[blob] for blob in expected}


@pytest.mark.parametrize("name", NETS)
def test_blob_shapes_are_those_of_caffe(name):
    for parameter, row, bottoms, stored in _walk(name)[0]:
        expected = [tuple(blob.shape.dim) for blob in stored]
        if expected:
            assert (parameter.name, expected) == (parameter.name, list(row.blobs(parameter, bottoms)))


AFFINE_NETS = [
    name
    for name in NETS
    if any(fnmatch.fnmatch(name, f"layer-{kind}*") for kind in ("batchnorm", "scale", "bias", "power", "dropout"))
]


@pytest.mark.parametrize("name", AFFINE_NETS)
def test_forward_gives_what_caffe_gave(name):
    recorded = truth.load(name)
    values = {blob: array.astype(np.float64) for blob, array in recorded.inputs.items()}
    for parameter, row, _, stored in _walk(name)[0]:
        if parameter.bottom:
            blobs = [np.reshape(blob.data, tuple(blob.shape.dim)) for blob in stored]
            tops = row.forward(parameter, blobs, [values[blob] for blob in parameter.bottom])
            values.update(zip(parameter.top, tops))
    for blob, expected in recorded.outputs.items():
        np.testing.assert_allclose(values[blob], expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


BVLC = """
    AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop Data
    Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output
    HingeLoss Im2col ImageData InfogainLoss InnerProduct Input LRN LSTM LSTMUnit Log MVN MemoryData
    MultinomialLogisticLoss PReLU Parameter Pooling Power Python RNN ReLU Reduction Reshape SPP Scale Sigmoid
    SigmoidCrossEntropyLoss Silence Slice Softmax SoftmaxWithLoss Split Swish TanH Threshold Tile WindowData
"""
FORKS = """
    AnnotatedData Axpy BN BatchToSpaceND BinaryConvolution BinaryInnerProduct ConvolutionDepthwise DetectionOutput
    HardSigmoid HardSwish Interp Mish MultiBoxLoss Normalize PSROIPooling Permute PriorBox ROIPooling ReLU6 Reorg
    ShuffleChannel SmoothL1Loss SpaceToBatchND Upsample
"""
WEIGHTED = "Convolution ConvolutionDepthwise Deconvolution InnerProduct"
FACETS = {
    "blobs": f"""
        BatchNorm Bias BinaryConvolution BinaryInnerProduct {WEIGHTED} Embed LSTM Normalize PReLU Parameter RNN Scale
    """,
    "affine": "BN BatchNorm Bias Dropout Power Scale Split",
    "absorb": WEIGHTED,
    "sums": WEIGHTED,
    "statistics": "BatchNorm",
    "ranges": """
        AbsVal Axpy BNLL BatchReindex BatchToSpaceND Bias Clip Concat Crop Dropout ELU Eltwise Exp Filter Flatten
        HardSigmoid HardSwish Interp LRN LSTM Log Mish Normalize PReLU Permute Pooling Power RNN ROIPooling ReLU ReLU6
        Reorg Reshape Scale ShuffleChannel Sigmoid Slice Softmax SpaceToBatchND Split Swish TanH Threshold Tile Upsample
    """,
}
# What cannot be run: layers that read files, that train, or that only a GPU runs.
NOT_RUN = """
    Accuracy AnnotatedData BinaryConvolution BinaryInnerProduct ContrastiveLoss Data DummyData EuclideanLoss HDF5Data
    HDF5Output HingeLoss ImageData
    InfogainLoss Input MemoryData MultiBoxLoss MultinomialLogisticLoss PSROIPooling Python
    SigmoidCrossEntropyLoss SmoothL1Loss SoftmaxWithLoss WindowData
"""


def test_every_type_has_one_row():
    assert sorted((BVLC + FORKS).split()) == sorted(layers.LAYERS)
    assert sorted(FORKS.split()) == sorted(name for name, row in layers.LAYERS.items() if row.foreign)


@pytest.mark.parametrize("facet", FACETS)
def test_only_these_rows_have_the_facet(facet):
    found = sorted(name for name, row in layers.LAYERS.items() if getattr(row, facet) is not None)
    assert sorted(FACETS[facet].split()) == found


def test_all_but_these_types_can_be_run():
    """A BN only in the dialect of its Caffe."""
    read = {dialect.layer for dialect in DIALECTS if dialect.layer_type(dialect.orders[0]).forward is not None}
    unknown = {name for name, row in layers.LAYERS.items() if row.forward is None}
    assert sorted(NOT_RUN.split()) == sorted(unknown - read)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: f"{dialect.layer}-{dialect.name}")
def test_a_batch_norm_of_any_dialect_takes_one_bottom(dialect):
    assert {1} == {dialect.layer_type(order).most for order in dialect.orders}


def test_an_alias_gives_the_row_of_its_type():
    assert {alias: row_of(alias).name for alias in layers.ALIASES} == layers.ALIASES


def test_no_alias_hides_a_type():
    assert set() == set(layers.ALIASES) & set(layers.LAYERS)


def test_an_unknown_type_has_no_row():
    assert layers.find("Proposal") is None
