"""Names of several inputs and outputs in JSON."""

from __future__ import annotations

from typing import Any

from sensverify.network.signature import Port, Signature


def ends_dict(signature: Signature | None) -> dict[str, Any]:
    """The names of several inputs and outputs; nothing where there is one of each."""
    if signature is None:
        return {}
    return {
        "ends": {
            "inputs": [_port(port) for port in signature.inputs],
            "outputs": [_port(port) for port in signature.outputs],
        }
    }


def _port(port: Port) -> dict[str, Any]:
    values = None if port.values is None else list(port.values)
    return {"name": port.name, "shape": list(port.shape), "type": port.dtype, "values": values}
