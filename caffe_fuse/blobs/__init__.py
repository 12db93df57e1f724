"""Numbers: read in chunks from a file, from memory, or as a recipe over another blob.

Imports `protobuf`, for the source of bytes. A blob never changes, and no more than a chunk of it is held at a time.
"""
