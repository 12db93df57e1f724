"""Converts a net with X2Paddle and runs it in Paddle on the CPU. Arguments: prototxt, caffemodel, inputs, outputs."""

import os
import re
import subprocess
import sys

sys.path.pop(0)  # this file has the name of the package
import numpy as np
import paddle


def main():
    prototxt, weights, inputs, outputs = sys.argv[1:]
    program = os.path.join(os.path.dirname(sys.executable), "x2paddle")
    command = [program, "--framework=caffe", f"--prototxt={prototxt}", f"--weight={weights}", "--save_dir=model"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    path = os.path.join("model", "inference_model", "model")
    if done.returncode or not os.path.exists(f"{path}.pdmodel"):
        sys.exit(done.stdout.decode(errors="replace")[-4000:])
    with open(os.path.join("model", "x2paddle_code.py"), encoding="utf-8") as file:
        takes, gives = re.search(r"def forward\(self, (.*?)\).*?\n +return (.*?)\n", file.read(), re.DOTALL).groups()
    net = paddle.jit.load(path)
    net.eval()
    with np.load(inputs) as given:
        places = dict(zip(takes.split(", "), given.files))
        found = net(*(paddle.to_tensor(given[name if name in given.files else places[name]]) for name in places))
    found = found if isinstance(found, (list, tuple)) else [found]
    np.savez(outputs, **dict(zip(gives.split(", "), (value.numpy() for value in found))))


main()
