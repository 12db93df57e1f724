"""Runs nets in real Caffe; oracle.py starts it with the Python of the virtual environment that `make oracle` makes.

Each line of stdin names, separated by tabs, a net, its weights, an .npz of inputs, and an .npz to write with the last
value of every blob. If Caffe stops it ends the process, and the next .npz is missing.
"""

import os
import sys

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import numpy as np


def main() -> None:
    for line in sys.stdin:
        prototxt, weights, inputs, outputs = line.rstrip("\n").split("\t")
        net = caffe.Net(prototxt, caffe.TEST, weights=weights)
        with np.load(inputs) as given:
            for name in given.files:
                net.blobs[name].data[...] = given[name]
        net.forward()
        np.savez(outputs + ".part.npz", **{name: blob.data for name, blob in net.blobs.items()})
        os.replace(outputs + ".part.npz", outputs)


if __name__ == "__main__":
    main()
