"""Sequences and tables: LSTM, RNN, LSTMUnit, Embed, Parameter."""

from __future__ import annotations

from functools import partial
from typing import Any, List, Sequence, Tuple

from ..errors import InputError
from .row import BlobShapes, Dim, Dims, LayerType, Shape, Shapes
from .shapes import require, size


def _recurrent_shapes(states: int, parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """(time, num, outputs), and with expose_hidden each last state (Caffe: recurrent_layer.cpp Reshape)."""
    settings = parameter.recurrent_param
    time, num, _ = _sequence(bottoms)
    if settings.num_output < 1:
        raise InputError("num_output is missing")
    exposed: List[Shape] = [(1, num, settings.num_output)] * (states if settings.expose_hidden else 0)
    return [(time, num, settings.num_output), *exposed]


def _sequence(bottoms: Shapes) -> Tuple[Dim, Dim, Dim]:
    """The first bottom as time, num and inputs."""
    bottom, _ = require(bottoms, 2)
    if bottom is None:
        return None, None, None
    if len(bottom) < 2:
        raise InputError(f"its first bottom has to have time and num as its axes, found {len(bottom)} axes")
    return bottom[0], bottom[1], size(bottom[2:])


def _statics(states: int, parameter: Any, bottoms: Shapes) -> List[Dim]:
    """The inputs that stay the same over time, if there are any (Caffe: recurrent_layer.cpp LayerSetUp)."""
    exposed = states if parameter.recurrent_param.expose_hidden else 0
    if len(bottoms) <= 2 + exposed:
        return []
    static = bottoms[2]
    return [None if static is None else size(static[1:])]


def _lstm_blobs(parameter: Any, bottoms: Shapes) -> Sequence[Dims]:
    """Input weights, bias, static input, state, for four gates (Caffe: lstm_layer.cpp FillUnrolledNet)."""
    outputs = parameter.recurrent_param.num_output
    static = [(4 * outputs, inputs) for inputs in _statics(2, parameter, bottoms)]
    return [(4 * outputs, _sequence(bottoms)[2]), (4 * outputs,), *static, (4 * outputs, outputs)]


def _rnn_blobs(parameter: Any, bottoms: Shapes) -> Sequence[Dims]:
    """Input weights, bias, static input, state, output weights, bias (Caffe: rnn_layer.cpp)."""
    outputs = parameter.recurrent_param.num_output
    static = [(outputs, inputs) for inputs in _statics(1, parameter, bottoms)]
    square = (outputs, outputs)
    return [(outputs, _sequence(bottoms)[2]), (outputs,), *static, square, square, (outputs,)]


def _lstm_unit_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Cell and state, both like the cell before (Caffe: lstm_unit_layer.cpp Reshape)."""
    return [require(bottoms, 3)[0]] * 2


def _embed_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: embed_layer.cpp Reshape."""
    (bottom,) = require(bottoms, 1)
    return [None if bottom is None else (*bottom, parameter.embed_param.num_output)]


def _embed_blobs(parameter: Any, _bottoms: Shapes) -> Sequence[Dims]:
    """Caffe: embed_layer.cpp LayerSetUp."""
    settings = parameter.embed_param
    table = (settings.input_dim, settings.num_output)
    return [table, (settings.num_output,)][: 1 + settings.bias_term]


def _parameter_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    return [tuple(parameter.parameter_param.shape.dim)]


def _parameter_blobs(parameter: Any, _bottoms: Shapes) -> Sequence[Dims]:
    return [tuple(parameter.parameter_param.shape.dim)]


ROWS = (
    LayerType("LSTM", partial(_recurrent_shapes, 2), _lstm_blobs),
    LayerType("RNN", partial(_recurrent_shapes, 1), _rnn_blobs),
    LayerType("LSTMUnit", _lstm_unit_shapes),
    LayerType("Embed", _embed_shapes, _embed_blobs),
    LayerType("Parameter", _parameter_shapes, _parameter_blobs),
)
