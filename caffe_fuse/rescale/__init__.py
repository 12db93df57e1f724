"""Range repair: powers of two that move between layers, so that weights and activations fit into half precision.

Imports `passes`, `half` and what those import. Only powers of two move: in float32 the outputs stay the same.
"""
