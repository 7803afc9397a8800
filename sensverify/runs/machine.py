"""The machine that a result comes from, for its record."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from sensverify.core.record import versions


def machine_facts() -> dict[str, Any]:
    """Processor, cores, memory in bytes, accelerator if there is one, system, and versions."""
    import torch

    facts: dict[str, Any] = {
        "processor": _processor(),
        "cores": cores(),
        "memory": machine_memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions(),
    }
    if torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name()
        facts["versions"] |= {"cuda": str(torch.version.cuda)}
    return facts


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return " ".join(value.split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine_memory() -> int | None:
    """Bytes of memory of this machine; None where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
