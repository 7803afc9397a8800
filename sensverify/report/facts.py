"""What the JSON of several commands says in the same words."""

from __future__ import annotations

from typing import Any

from sensverify.verification import ModelFacts
from sensverify.verification.certifying import Certification


def model_dict(model: ModelFacts) -> dict[str, Any]:
    """The model that was asked about; ``softmax`` is there where the file ends in one."""
    return {
        "path": model.path,
        "sha256": model.sha256,
        "inputs": list(model.inputs),
        "outputs": list(model.outputs),
        "parameters": model.parameters,
        **({} if model.softmax is None else {"softmax": model.softmax}),
    }


def method_dict(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What bounded or answered."""
    return {"name": name, "settings": settings}


def certificate_dict(certification: Certification) -> dict[str, Any]:
    """A certificate: its file, if any, and the check that it has passed."""
    return {
        "path": certification.path,
        "bytes": len(certification.data),
        "arithmetic": certification.checked.arithmetic,
        "check_seconds": certification.seconds,
    }
