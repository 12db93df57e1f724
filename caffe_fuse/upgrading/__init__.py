"""Writes a model of an old form in today's, as BVLC Caffe's upgrade tools do: the text by edits, the weights by spans.

Imports `emit`, `generations`, `weights` and what they need; of `folding` only the way to a file name.
"""
