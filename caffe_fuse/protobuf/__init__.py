"""Protobuf files: the text format, parsed losslessly by spans and edited at the original offsets; the wire format.

Imports no other room. It does not know what the fields mean: the schema does.
"""
