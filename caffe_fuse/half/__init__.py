"""Half precision: what becomes of a value, how devices differ, which channels are lost, and whether that does harm.

Imports `net` and what that imports. It measures and judges weights; it never changes one.
"""
