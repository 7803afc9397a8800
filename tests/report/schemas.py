"""Results held against their published schemas."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from sensverify.report.schemas import result_schema, schema_names


@cache
def _validators() -> Mapping[str, Any]:
    # Here, as most tests write no result.
    from jsonschema import Draft202012Validator

    schemas = [result_schema(name) for name in schema_names()]
    for schema in schemas:
        Draft202012Validator.check_schema(schema)
    return {schema["$id"]: Draft202012Validator(schema) for schema in schemas}


def check_result(values: Mapping[str, Any]) -> None:
    """Fail where a result is not what its schema says, or has none."""
    name = values["schema"]
    assert name in _validators(), f"'{name}' has no schema"
    errors = sorted(_validators()[name].iter_errors(values), key=lambda error: error.json_path)
    texts = [f"{error.json_path}: {error.message[:300]}" for error in errors[:10]]
    assert not texts, f"a result is no {name}:\n" + "\n".join(texts)
