"""Runs a net: in float32 as Caffe does, in float64, or as a device with halves would.

Imports `half`, for how devices round, and `net`. Exact Caffe semantics; what cannot be run is named, the rest runs.
"""
