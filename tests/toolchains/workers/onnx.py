"""Converts a net with caffe2onnx and runs it in onnxruntime; with a fifth argument in fp16. See opencv.py."""

import os
import subprocess
import sys
import tempfile

sys.path.pop(0)  # this file has the name of a package
import numpy as np
import onnx
import onnxruntime


def main():
    prototxt, weights, inputs, outputs = sys.argv[1:5]
    path = os.path.join(tempfile.mkdtemp(), "net.onnx")
    command = [sys.executable, "-m", "caffe2onnx.convert", "--prototxt", prototxt]
    command += ["--caffemodel", weights, "--onnx", path]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode or not os.path.exists(path):
        sys.exit(done.stdout.decode(errors="replace")[-2000:])
    if sys.argv[5:]:
        from onnxconverter_common import float16

        half = float16.convert_float_to_float16(onnx.load(path))
        onnx.save(half, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    with np.load(inputs) as given:
        names = [each.name for each in session.get_inputs()]
        values = {name: given[name if name in given.files else given.files[place]] for place, name in enumerate(names)}
    if sys.argv[5:]:
        values = {name: value.astype(np.float16) for name, value in values.items()}
    found = session.run(None, values)
    np.savez(outputs, **{each.name: value for each, value in zip(session.get_outputs(), found)})


main()
