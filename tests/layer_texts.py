"""Layers for tests, written as text."""

from __future__ import annotations

from typing import Sequence

import numpy as np
from google.protobuf import text_format

from caffe_fuse import layers
from caffe_fuse.layers.layer_type import Affine, LayerType
from caffe_fuse.schema import messages as schema


def layer(text, phase="TEST", tops=1):
    parameter = schema.new("LayerParameter")
    text_format.Parse(text, parameter)
    parameter.phase = schema.PHASES[phase]
    if not parameter.top:
        parameter.top.extend(f"top{index}" for index in range(tops))
    return parameter


def row_of(type_name: str) -> LayerType:
    found = layers.find(type_name)
    assert found is not None
    return found


def affine_from(scale: Sequence[float], shift: Sequence[float], axis: int = 1) -> Affine:
    return Affine(axis, np.array(scale), np.array(shift))


def affine_of(text, blobs=(), bottoms=((2, 3, 4, 5),), phase="TEST"):
    parameter = layer(text, phase)
    arrays = [np.asarray(blob, dtype=np.float64) for blob in blobs]
    facet = row_of(parameter.type).affine
    assert facet is not None
    return facet(parameter, arrays, bottoms)


def forward(text, blobs, *bottoms, phase="TEST"):
    parameter = layer(text, phase)
    facet = row_of(parameter.type).forward
    assert facet is not None
    return facet(parameter, blobs, bottoms)
