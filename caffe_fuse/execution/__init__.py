"""Runs a net: in float32 as Caffe does, in float64, or in half precision as a device would.

Imports `half`, for how devices round, and `net`. Exact Caffe semantics; layers that cannot be run are reported, the
rest runs.
"""
