"""Converts a net with MNNConvert and runs it, in float32. Arguments: prototxt, caffemodel, inputs .npz, outputs .npz.

The entry of the extension module is called: the program `mnnconvert` of PyPI runs `pip install` on its first start.
There is no run in half precision: of a CPU of x86 MNN prints `fp16:0`, and precision "low" gives the float32 outputs.
"""

import os
import sys
import tempfile

import _tools
import MNN
import numpy as np


def main():
    prototxt, weights, inputs, outputs = sys.argv[1:]
    model = os.path.join(tempfile.mkdtemp(), "model.mnn")
    options = ["--framework", "CAFFE", "--modelFile", weights, "--prototxt", prototxt, "--MNNModel", model]
    _tools.mnnconvert(["mnnconvert", *options, "--bizCode", "x"])
    if not os.path.exists(model):
        sys.exit("MNNConvert wrote no model")
    net = MNN.Interpreter(model)
    session = net.createSession()
    with np.load(inputs) as given:
        for name, tensor in net.getSessionInputAll(session).items():
            values = given[name]
            net.resizeTensor(tensor, values.shape)
            net.resizeSession(session)
            host = MNN.Tensor(values.shape, MNN.Halide_Type_Float, values, MNN.Tensor_DimensionType_Caffe)
            tensor.copyFrom(host)
    net.runSession(session)
    found = {}
    for name, tensor in net.getSessionOutputAll(session).items():
        shape = tensor.getShape()
        host = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), MNN.Tensor_DimensionType_Caffe)
        tensor.copyToHostTensor(host)
        found[name] = np.array(host.getNumpyData()).reshape(shape)
    np.savez(outputs, **found)


main()
