"""Ranges of activations: predicted from the BatchNorms, or recorded on data; and bounds of the sums of layers.

Imports `execution`, `passes` and what those import. A prediction only warns; a recorded range can make a result unsafe.
"""
