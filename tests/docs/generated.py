"""Parts of the pages that are written from the code: ``python -m tests.docs.generated``."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import sensverify as sv
from sensverify.bounds import make_method
from sensverify.certificates import StoredModel, certify_bounds
from sensverify.certificates.check.program import program_of
from sensverify.errors import MissingRule
from sensverify.network import Network
from sensverify.network.operators import Operator
from tests.contracts.operators import FORMS, PLACES, concrete
from tests.test_layers import FOLDERS, LAYERS, ROOT

Parts = dict[tuple[Path, str], Callable[[], str]]
"""Markers of a file, and what stands between them."""

_EXACT = ("branch-and-bound", "milp")


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
    for kind in concrete():
        network = _network(kind)
        cells = [
            f"`{kind.__name__}`",
            _sentence(kind.__doc__ or "").replace("|", "\\|"),
            _mark(_bounds(network, "ibp")),
            _mark(_bounds(network, "crown") and _bounds(network, "lp-dual")),
            *(_mark(_bounds(network, name)) for name in _EXACT),
            _mark(_certifies(network)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
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


def _network(kind: type[Operator]) -> Network:
    """The operator in its first form, between affine maps."""
    form = next(form for form in FORMS.values() if form.operator is kind)
    return PLACES["inside"](form, np.random.default_rng(0))


def _box() -> sv.Box:
    return sv.Box(np.full((1, 2), -1.5), np.full((1, 2), 0.5))


def _bounds(network: Network, method: str) -> bool:
    try:
        found = sv.compute_bounds(network, _box(), make_method(method))
    except MissingRule:
        return False
    return method not in _EXACT or bool(found.optimal.all())


def _certifies(network: Network) -> bool:
    box = _box()
    proof = sv.compute_bounds(network, box, sv.Crown(), proof=True).certificate
    rows = np.array([[[1.0], [-1.0]]])
    try:
        model = StoredModel(network, program_of(network), "", {})
        return bool(
            np.isfinite(certify_bounds(model, box.lower, box.upper, rows, proof).lower).all()
        )
    except MissingRule:
        return False


def _mark(known: bool) -> str:
    return "yes" if known else "no"


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
