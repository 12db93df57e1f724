"""Whether two nets are one, what each answers in half precision, and why a result is not safe, with its remedy.

Imports `execution`, `ranges`, `rescale` and what is below. It judges by a net's own noise, never by a fixed tolerance.
"""
