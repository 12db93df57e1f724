"""Converts a net with RKNN-Toolkit2 and runs it in its simulator, in half precision. Arguments: see opencv.py."""

import sys

sys.path.pop(0)  # this file has the name of the package
import numpy as np
from rknn.api import RKNN


def main():
    prototxt, weights, inputs, outputs = sys.argv[1:5]
    rknn = RKNN(verbose=False)
    rknn.config(target_platform="rk3588")
    steps = (
        lambda: rknn.load_caffe(model=prototxt, blobs=weights),
        lambda: rknn.build(do_quantization=False),
        rknn.init_runtime,
    )
    for step in steps:
        if step():
            sys.exit("RKNN-Toolkit2 refused the net")
    with np.load(inputs) as given:
        values = [given[name] for name in given.files]
    found = rknn.inference(inputs=values, data_format=["nchw"] * len(values))
    np.savez(outputs, **{f"output{place}": value for place, value in enumerate(found)})


main()
