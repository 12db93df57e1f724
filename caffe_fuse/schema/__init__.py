"""Caffe's messages, compiled from proto/caffe.proto, in a private descriptor pool; names as text.

Imports `protobuf`. It never reads parameters from a binary: dialects disagree about field numbers, not about names.
"""
