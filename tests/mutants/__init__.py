"""Deliberate faults, listed by the room that they are in, and the test that notices each; run.py tries them.

The tests judge by Caffe's recorded results, by the independent reference in tests/reference, by exact text or by hand;
none waits for the proof of `save`.
"""

from __future__ import annotations

from typing import Tuple

from . import (
    blobs,
    cli,
    emit,
    execution,
    files,
    folding,
    generations,
    half,
    judging,
    layers,
    layers_batch_norm,
    layers_space,
    many,
    net,
    page,
    passes,
    protobuf,
    ranges,
    report,
    rescale,
    root,
    schema,
    targets,
    weights,
)
from .mutant import PROJECT, Mutant

LISTS = (
    root,
    protobuf,
    files,
    schema,
    blobs,
    layers,
    layers_batch_norm,
    layers_space,
    generations,
    weights,
    net,
    half,
    targets,
    passes,
    rescale,
    execution,
    ranges,
    judging,
    emit,
    folding,
    report,
    page,
    many,
    cli,
)
MUTANTS: Tuple[Mutant, ...] = tuple(mutant for faults in LISTS for mutant in faults.MUTANTS)

__all__ = ["LISTS", "MUTANTS", "PROJECT", "Mutant"]
