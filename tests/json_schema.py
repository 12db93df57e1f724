"""Compares JSON reports with their schema, caffe_fuse/report/schema.json."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import jsonschema
from conftest import PROJECT

SCHEMA = PROJECT / "caffe_fuse" / "report" / "schema.json"


@lru_cache(maxsize=None)
def _validator() -> Any:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def require_valid(text: str) -> None:
    """Raises AssertionError, with the place, for a report that is not as the schema says."""
    error = jsonschema.exceptions.best_match(_validator().iter_errors(json.loads(text)))
    assert error is None, f"{error.json_path}: {error.message[:300]}"
