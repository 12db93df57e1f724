"""LSTM and RNN, unrolled. Caffe: recurrent_layer.cpp, lstm_layer.cpp, lstm_unit_layer.cpp, rnn_layer.cpp."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np

from .elementwise import logistic
from .rules import Layer, NotComputed, Shape, layer_type


def _blobs(layer: Layer, bottoms: List[np.ndarray], rows: int, last: List[Shape]) -> List[np.ndarray]:
    """Input weights and bias, then those of a third, static bottom if there is one, then `last`."""
    inputs = int(np.prod(bottoms[0].shape[2:]))
    shapes: List[Shape] = [(rows, inputs), (rows,)]
    if len(bottoms) > 2:
        shapes.append((rows, int(np.prod(bottoms[2].shape[1:]))))
    return layer.blobs(*shapes, *last)


def _from_input(blobs: List[np.ndarray], bottoms: List[np.ndarray]) -> np.ndarray:
    """Returns the contribution of the bottoms alone to each step, (steps, streams, rows)."""
    values = bottoms[0].reshape((*bottoms[0].shape[:2], -1))
    total: np.ndarray = values @ blobs[0].T + blobs[1]
    if len(bottoms) > 2:
        total = total + bottoms[2].reshape(len(bottoms[2]), -1) @ blobs[2].T
    return total


def _start(layer: Layer, bottoms: List[np.ndarray]) -> Tuple[int, np.ndarray]:
    p = layer.parameter.recurrent_param
    if p.expose_hidden:
        raise NotComputed
    return p.num_output, np.zeros((bottoms[0].shape[1], p.num_output), layer.dtype)


@layer_type("LSTM", learns=True)
def lstm(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    """Gates in the order input, forget, output, candidate; a continuation of 0 forgets."""
    size, hidden = _start(layer, bottoms)
    blobs = _blobs(layer, bottoms, 4 * size, [(4 * size, size)])
    cell = hidden
    tops = []
    for step, keep in zip(_from_input(blobs, bottoms), bottoms[1]):
        gates = step + (keep[:, None] * hidden) @ blobs[-1].T
        admit, forget, emit = (logistic(gates[:, size * gate : size * (gate + 1)]) for gate in range(3))
        cell = keep[:, None] * forget * cell + admit * np.tanh(gates[:, 3 * size :])
        hidden = emit * np.tanh(cell)
        tops.append(hidden)
    return [np.stack(tops)]


@layer_type("RNN", learns=True)
def rnn(layer: Layer, bottoms: List[np.ndarray]) -> List[np.ndarray]:
    size, hidden = _start(layer, bottoms)
    blobs = _blobs(layer, bottoms, size, [(size, size), (size, size), (size,)])
    tops = []
    for step, keep in zip(_from_input(blobs, bottoms), bottoms[1]):
        hidden = np.tanh(step + (keep[:, None] * hidden) @ blobs[-3].T)
        tops.append(np.tanh(hidden @ blobs[-2].T + blobs[-1]))
    return [np.stack(tops)]
