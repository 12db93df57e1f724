"""Trains digits_resnet on the handwritten digits that come with scikit-learn.

    pip install -e '.[train]'
    python sample_nets/train_digits.py [--steps 11000] [--folder DIR]

writes digits_resnet.caffemodel, and digits_test.h5 with the digits that it was not trained on, which Caffe's HDF5Data
layer can read. The same versions on the same kind of machine write the same files.

The BatchNorm layers hold what Caffe would have stored: sums over the training and the factor to divide them by. Pixels
are 0 to 255 and no mean is subtracted, so the variances of the first layer overflow half precision.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, Dict, List, Tuple

import generate
import h5py
import numpy as np
import torch
from google.protobuf import text_format
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from caffe_fuse.protobuf import wire
from caffe_fuse.schema import messages as schema

NAME = "digits_resnet"
HELD_OUT = 450
BATCH = 32
# The default of Caffe's moving_average_fraction.
FRACTION = 0.999


def digits() -> Tuple[np.ndarray, np.ndarray]:
    """Returns 1797 digits in a fixed random order: float32 (N, 1, 8, 8) of 0 to 255, and float32 labels (N,)."""
    data = load_digits()
    order = np.random.RandomState(0).permutation(len(data.images))
    pictures = data.images[order, np.newaxis] * (255 / 16)
    return pictures.astype(np.float32), data.target[order].astype(np.float32)


class Scale(nn.Module):
    """Caffe's Scale layer with a bias: one scale and one bias for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class CaffeNet(nn.Module):
    """A Caffe net as a PyTorch module: its layers run in order over a dict of blobs."""

    def __init__(self, definition: Any) -> None:
        super().__init__()
        self.layers = [layer for layer in definition.layer if layer.type != "Input"]
        self.parts = nn.ModuleDict()
        channels: Dict[str, int] = {"data": generate.NETS[NAME].colours}
        for layer in self.layers:
            inputs = channels[layer.bottom[0]]
            self.parts[layer.name] = part = _part(layer, inputs)
            channels[layer.top[0]] = part.weight.shape[0] if layer.type in ("Convolution", "InnerProduct") else inputs

    def forward(self, pictures: Tensor) -> Tensor:
        """Returns the logarithms of the probabilities."""
        blobs = {"data": pictures}
        for layer in self.layers:
            bottoms = [blobs[name] for name in layer.bottom]
            blobs[layer.top[0]] = sum(bottoms) if layer.type == "Eltwise" else self.parts[layer.name](*bottoms)
        return blobs["probabilities"]


def _part(layer: Any, inputs: int) -> Any:
    if layer.type == "Convolution":
        parameter = layer.convolution_param
        kernel, stride, pad = parameter.kernel_size[0], parameter.stride[0], parameter.pad[0]
        return nn.Conv2d(inputs, parameter.num_output, kernel, stride, pad, bias=parameter.bias_term)
    if layer.type == "BatchNorm":
        batch_norm = nn.BatchNorm2d(inputs, eps=layer.batch_norm_param.eps, momentum=1 - FRACTION, affine=False)
        # Caffe sums starting from 0, PyTorch averages starting from a variance of 1.
        nn.init.zeros_(batch_norm.running_var)
        return batch_norm
    if layer.type == "Scale":
        return Scale(inputs)
    if layer.type == "InnerProduct":
        return nn.Linear(inputs, layer.inner_product_param.num_output)
    if layer.type == "Pooling":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return {"ReLU": nn.ReLU, "Eltwise": nn.Identity, "Softmax": lambda: nn.LogSoftmax(dim=1)}[layer.type]()


def train(net: CaffeNet, pictures: np.ndarray, labels: np.ndarray, steps: int) -> None:
    """Trains with Adam and a cosine schedule; each batch is drawn at random, its digits shifted by up to a pixel."""
    random = np.random.RandomState(1)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    padded = np.pad(pictures, ((0, 0), (0, 0), (1, 1), (1, 1)))
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 0.003 * (1 + math.cos(math.pi * step / steps)) / 2
        chosen = random.randint(len(pictures), size=BATCH)
        down, right = random.randint(3, size=2)
        batch = torch.from_numpy(padded[chosen, :, down : down + 8, right : right + 8].copy())
        loss = functional.nll_loss(net(batch), torch.from_numpy(labels[chosen]).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 500 == 0:
            print(f"step {step}: loss {loss.item():.4f}", flush=True)


def caffe_blobs(layer: Any, part: Any) -> List[np.ndarray]:
    """Returns the blobs of a layer in Caffe's order."""
    if layer.type == "BatchNorm":
        # Caffe: batch_norm_layer.cpp:136, sum = FRACTION * sum + new; PyTorch's average is this times 1 - FRACTION.
        factor = (1 - FRACTION ** part.num_batches_tracked.item()) / (1 - FRACTION)
        sums = [average.numpy() / (1 - FRACTION) for average in (part.running_mean, part.running_var)]
        return [*sums, np.array([factor])]
    return [parameter.detach().numpy() for parameter in part.parameters()]


def write(folder: Path, net: CaffeNet, pictures: np.ndarray, labels: np.ndarray) -> None:
    with (folder / f"{NAME}.caffemodel").open("wb") as file:
        file.write(wire.delimited(1, NAME.encode()))
        for layer in net.layers:
            generate.write_layer(file, layer, caffe_blobs(layer, net.parts[layer.name]))
    with h5py.File(folder / "digits_test.h5", "w") as held_out:
        held_out["data"], held_out["label"] = pictures, labels


def main() -> None:
    parser = argparse.ArgumentParser(description="Train digits_resnet.")
    parser.add_argument("--steps", type=int, default=11000)
    parser.add_argument("--folder", type=Path, default=generate.HERE)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    net = CaffeNet(text_format.Parse(generate.definition(NAME), schema.new("NetParameter")))
    pictures, labels = digits()
    train(net, pictures[HELD_OUT:], labels[HELD_OUT:], arguments.steps)
    write(arguments.folder, net, pictures[:HELD_OUT], labels[:HELD_OUT])


if __name__ == "__main__":
    main()
