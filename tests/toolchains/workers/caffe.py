"""Runs a net in real Caffe. Arguments: prototxt, caffemodel, inputs .npz, outputs .npz."""

import os
import sys

sys.path.pop(0)  # this file has the name of the package
import caffe
import numpy as np


def main():
    prototxt, weights, inputs, outputs = sys.argv[1:]
    net = caffe.Net(prototxt, caffe.TEST, weights=weights)
    with np.load(inputs) as given:
        for name in given.files:
            net.blobs[name].data[...] = given[name]
    net.forward()
    np.savez(outputs, **{name: net.blobs[name].data for name in net.outputs})


os.environ.setdefault("GLOG_minloglevel", "2")
main()
