"""Converts a net with TPU-MLIR and runs it in its interpreter. Arguments: see opencv.py.

With a fifth argument the F16 model for a BM1684X runs, in the simulator of that chip. The package brings a C library
that may be older than what other libraries of the machine need: the machine's is loaded first.
"""

import os
import re
import subprocess
import sys

import numpy as np


def call(program, *options):
    with open("/proc/self/maps", encoding="utf-8") as file:
        libraries = sorted(set(re.findall(r"\S+/lib[cm](?:\.|-2\.\d+\.)so\S*", file.read())))
    command = [os.path.join(os.path.dirname(sys.executable), program), *options]
    environment = {**os.environ, "LD_PRELOAD": " ".join(libraries)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        lines = done.stdout.decode(errors="replace").splitlines()
        sys.exit("\n".join(line for line in lines if "fakequant" not in line)[-4000:])  # printed for any Caffe net


def main():
    prototxt, weights, inputs, outputs = sys.argv[1:5]
    model, found = "net.mlir", "found.npz"
    call("model_transform", "--model_name", "net", "--model_def", prototxt, "--model_data", weights, "--mlir", model)
    if sys.argv[5:]:
        call("model_deploy", "--mlir", model, "--quantize", "F16", "--chip", "bm1684x", "--model", "net.bmodel")
        model = "net.bmodel"
    call("model_runner", "--input", inputs, "--model", model, "--output", found)
    with np.load(found) as arrays:
        np.savez(outputs, **{re.sub(r"_f32$", "", name): arrays[name] for name in arrays.files})


main()
