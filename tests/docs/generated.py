"""Parts of the pages that are written from the code: ``python -m tests.docs.generated``."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

from sensverify.verification.support import operator_support
from tests.test_layers import FOLDERS, LAYERS, ROOT

Parts = dict[tuple[Path, str], Callable[[], str]]
"""Markers of a file, and what stands between them."""


def layers() -> str:
    """The layers as a drawing, and a table of the parts with the first sentence of each."""
    rows = [[unit for unit in row if _source(unit).exists()] for row in LAYERS]
    rows = [row for row in rows if row]
    width = max(len("   ".join(row)) for row in rows) + 2
    edge = "-" * width
    drawing = [f"+{edge}+"]
    for row in rows:
        drawing += [f"|{'   '.join(row).center(width)}|", f"+{edge}+"]
    table = ["| part | what it is |", "| --- | --- |"]
    table += [f"| `{_folder(unit)}` | {_summary(_source(unit))} |" for row in rows for unit in row]
    return "\n".join(["```text", *drawing, "```", "", *table])


def operator_table() -> str:
    """What every kind of method knows of every operator, found out by asking it."""
    names = ("operator", "what it is", "intervals", "lines", "splitting", "program", "certificate")
    lines = [f"| {' | '.join(names)} |", f"| --- | --- |{' :-: |' * 5}"]
    for kind, support in operator_support().items():
        summary = _sentence(kind.__doc__ or "").replace("|", "\\|")
        lines.append(f"| {' | '.join([f'`{kind.__name__}`', summary, *support.words])} |")
    return "\n".join(lines)


PARTS: Parts = {
    (ROOT / "ARCHITECTURE.md", "layers"): layers,
    (ROOT / "docs" / "concepts" / "operators.md", "operators"): operator_table,
}


def filled(text: str, marker: str, content: str) -> str:
    """A page with the content between two markers."""
    pattern = rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)"
    new, count = re.subn(pattern, lambda m: f"{m[1]}{content}\n{m[2]}", text, flags=re.DOTALL)
    assert count == 1, f"the markers of '{marker}' are there {count} times"
    return new


def _source(unit: str) -> Path:
    for folder in (ROOT / unit, ROOT / "sensverify" / unit):
        if (folder / "__init__.py").exists():
            return folder / "__init__.py"
    return ROOT / "sensverify" / f"{unit}.py"


def _folder(unit: str) -> str:
    source = _source(unit)
    path = source.parent if source.name == "__init__.py" else source
    return path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")


def _summary(source: Path) -> str:
    return _sentence(ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "")


def _sentence(text: str) -> str:
    first = " ".join(text.split("\n\n")[0].split())
    return first.replace("``", "`")


def main() -> None:
    """Write every part into its page."""
    assert set(FOLDERS) == {"sensverify", "models", "solvers"}
    for (path, marker), content in PARTS.items():
        text = path.read_text(encoding="utf-8")
        new = filled(text, marker, content())
        if new != text:
            path.write_text(new, encoding="utf-8")
            print(f"wrote '{marker}' in {path.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
