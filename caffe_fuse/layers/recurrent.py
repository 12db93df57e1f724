"""Sequences and tables: LSTM, RNN, LSTMUnit, Embed, Parameter."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, List, Sequence, Tuple

import numpy as np

from ..errors import InputError
from .activation import logistic
from .layer_type import BlobShapes, Dim, Dims, LayerType, Shape, Shapes
from .ranges import squashed
from .shapes import agreed, require, size, text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .layer_type import Arrays

    Array = NDArray[Any]


def _recurrent_shapes(states: int, parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """(time, num, outputs), and with expose_hidden each last state (Caffe: recurrent_layer.cpp Reshape)."""
    settings = parameter.recurrent_param
    time, num, _ = _sequence(bottoms)
    if settings.num_output < 1:
        raise InputError("num_output is missing")
    agreed([bottoms[1], (time, num)])
    others = len(bottoms) - 2 - (states if settings.expose_hidden else 0)
    if not 0 <= others <= 1:
        raise InputError(
            f"it has {len(bottoms)} bottoms, expected the sequence, cont, optionally a static input, and the states"
        )
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
    """The size of the static input, if there is one (Caffe: recurrent_layer.cpp LayerSetUp)."""
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


def _from_bottoms(states: int, parameter: Any, blobs: Arrays, bottoms: Arrays) -> Array:
    """The contribution of the sequence and the static input to the gates at each time: (time, num, gates)."""
    x = bottoms[0].reshape(*bottoms[0].shape[:2], -1)
    total: Array = x @ blobs[0].reshape(blobs[0].shape[-2:]).T + blobs[1].reshape(-1)
    if _statics(states, parameter, [bottom.shape for bottom in bottoms]):
        total += bottoms[2].reshape(len(bottoms[2]), -1) @ blobs[2].reshape(blobs[2].shape[-2:]).T
    return total


def _first_states(states: int, parameter: Any, bottoms: Arrays) -> Tuple[Array, ...]:
    """Zeros, or with expose_hidden the last bottoms (Caffe: recurrent_layer.cpp Forward_cpu)."""
    outputs = parameter.recurrent_param.num_output
    shape = (bottoms[0].shape[1], outputs)
    if parameter.recurrent_param.expose_hidden:
        return tuple(bottom.reshape(shape) for bottom in bottoms[-states:])
    return (np.zeros(shape, bottoms[0].dtype),) * states


def _lstm_forward(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """Caffe: lstm_layer.cpp, unrolled; at the start of a sequence `cont` is 0, which resets the states."""
    added, (hidden, cell) = _from_bottoms(2, parameter, blobs, bottoms), _first_states(2, parameter, bottoms)
    weights, tops = blobs[-1].reshape(blobs[-1].shape[-2:]).T, []
    for now, cont in zip(added, bottoms[1].reshape(*added.shape[:2], 1)):
        cell, hidden = _lstm_step(cell, now + cont * hidden @ weights, cont)
        tops.append(hidden)
    exposed = [hidden[np.newaxis], cell[np.newaxis]] if parameter.recurrent_param.expose_hidden else []
    return [np.stack(tops), *exposed]


def _lstm_step(cell: Array, gates: Array, cont: Array) -> Tuple[Array, Array]:
    """Cell and state from the gates input, forget, output and candidate (Caffe: lstm_unit_layer.cpp)."""
    admit, forget, emit, candidate = np.split(gates, 4, axis=-1)
    cell = np.where(cont == 0, 0, cont * logistic(forget)) * cell + logistic(admit) * np.tanh(candidate)
    return cell, logistic(emit) * np.tanh(cell)


def _rnn_forward(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """Caffe: rnn_layer.cpp, unrolled."""
    added, (hidden,) = _from_bottoms(1, parameter, blobs, bottoms), _first_states(1, parameter, bottoms)
    weights, out_weights = (blob.reshape(blob.shape[-2:]).T for blob in blobs[-3:-1])
    tops = []
    for now, cont in zip(added, bottoms[1].reshape(*added.shape[:2], 1)):
        hidden = np.tanh(now + cont * hidden @ weights)
        tops.append(np.tanh(hidden @ out_weights + blobs[-1].reshape(-1)))
    exposed = [hidden[np.newaxis]] if parameter.recurrent_param.expose_hidden else []
    return [np.stack(tops), *exposed]


def _lstm_unit_forward(_parameter: Any, _blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """The bottoms: the previous cell, the gates, and `cont`."""
    cell, gates, cont = bottoms
    if gates.shape != (*cell.shape[:-1], 4 * cell.shape[-1]) or cont.size != cell.size // cell.shape[-1]:
        raise InputError(f"its bottoms {', '.join(text(bottom.shape) for bottom in bottoms)} do not fit each other")
    return list(_lstm_step(cell, gates, cont.reshape(1, -1, 1)))


def _lstm_unit_shapes(_parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Cell and state, both with the shape of the previous cell (Caffe: lstm_unit_layer.cpp Reshape)."""
    return [require(bottoms, 3)[0]] * 2


def _embed_shapes(parameter: Any, bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    """Caffe: embed_layer.cpp Reshape."""
    (bottom,) = require(bottoms, 1)
    return [None if bottom is None else (*bottom, parameter.embed_param.num_output)]


def _embed_forward(parameter: Any, blobs: Arrays, bottoms: Arrays) -> List[Array]:
    """Caffe: embed_layer.cpp Forward_cpu."""
    settings, (x,) = parameter.embed_param, bottoms
    invalid = x[~((x >= 0) & (x < settings.input_dim))]
    if invalid.size:
        raise InputError(f"its bottom holds {invalid[0]:g}, but its table has {settings.input_dim} rows")
    top = blobs[0].reshape(settings.input_dim, settings.num_output)[x.astype(np.intp)]
    return [top + blobs[1].reshape(-1) if settings.bias_term else top]


def _embed_blobs(parameter: Any, _bottoms: Shapes) -> Sequence[Dims]:
    """Caffe: embed_layer.cpp LayerSetUp."""
    settings = parameter.embed_param
    table = (settings.input_dim, settings.num_output)
    return [table, (settings.num_output,)][: 1 + settings.bias_term]


def _parameter_shapes(parameter: Any, _bottoms: Shapes, _blobs: BlobShapes) -> Shapes:
    return [tuple(parameter.parameter_param.shape.dim)]


def _parameter_forward(parameter: Any, blobs: Arrays, _bottoms: Arrays) -> List[Array]:
    return [blobs[0].reshape(tuple(parameter.parameter_param.shape.dim))]


def _parameter_blobs(parameter: Any, _bottoms: Shapes) -> Sequence[Dims]:
    return [tuple(parameter.parameter_param.shape.dim)]


LAYER_TYPES = (
    LayerType(
        "LSTM", partial(_recurrent_shapes, 2), _lstm_blobs, forward=_lstm_forward, ranges=partial(squashed, -1.0)
    ),
    LayerType("RNN", partial(_recurrent_shapes, 1), _rnn_blobs, forward=_rnn_forward, ranges=partial(squashed, -1.0)),
    LayerType("LSTMUnit", _lstm_unit_shapes, forward=_lstm_unit_forward, most=3),
    LayerType(
        "Embed",
        _embed_shapes,
        _embed_blobs,
        forward=_embed_forward,
        most=1,
        fillers=("embed_param", "weight_filler", "bias_filler"),
    ),
    LayerType("Parameter", _parameter_shapes, _parameter_blobs, forward=_parameter_forward),
)
