"""Whether two nets are the same, their outputs in half precision, and why a result is not safe, with its remedy.

Imports `execution`, `ranges`, `rescale` and their imports. It judges by a net's own noise, never by a fixed tolerance.
"""
