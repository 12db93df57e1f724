"""Half precision: what becomes of a number, how devices differ, which channels are lost, and whether that does harm.

Imports `net` and what is below. It measures and judges numbers; it never changes one.
"""
