"""The stages of a fold in their order; its options, its facts, the report of them, and the way to the files.

Imports all rooms but `report`, `upgrading` and `cli`. Reads like the README; what a stage does is in the stage's room.
"""
