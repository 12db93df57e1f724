"""Protobuf as it stands in files: its text losslessly, by spans, with edits on the original offsets; its wire format.

Imports no other room. It has no word of what the fields mean: that is the schema's.
"""
