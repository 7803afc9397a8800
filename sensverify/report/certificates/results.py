"""The result of checking a certificate."""

from __future__ import annotations

from dataclasses import dataclass, field

from sensverify.certificates import Certificate, Checked
from sensverify.core.record import RunRecord
from sensverify.network.signature import Signature


@dataclass(frozen=True, eq=False)
class CheckReport:
    """A certificate, a file of ``size`` bytes, and what became of it.

    Without a ``certificate`` it is about another model, and was not read any further. Where it is
    not ``checked`` it was rejected for a ``reason``. ``property`` is the file it had to cover.
    With the ``runtime_check``, the model was compared with onnxruntime. The ``signature`` names
    several inputs and outputs. ``new_model`` is the second file, of a certificate about two.
    """

    path: str
    size: int
    certificate_sha256: str
    model: str
    model_sha256: str
    certificate: Certificate | None
    arithmetic: str
    property: str | None
    checked: Checked | None
    reason: str | None = None
    runtime_check: bool = True
    signature: Signature | None = None
    new_model: str | None = None
    record: RunRecord = field(default_factory=RunRecord.now)
