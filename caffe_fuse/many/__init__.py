"""Many models at a time: which files are a model, who does the work, what is done already, and one table of all.

Imports `files`, and `net`, `weights` and `protobuf` to see which files belong together. What is done with one model is
a function that the caller gives; it runs in another process, or on another machine.
"""
