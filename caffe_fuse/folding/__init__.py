"""The stages of a fold in their order; its options, its facts, the report on them, and the writing of the files.

Imports all rooms except `report`, `upgrading` and `cli`. What a stage does is in the stage's own room.
"""
