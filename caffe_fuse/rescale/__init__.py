"""Range repair: powers of two that move between layers, so that their numbers fit into half precision.

Imports `passes`, `half` and what is below. Nothing but powers of two: in float32 the outputs stay the same.
"""
