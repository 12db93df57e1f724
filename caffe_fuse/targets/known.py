"""The types and fields that tools know: besides those of BVLC Caffe, and less than those."""

from __future__ import annotations

# What SSD's Caffe has more than BVLC's, and most converters read.
SSD_TYPES = ("DetectionOutput", "Normalize", "Permute", "PriorBox")
SSD_FIELDS = ("detection_output_param", "norm_param", "permute_param", "prior_box_param")
# Types of BVLC Caffe that the converters have no words for.
_RARE = ("BNLL", "BatchReindex", "Bias", "ELU", "Exp", "Filter", "Im2col", "Log", "MVN", "SPP", "Threshold")
NOT_TPU_MLIR = (*_RARE, "Clip", "LSTMUnit", "Parameter", "Python", "RNN", "Swish")
NOT_X2PADDLE = (*NOT_TPU_MLIR, "Embed", "LSTM", "Tile")
NOT_OPENCV = (
    *("ArgMax", "BatchReindex", "Clip", "Embed", "Filter", "Im2col", "LSTMUnit", "Parameter", "Python", "RNN"),
    *("Reduction", "SPP", "Threshold", "Tile"),
)
OPENCV = (
    *("Axpy", "ConvolutionDepthwise", "HardSigmoid", "HardSwish", "Interp", "Mish", "PSROIPooling", "ROIPooling"),
    *("PriorBoxClustered", "ReLU6", "Reorg", "ShuffleChannel", *SSD_TYPES),
)
NOT_MNN = ("Clip", "SPP", "Swish", "Tile")
NOT_OPENVINO = ("AbsVal", "BNLL", "Clip", "Exp", "Log", "Reduction", "SPP", "Threshold")
OPENVINO = (
    *("Axpy", "BN", "CTCGreedyDecoder", "GRN", "Interp", "PSROIPooling", "PriorBoxClustered", "Proposal", "ROIPooling"),
    *("ReLU6", "RegionYolo", "ReorgYolo", "Resample", "ShuffleChannel", *SSD_TYPES),
)
OPENVINO_FIELDS = (
    *("pooling_param.ceil_mode", "prior_box_param.width", "prior_box_param.height", *SSD_FIELDS),
    *("interp_param", "psroi_pooling_param", "roi_pooling_param", "shuffle_channel_param"),
)
RKNN_FIELDS = ("pooling_param.ceil_mode", *SSD_FIELDS)
# RKNN-Toolkit2 takes these and computes something else.
NOT_RIGHT_RKNN = ("AbsVal", "ELU", "Exp", "MVN", "Mish", "SPP", "Swish", "Threshold")
# Its DetectionOutput is a model that ONNX Runtime does not take.
ONNX = ("Axpy", "Normalize", "Permute", "PriorBox", "ReLU6", "ShuffleChannel")
NOT_ONNX = (
    *("AbsVal", "ArgMax", "BNLL", "Clip", "ELU", "Exp", "LSTM", "PReLU", "RNN", "Reduction", "SPP", "Swish"),
    *("Threshold", "Tile"),
)
NOT_TVM = (*NOT_X2PADDLE, "AbsVal", "ArgMax", "Reduction")
