"""Converts a net with the Model Optimizer and runs it on the CPU. Arguments: prototxt, caffemodel, inputs, outputs."""

import os
import subprocess
import sys
import tempfile

sys.path.pop(0)  # this file has the name of the package
import numpy as np
from openvino.runtime import Core


def main():
    prototxt, weights, inputs, outputs = sys.argv[1:]
    folder = tempfile.mkdtemp()
    program = os.path.join(os.path.dirname(sys.executable), "mo")
    options = ["--framework", "caffe", "--input_model", weights, "--input_proto", prototxt, "--output_dir", folder]
    done = subprocess.run([program, *options, "--model_name", "net"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(done.stdout.decode(errors="replace")[-2000:])
    core = Core()
    net = core.compile_model(core.read_model(os.path.join(folder, "net.xml")), "CPU")
    with np.load(inputs) as given:
        values = {name: given[name] for name in given.files}
    found = net(values)
    np.savez(outputs, **{port.get_any_name().split("/")[0]: found[port] for port in net.outputs})


main()
