"""Writes a model of an old form in the current one, as BVLC Caffe's upgrade tools do: text by edits, weights by spans.

Imports `emit`, `generations`, `weights` and their imports; of `folding` only how file names are formed.
"""
