"""Blobs: their values are read in chunks from a file, from memory, or computed from another blob.

Imports `protobuf`, for the source of bytes. A blob never changes, and at most one chunk of it is in memory at a time.
"""
