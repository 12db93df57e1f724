"""Runs a net in OpenCV's dnn module. Arguments: prototxt, caffemodel, inputs .npz, outputs .npz."""

import sys

import cv2
import numpy as np


def main() -> None:
    prototxt, weights, inputs, outputs = sys.argv[1:]
    net = cv2.dnn.readNetFromCaffe(prototxt, weights)
    with np.load(inputs) as given:
        for name in given.files:
            net.setInput(given[name], name)
    names = net.getUnconnectedOutLayersNames()
    np.savez(outputs, **dict(zip(names, net.forward(names))))


main()
