"""Public net definitions with seeded weights: no foldable BatchNorm is left, and every blob keeps its value.

The judge is slow, so images are as small as the net allows.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, FrozenSet, Mapping, NamedTuple

import pytest
import seeded
from test_real_models import UNREADABLE

import caffe_fuse


class Judged(NamedTuple):
    """How a definition is judged.

    height, width: of the image, a square without a width. unknown: layer types that the judge does not know; blobs
    after them are not judged. smaller: settings that require a large image, and their values for this one.
    readable: what the judge cannot read in the text, and what it reads instead.
    """

    height: int = 64
    width: int = 0
    unknown: FrozenSet[str] = frozenset()
    smaller: Mapping[str, int] = {}
    readable: Mapping[bytes, bytes] = {}


def types(*names: str) -> FrozenSet[str]:
    return frozenset(names)


TRAINED = types("Accuracy", "SoftmaxWithLoss")
SSD = types("DetectionOutput", "PriorBox")
EVALUATED = SSD | {"DetectionEvaluate"}
ICNET = {
    **{"height: 33": 5, "width: 65": 9},
    **{"kernel_h: 33": 5, "kernel_w: 65": 9, "stride_h: 33": 5, "stride_w: 65": 9},
    **{"kernel_h: 17": 3, "kernel_w: 33": 5, "stride_h: 16": 2, "stride_w: 32": 4},
    **{"kernel_h: 13": 2, "kernel_w: 25": 4, "stride_h: 10": 2, "stride_w: 20": 3},
    **{"kernel_h: 8": 2, "kernel_w: 15": 3, "stride_h: 5": 1, "stride_w: 10": 2},
}
PSPNET = {f"{name}: {size}": size // 5 for size in (60, 30, 20, 10) for name in ("kernel_size", "stride")}
PSPNET.update({"height: 60": 12, "width: 60": 12})
# Synopsys' average that leaves the padding out. Which average it is changes nothing in a fold.
AVERAGE = {b"pool: AVE_EXC_PAD": b"pool: AVE"}
# Of two forms, which Caffe refuses.
MIXED = {b"layers {": b"layer {"}
DEEPLAB = {
    **{f"{name}: 65": 8 for name in ("kernel_h", "kernel_w", "stride_h", "stride_w")},
    **{"output_height: 65": 8, "output_width: 65": 8},
}
SEGNET = {"upsample_w: 30": 5, "upsample_h: 23": 4, "upsample_w: 60": 10, "upsample_h: 45": 7}

DEFINITIONS: Dict[str, Judged] = {
    "action-recognition-0005-omz.prototxt": Judged(unknown=types("PriorBoxClustered")),
    "air26.prototxt": Judged(),
    "alexnet-cvgj.prototxt": Judged(),
    "bayesian-segnet-train.prototxt": Judged(unknown=TRAINED | {"BN"}),
    "crossroad-0078-train.prototxt": Judged(unknown=types("PriorBoxClustered")),
    "darknet19-genman.prototxt": Judged(),
    "deeplabv3-mnv2.prototxt": Judged(smaller=DEEPLAB, readable=AVERAGE, unknown=types("ResizeBilinear")),
    "densenet121-synopsys.prototxt": Judged(32),
    "densenet169-synopsys.prototxt": Judged(32),
    "densenet201-shicai.prototxt": Judged(32),
    "densenet40-cifar-liuzhuang.prototxt": Judged(32, unknown=TRAINED),
    "dpn68-extra.prototxt": Judged(),
    "emotions-omz.prototxt": Judged(),
    "enet-deploy-final.prototxt": Judged(),
    "facenet-inception-resnet-v1.prototxt": Judged(139, readable=AVERAGE),
    "googlenet-bn-train.prototxt": Judged(224, unknown=TRAINED),
    "googlenet-bn-v1format.prototxt": Judged(224, readable=MIXED),
    "googlenet-v2-intel.prototxt": Judged(224),
    "hourglass-train.prototxt": Judged(unknown=types("EuclideanLoss")),
    "icnet-BN.prototxt": Judged(129, 257, smaller=ICNET),
    "inception-resnet-v2-bias.prototxt": Judged(299, readable=AVERAGE),
    "inception-v3.prototxt": Judged(75),
    "inception-v4.prototxt": Judged(75),
    "mask-rcnn-deconv-bn.prototxt": Judged(unknown=TRAINED | {"ROIAlign", "SigmoidCrossEntropyLoss", "SmoothL1Loss"}),
    "mnasnet-x2paddle.prototxt": Judged(),
    "mobilefacenet-res2-lcings.prototxt": Judged(97),
    "mobilenet-ssd-test.prototxt": Judged(unknown=EVALUATED),
    "mobilenet-ssd-train.prototxt": Judged(unknown=types("PriorBox")),
    "mobilenet-v1-shicai.prototxt": Judged(),
    "mobilenet-v2-tf.prototxt": Judged(),
    "mobilenet-v2-yolov3.prototxt": Judged(),
    "mobilenetv2-ssd-deploy.prototxt": Judged(unknown=SSD),
    "nv-alexnet-bn.prototxt": Judged(unknown=TRAINED),
    "nv-resnet50-fp16.prototxt": Judged(197, unknown=TRAINED),
    "nv-resnet50-trt-scalebias.prototxt": Judged(197),
    "ocr-inception-bn.prototxt": Judged(unknown=types("CTCGreedyDecoder", "Lstm", "Reverse", "Transpose")),
    "pelee-ssd304.prototxt": Judged(257, unknown=SSD),
    "person-search-BN-preact.prototxt": Judged(unknown=types("ROIPooling")),
    "pspnet50-BN.prototxt": Judged(89, smaller=PSPNET),
    "pvanet-9.1-preact.prototxt": Judged(unknown=TRAINED),
    "resnet10-preact-cvgj.prototxt": Judged(),
    "resnet101-kaiming.prototxt": Judged(197),
    "resnet101-v2-preact.prototxt": Judged(),
    "resnet152-kaiming.prototxt": Judged(197),
    "resnet38a-preact.prototxt": Judged(32),
    "resnet50-kaiming.prototxt": Judged(197),
    "resnet50-membn-ethan.prototxt": Judged(unknown=types("Accuracy")),
    "resnext101-64x4d-soeaver.prototxt": Judged(),
    "rfcn-resnet101-int8-intel.prototxt": Judged(unknown=types("PSROIPooling", "Python")),
    "se-bn-inception.prototxt": Judged(224),
    "se-resnet50-shicai.prototxt": Judged(),
    "se-resnet50.prototxt": Judged(197),
    "segflow-x2paddle.prototxt": Judged(),
    "segnet-driving.prototxt": Judged(56, 80, smaller=SEGNET),
    "senet154.prototxt": Judged(197),
    "shufflenet-v2-miaow.prototxt": Judged(197),
    "ssd-mobilenetv2-fpn.prototxt": Judged(65),
    "tinyssd-test.prototxt": Judged(unknown=EVALUATED),
    "vgg19-cvgj.prototxt": Judged(32),
    "wrn28-10-cifar.prototxt": Judged(16, unknown=types("Accuracy")),
    "yolov2-intel-train.prototxt": Judged(32, unknown=types("RegionLoss")),
    "yolov3-spp.prototxt": Judged(32),
}


def shapes_of(path: Path, height: int, width: int) -> Dict[str, seeded.Shape]:
    """Returns the shape of an image for the first input, and a batch of one for every other input.

    A second image is twice as large: SegFlow crops what it computes of it to the size of the first.
    """
    net = caffe_fuse.load(path).net
    inputs = dict(net.inputs)
    sources = [layer for layer in net.layers if not layer.bottoms]
    inputs.update({value.blob: net.shapes[value] for layer in sources for value in net.tops(layer)})
    picture, *others = inputs
    rest = {name: (1, *(dim or 1 for dim in (inputs[name] or (1,))[1:])) for name in others}
    rest.update({name: (1, 3, 2 * height, 2 * width) for name, shape in rest.items() if shape[1:2] == (3,)})
    return {picture: (1, 3, height, width), **rest}


def made_smaller(text: str, smaller: Mapping[str, int]) -> str:
    """Returns the text with each of these settings replaced; all of them must be in the text."""
    left = set(smaller)

    def replaced(found: re.Match[str]) -> str:
        if found.group() not in smaller:
            return found.group()
        left.discard(found.group())
        return f"{found.group(1)}: {smaller[found.group()]}"

    text = re.sub(r"\b(\w+): \d+\b", replaced, text)
    assert set() == left
    return text


# The largest of their families, a tenth of the suite's time; each smaller twin has the same blocks.
REPEATED = {
    "densenet169-synopsys.prototxt": "densenet121-synopsys.prototxt",
    "densenet201-shicai.prototxt": "densenet121-synopsys.prototxt",
    "googlenet-bn-train.prototxt": "googlenet-v2-intel.prototxt",
    "inception-resnet-v2-bias.prototxt": "facenet-inception-resnet-v1.prototxt",
    "resnet101-kaiming.prototxt": "resnet50-kaiming.prototxt",
    "resnet152-kaiming.prototxt": "resnet50-kaiming.prototxt",
    "senet154.prototxt": "se-resnet50.prototxt",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_with_seeded_weights_folds_and_keeps_its_blobs(
    shared: Path, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name in REPEATED and not request.config.getoption("--every-definition"):
        pytest.skip(f"{REPEATED[name]} has the same blocks: --every-definition runs both")
    path, judged = shared / "prototxt" / name, DEFINITIONS[name]
    shapes = shapes_of(path, judged.height, judged.width or judged.height)
    text = made_smaller(path.read_text(encoding="utf-8"), judged.smaller)
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = seeded.fold(tmp_path / name, shapes, judged.readable)
    left = [layer.name for layer in found.after.layers if layer.type in ("BatchNorm", "BN")]
    assert [] == [each for each in left if not found.refused.get(each, "").startswith("batch statistics: ")]
    assert () == found.comparison.violations
    kinds = {layer.name: layer.type for layer in found.before.layers}
    assert judged.unknown == {kinds[layer] for layer in found.comparison.unknown_layers}
    assert bool(judged.unknown) == bool(found.comparison.unknown)


def test_every_definition_that_can_be_read_is_judged(shared: Path) -> None:
    names = {path.name for path in (shared / "prototxt").glob("*.prototxt")}
    assert names - set(UNREADABLE) == set(DEFINITIONS)
