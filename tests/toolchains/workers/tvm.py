"""Reads a net with T-Head's TVM (hhb-tvm) and runs it; with a fifth argument in fp16. See opencv.py.

Its pass ToMixedPrecision comes first, with its own lists of operators: the statistics of BatchNorm are halves then.
At opt_level 0 a BatchNorm is then a multiply and an add; from 3 on the multiply goes into the weights, as halves too.
"""

import sys

sys.path.pop(0)  # this file has the name of the package
import numpy as np
import tvm
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from tvm import relay
from tvm.contrib import graph_executor
from tvm.relay.frontend.caffe import from_caffe


def main():
    prototxt, weights, inputs, outputs = sys.argv[1:5]
    text, binary = caffe_pb2.NetParameter(), caffe_pb2.NetParameter()
    with open(prototxt, encoding="utf-8") as file:
        text_format.Merge(file.read(), text)
    with open(weights, "rb") as file:
        binary.ParseFromString(file.read())
    with np.load(inputs) as given:
        values = {name: given[name] for name in given.files}
    shapes = {name: value.shape for name, value in values.items()}
    module, params, names = from_caffe(binary, text, shapes, dict.fromkeys(values, "float32"))
    if sys.argv[5:]:
        module["main"] = relay.build_module.bind_params_by_name(module["main"], params)
        module = relay.transform.InferType()(module)
        module = relay.transform.ToMixedPrecision("float16")(module)
    with tvm.transform.PassContext(opt_level=0):
        library = relay.build(module, target="llvm -mtriple=x86_64-linux-gnu", params=params)
    net = graph_executor.GraphModule(library["default"](tvm.cpu()))
    net.set_input(**values)
    net.run()
    found = (net.get_output(place).numpy() for place in range(net.get_num_outputs()))
    np.savez(outputs, **dict(zip(names, found)))


main()
