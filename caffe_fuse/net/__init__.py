"""From two files to a graph: which layers take part, which blobs are theirs, whose BatchNorm it is, what shares memory.

Imports `layers`, `generations`, `weights` and what is below. A Net is frozen; nothing here rewrites one.
"""
