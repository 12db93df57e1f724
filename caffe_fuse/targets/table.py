"""The targets: one row for each tool."""

from __future__ import annotations

from typing import Dict, Literal, Union

from ..errors import InputError
from ..spelling import did_you_mean
from .demand import Target
from .files import DEPLOY, FLOAT32, ONE_PHASE, UPGRADED, V1_TYPES
from .inputs import BATCH_1, INPUT_FIELDS, INPUT_LAYER, INPUT_ONCE, INPUT_SHAPE, RATHER_INPUT_LAYER
from .known import (
    NOT_MNN,
    NOT_ONNX,
    NOT_OPENCV,
    NOT_OPENVINO,
    NOT_RIGHT_RKNN,
    NOT_TPU_MLIR,
    NOT_TVM,
    NOT_X2PADDLE,
    ONNX,
    OPENCV,
    OPENVINO,
    OPENVINO_FIELDS,
    RKNN_FIELDS,
    SSD_FIELDS,
    SSD_TYPES,
)
from .layers import BIAS, SCALE, TRANSPOSED, depthwise, upsample, without
from .names import LOWER_NAMES, NOT_IN_PLACE, legal_names
from .settings import CHANNELS, SCALE_BLOBS, eltwise, means
from .types import known_fields, known_types, known_values
from .values import ABSENT_BIAS, EXPLICIT_BIAS, SCALE_BIAS, STATISTICS

_SSD = (known_types(*SSD_TYPES), known_fields(*SSD_FIELDS))
_BVLC = (known_types(), known_fields())
_MINUS = ((1, -1),)
_UPSAMPLE, _DEPTHWISE = upsample(), depthwise()
_TRAINED = (UPGRADED, ONE_PHASE, DEPLOY, INPUT_SHAPE)
_PLAIN = (*_TRAINED, FLOAT32, _UPSAMPLE, _DEPTHWISE)
_LOOKS_AT_PHASES = tuple(demand for demand in _PLAIN if demand is not ONE_PHASE)
_DEEP, _SCALED = depthwise("ConvolutionDepthwise"), upsample("scale")
_UNIQUE_NAMES = legal_names("(?s:.)*", "layer names that differ")
# Its text form has fields between blanks.
_NCNN_NAMES = legal_names(r"\S+", "names of layers and blobs without blanks, layer names that differ", blobs=True)
_RKNN_NAMES = legal_names(
    r"[A-Za-z0-9.][A-Za-z0-9_.\-/]*", "layer names of letters, digits and _ . - /, that do not begin with _ - /"
)

TARGETS: Dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            "caffe",
            "BVLC Caffe",
            "ieee",
            "1.0 (kendryte-caffe 1.0.0.20210829)",
            (V1_TYPES, FLOAT32, INPUT_SHAPE, _UPSAMPLE, _DEPTHWISE, _UNIQUE_NAMES, *_BVLC),
            "net.cpp, layer_factory.cpp, caffe.proto",
            ("bvlc",),
            measured=True,
        ),
        Target("nvcaffe", "NVIDIA's Caffe", "nvcaffe", "0.15 to 0.17", (UPGRADED,), "blob.cpp:326-361", ("nvidia",)),
        Target(
            "opencv",
            "OpenCV's dnn module",
            "opencv",
            "4.14 (opencv-python-headless)",
            (
                *(UPGRADED, INPUT_ONCE, ONE_PHASE, DEPLOY, _UPSAMPLE, BIAS, TRANSPOSED, CHANNELS),
                *(_DEEP, known_types(*OPENCV, missing=NOT_OPENCV), known_values()),
            ),
            "caffe_importer.cpp, caffe_io.cpp",
            ("cv", "cv2"),
            measured=True,
        ),
        Target(
            "mnn",
            "MNN",
            "mnn",
            "3.6.1",
            (
                *(*_TRAINED, FLOAT32, _DEEP, _SCALED, SCALE_BLOBS, CHANNELS, eltwise(coefficients=_MINUS)),
                *(known_types(*SSD_TYPES, missing=NOT_MNN, wrong=("ArgMax", "MVN")), known_fields(*SSD_FIELDS)),
            ),
            "MNNConvert on 70 nets",
            measured=True,
        ),
        Target(
            "ncnn",
            "ncnn",
            "ncnn",
            "1.0.20261020",
            (*_PLAIN, INPUT_LAYER, _NCNN_NAMES, *_SSD),
            "caffe2ncnn on 13 nets",
            measured=True,
        ),
        Target(
            "openvino",
            "OpenVINO's Model Optimizer",
            "openvino",
            "2022.3.2, 2023.3.0; Caffe is gone after 2023.3",
            (
                *(*_PLAIN, CHANNELS, means(beyond=True), without("Split", "Silence")),
                *(known_types(*OPENVINO, missing=NOT_OPENVINO), known_fields(*OPENVINO_FIELDS)),
            ),
            "mo on 69 nets; loader.py:182-195, 282",
            ("mo", "intel"),
            measured=True,
        ),
        Target(
            "rknn",
            "Rockchip's RKNN-Toolkit2",
            "ieee",
            "2.3.2",
            (
                *(*_TRAINED, FLOAT32, _DEEP, _SCALED, INPUT_ONCE, RATHER_INPUT_LAYER, BIAS, TRANSPOSED, CHANNELS),
                *(means(), eltwise(most=2, coefficients=_MINUS)),
                *(known_types(*SSD_TYPES, missing=("Reduction",), wrong=NOT_RIGHT_RKNN), known_fields(*RKNN_FIELDS)),
            ),
            "the simulator of the toolkit on 62 nets",
            ("rockchip", "rknn2", "rknn-toolkit2"),
            measured=True,
        ),
        Target(
            "rknn1",
            "Rockchip's RKNN-Toolkit",
            "ieee",
            "1.7.5",
            (*_PLAIN, INPUT_LAYER, _RKNN_NAMES, *_SSD),
            "RKNN_OP_Support_V1.7.5.md",
            ("rknn-toolkit",),
        ),
        Target(
            "tensorrt",
            "NVIDIA's TensorRT",
            "tensorrt",
            "up to 8.6; the Caffe parser is gone in 9",
            (*_TRAINED, _UPSAMPLE, EXPLICIT_BIAS, STATISTICS, NOT_IN_PLACE, BIAS, SCALE_BLOBS, *_BVLC),
            "parsers/caffe: opParsers, caffeWeightFactory",
            ("trt", "jetson"),
        ),
        Target(
            "x2paddle",
            "X2Paddle",
            "ieee",
            "1.6.0",
            (
                *(*_LOOKS_AT_PHASES, SCALE_BLOBS, LOWER_NAMES, without("Split", "Silence")),
                *(means(padded=False, beyond=True), eltwise(operations=("PROD", "SUM"))),
                *(known_types(*SSD_TYPES, missing=NOT_X2PADDLE), known_fields(*SSD_FIELDS)),
            ),
            "x2paddle on 28 nets; caffe_op_mapper.py, caffe_decoder.py",
            ("paddle",),
            measured=True,
        ),
        Target(
            "onnx",
            "caffe2onnx",
            "ieee",
            "2.0.1, with ONNX Runtime 1.13",
            (
                *(*_TRAINED, FLOAT32, _DEEP, _SCALED, INPUT_ONCE, _UNIQUE_NAMES, BIAS, TRANSPOSED, CHANNELS),
                *(eltwise(operations=("PROD", "SUM"), most=2), without("Split", "Silence", "Dropout")),
                *(known_types(*ONNX, missing=NOT_ONNX), known_fields(*SSD_FIELDS)),
            ),
            "caffe2onnx on 69 nets",
            ("caffe2onnx", "onnxruntime"),
            measured=True,
        ),
        Target(
            "ascend-inference",
            "Huawei's Ascend, inference products",
            "ascend-inference",
            "ATC; Atlas 200I/500 A2",
            (*_PLAIN, INPUT_LAYER, STATISTICS, *_SSD),
            "ATC manual; CANN aclrtFloatOverflowMode",
            ("ascend", "atc", "huawei"),
        ),
        Target(
            "ascend-a2",
            "Huawei's Ascend, training products",
            "ascend-a2",
            "ATC; Atlas A2 and A3",
            (*_PLAIN, INPUT_LAYER, STATISTICS, *_SSD),
            "ATC manual; CANN aclrtFloatOverflowMode",
        ),
        Target(
            "nnie",
            "HiSilicon's NNIE",
            "ieee",
            "nnie_mapper, RuyiStudio: Caffe 1.0",
            (*_PLAIN, BATCH_1, *_SSD),
            "OpenHarmony 4.3; the guide of the SDK is not public",
            ("hisilicon", "ruyistudio", "hisi"),
        ),
        Target(
            "ncsdk",
            "Intel Movidius' NCSDK",
            "ieee",
            "2.x",
            (*_PLAIN, BATCH_1, INPUT_FIELDS, *_SSD),
            "movidius.github.io/ncsdk/caffe.html",
            ("movidius", "ncs"),
        ),
        Target(
            "snpe",
            "Qualcomm's SNPE",
            "ieee",
            "snpe-caffe-to-dlc, up to 1.x",
            (*_PLAIN, SCALE, *_SSD),
            "network_layers.html, limitations.html",
            ("qualcomm", "qnn"),
        ),
        Target(
            "armnn",
            "ArmNN's Caffe parser",
            "ieee",
            "up to 21.02",
            (*_PLAIN, STATISTICS, ABSENT_BIAS, *_BVLC),
            "armnnCaffeParser/CaffeParser.cpp",
            ("arm", "eiq"),
        ),
        Target(
            "sophgo",
            "Sophgo's TPU-MLIR",
            "ieee",
            "tpu_mlir 1.30.2",
            (
                *(*_LOOKS_AT_PHASES, STATISTICS, _UNIQUE_NAMES, means(), eltwise(), without("Split")),
                *(known_types(*SSD_TYPES, missing=NOT_TPU_MLIR), known_fields(*SSD_FIELDS)),
            ),
            "CaffeConverter.py; 28 nets",
            ("tpu-mlir", "tpu_mlir", "bitmain", "cvitek"),
            measured=True,
        ),
        Target(
            "tvm",
            "TVM's Caffe frontend",
            "ieee",
            "T-Head's hhb-tvm 3.2.3: TVM 0.16, with the caffe_pb2 of kendryte-caffe",
            (
                *(*_PLAIN, SCALE_BLOBS, _UNIQUE_NAMES, eltwise(most=2), without("Split", "Silence")),
                *(known_types("Permute", missing=NOT_TVM), known_fields("permute_param")),
            ),
            "relay/frontend/caffe.py; 22 nets",
            ("hhb", "t-head"),
            measured=True,
        ),
        Target("tengine", "Tengine", "ieee", "1.x", (*_PLAIN, *_SSD), "caffe_serializer.cpp:147, 619"),
        Target(
            "vitis",
            "Xilinx' Vitis AI and DNNDK",
            "ieee",
            "vai_q_caffe, decent",
            (*_PLAIN, SCALE_BIAS, *_SSD),
            "UG1414; Vitis-AI#182",
            ("xilinx", "dnndk", "vai"),
        ),
        Target(
            "horizon",
            "Horizon's hb_mapper",
            "ieee",
            "checker, makertbin",
            (*_PLAIN, BATCH_1, *_SSD),
            "check_model.html; what it asks of fields is not public",
            ("hb_mapper", "hb-mapper"),
        ),
    )
}


TargetName = Union[
    Literal["caffe", "nvcaffe", "opencv", "mnn", "ncnn", "openvino", "rknn", "rknn1", "tensorrt"],
    Literal["x2paddle", "onnx", "ascend-inference", "ascend-a2", "nnie", "ncsdk", "snpe", "armnn", "sophgo"],
    Literal["tvm", "tengine", "vitis", "horizon"],
]


def find(name: str) -> Target:
    """The target of this name or alias, in any case. Raises InputError for another name."""
    names = {alias: target for target in TARGETS.values() for alias in (target.name, *target.aliases)}
    if name.lower() in names:
        return names[name.lower()]
    raise InputError(f"target {name} is not known{did_you_mean(name, names)}", remedy="caffe-fuse targets lists them")
