"""Layers for tests, written as text."""

from __future__ import annotations

import numpy as np
from google.protobuf import text_format

from caffe_fuse import layers
from caffe_fuse.schema import messages as schema


def layer(text, phase="TEST", tops=1):
    parameter = schema.new("LayerParameter")
    text_format.Parse(text, parameter)
    parameter.phase = schema.PHASES[phase]
    if not parameter.top:
        parameter.top.extend(f"top{index}" for index in range(tops))
    return parameter


def affine_of(text, blobs=(), bottoms=((2, 3, 4, 5),), phase="TEST"):
    parameter = layer(text, phase)
    arrays = [np.asarray(blob, dtype=np.float64) for blob in blobs]
    return layers.find(parameter.type).affine(parameter, arrays, bottoms)


def forward(text, blobs, *bottoms, phase="TEST"):
    parameter = layer(text, phase)
    return layers.find(parameter.type).forward(parameter, blobs, bottoms)
