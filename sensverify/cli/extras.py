"""Optional parts of sensverify: the packages that some commands need, by the extra's name."""

from __future__ import annotations

import re
from importlib import metadata

from sensverify.errors import install

USES = {
    "data": "the data sets iris, digits, breast-cancer and wine, and folders of images",
    "evaluate": "the corruptions frost and jpeg of 'evaluate'",
    "lirpa": "what the method lirpa needs beside auto-LiRPA",
    "marabou": "the decider marabou, and marabou as an oracle of bisection; to Python 3.12",
    "parquet": "data in .parquet files",
    "ray": "workers on a cluster, '--workers ray' of 'study run', 'evaluate' and 'benchmark'",
    "train": "'train' and 'study', with its tables, figures and page",
}
"""What every optional part is for; ``all`` is all of them."""

COMMANDS = {"study": "train", "train": "train"}
"""The part that a command cannot do without."""


def packages(extra: str) -> list[str]:
    """The packages of an optional part, as the installed sensverify declares them."""
    needs = (text.partition(";") for text in metadata.requires("sensverify") or ())
    marked = re.compile(rf"extra == ['\"]{extra}['\"]")
    return [re.split(r"[^\w.-]", need)[0] for need, _, marker in needs if marked.search(marker)]


def absent(extra: str) -> list[str]:
    """Packages of it that are not installed; nothing is imported."""
    return [name for name in packages(extra) if not _there(name)]


def short_help(command: str, text: str) -> str:
    """The short help of a command, with what it still needs."""
    extra = COMMANDS.get(command)
    gone = [] if extra is None else absent(extra)
    return text if not gone else f"{text} Needs {', '.join(gone)}: {install(extra or '')}"


def table() -> list[tuple[str, ...]]:
    """Name, packages, whether they are installed, and use of every optional part."""
    return [
        (extra, ", ".join(packages(extra)), "no" if absent(extra) else "yes", use)
        for extra, use in USES.items()
    ]


def _there(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
