"""Builds a graph from two files: the layers that take part, their blobs, the BatchNorm dialect, and shared memory.

Imports `layers`, `generations`, `weights` and the rooms that these import. A Net is frozen; nothing here rewrites one.
"""
