"""The header of a certificate file: one reading, and every field of its type, or it is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import pairwise
from typing import Any

from sensverify.certificates.certificate import LOGITS_SCHEMA, PAIR_SCHEMA, SCHEMA, SETS_SCHEMA
from sensverify.certificates.check.ending import Ending
from sensverify.certificates.check.pair import NewModel
from sensverify.certificates.check.reordering import Order
from sensverify.errors import BadCertificate
from sensverify.runs.json_text import DEEPEST, TooDeep, parse_json

_SCHEMAS = (SCHEMA, LOGITS_SCHEMA, SETS_SCHEMA, PAIR_SCHEMA)
_ANY_END = (SETS_SCHEMA, PAIR_SCHEMA)
"""Schemas of claims about a file's own output or about its logits."""


def parse_header(text: bytes) -> dict[str, Any]:
    """The header in its bytes, with every field that there must be, each of its type.

    Raises
    ------
    BadCertificate
    """
    try:
        # Decoded here: of bytes, json takes other encodings too, and a certificate has one reading.
        words = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCertificate(
            f"its header is not text in UTF-8: byte {error.start} of header.json is "
            f"0x{text[error.start]:02x}; write it as UTF-8 without a byte order mark"
        ) from None
    try:
        header = parse_json(words, object_pairs_hook=_unique, parse_constant=_no_number)
    except TooDeep:
        raise BadCertificate(f"its header nests more than {DEEPEST} lists or objects") from None
    except (json.JSONDecodeError, RecursionError):
        raise BadCertificate("its header is no JSON") from None
    schema = header.get("schema") if isinstance(header, dict) else header
    if not isinstance(header, dict) or schema not in _SCHEMAS:
        raise BadCertificate(f"expected the schema {SCHEMA}, got {str(schema)[:80]!r}")
    model, pair = header.get("model"), schema == PAIR_SCHEMA
    fine = (
        _is_model(model)
        and ("new" in header) == pair
        and (not pair or _is_model(header["new"]))
        and isinstance(header.get("claim"), str)
        and isinstance(header.get("arrays"), list)
        and isinstance(header.get("provenance"), dict)
        and (schema in _ANY_END or ("ending" in (model or {})) == (schema == LOGITS_SCHEMA))
    )
    if not fine:
        raise BadCertificate("its header lacks a field, or has one of another type")
    return header


def ending_of(model: dict[str, Any]) -> Ending | None:
    """The end that the header's model leaves out.

    Raises
    ------
    BadCertificate
        It is not described as one is.
    """
    if "ending" not in model:
        return None
    found = model["ending"]
    fine = (
        isinstance(found, dict)
        and set(found) == {item.name for item in fields(Ending)}
        and isinstance(found["value"], str)
        and isinstance(found["operators"], list)
        and all(isinstance(name, str) for name in found["operators"])
        and isinstance(found["halves"], bool)
    )
    if not fine:
        raise BadCertificate("its header names no end of the model")
    return Ending(found["value"], tuple(found["operators"]), found["halves"])


def new_model_of(header: dict[str, Any]) -> NewModel | None:
    """The second model that a header names.

    Raises
    ------
    BadCertificate
        It is not described as one is.
    """
    if "new" not in header:
        return None
    found = header["new"]
    known = {item.name for item in fields(NewModel)}
    if not isinstance(found.get("paired"), bool) or not set(found) <= known:
        raise BadCertificate("its header names no second model")
    return NewModel(
        sha256=found["sha256"],
        inputs=tuple(found["inputs"]),
        outputs=tuple(found["outputs"]),
        paired=found["paired"],
        external=found.get("external", {}),
        ending=ending_of(found),
        orders=_orders_of(found),
    )


def _orders_of(model: dict[str, Any]) -> tuple[Order, ...]:
    """The orders of neurons of a second model; of networks that are paired alone."""
    if "orders" not in model:
        return ()
    found = model["orders"]
    fine = model["paired"] and isinstance(found, list) and len(found) > 0
    fine = fine and all(
        isinstance(order, dict)
        and set(order) == {item.name for item in fields(Order)}
        and isinstance(order["neurons"], list)
        and all(_is_count(number) for number in (order["function"], *order["neurons"]))
        for order in found
    )
    # Ascending, so that one pairing has one header.
    numbers = [order["function"] for order in found] if fine else []
    if not fine or any(one >= other for one, other in pairwise(numbers)):
        raise BadCertificate("its header names no orders of neurons")
    return tuple(Order(order["function"], tuple(order["neurons"])) for order in found)


def _is_count(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _is_model(model: Any) -> bool:
    if not isinstance(model, dict) or not isinstance(model.get("external", {}), dict):
        return False
    digests = [model.get("sha256"), *model.get("external", {}).values()]
    return all(isinstance(digest, str) for digest in digests) and all(
        isinstance(model.get(key), list) and all(_is_count(n) for n in model[key])
        for key in ("inputs", "outputs")
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise BadCertificate("its header holds one key twice")
    return dict(pairs)


def _no_number(text: str) -> float:
    raise BadCertificate(f"its header holds {text}")
