"""Caffe's messages, compiled from proto/caffe.proto, in a descriptor pool of our own; names as text; misspelt words.

Imports `protobuf`. It never reads a parameter from a binary: dialects disagree about field numbers, not about names.
"""
