"""The pages of `--html`, of `fuse`, `check` and `verify`: each one file with everything in it.

Imports `report` and its imports. The modules make charts and tables of what other rooms have determined, as data; the
templates draw them.
"""
