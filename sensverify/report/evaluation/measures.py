"""Measures with their definitions, and everything that could not be had with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from sensverify.evaluation.results import Evaluation, MeasureRow, ModelEvaluation
from sensverify.measures.catalog import MEASURES
from sensverify.report.evaluation.missing import reasons
from sensverify.report.evaluation.parts import Downloads, heading, reason, table, th
from sensverify.report.evaluation.words import DASH, count_of, number

_PREFIX = "measure/"
_OTHERS = "others"


def measure_section(evaluation: Evaluation, offered: Downloads) -> str:
    """Heading and table, groups one after the other; empty where no measure was asked for."""
    names = _names(evaluation)
    if not names:
        return ""
    groups: dict[str, list[str]] = {}
    for name in names:
        known = MEASURES.get(name)
        groups.setdefault(_OTHERS if known is None else known.group, []).append(name)
    heads = ["value"] if len(evaluation.models) == 1 else [m.model.name for m in evaluation.models]
    rows = []
    for group, members in groups.items():
        if len(groups) > 1:
            span = f'<th scope="rowgroup" colspan="{len(heads) + 2}">{escape(group)}</th>'
            rows.append(f'<tr class="group">{span}</tr>')
        rows += [_row(evaluation.models, name) for name in members]
    reading = (
        "Behind ± is one standard error of an estimate, or a bound on the distance of an iteration "
        "from its limit; values without it are exact but for rounding."
    )
    return (
        f"{heading('Measures', 'measures', offered, 'measures')}"
        f'<p class="note">{reading}</p>'
        f'<div class="networks" style="--networks: {len(heads)}">'
        f"{table([th('measure'), th('what it is', 'about'), *map(th, heads)], rows, 'measures')}"
        "</div>"
    )


def _names(evaluation: Evaluation) -> list[str]:
    """Every measure that was asked for, in the catalogue's order, then the others."""
    found = {row.measure for model in evaluation.models for row in model.measures}
    found |= {
        row.key.removeprefix(_PREFIX)
        for model in evaluation.models
        for row in model.missing
        if row.key.startswith(_PREFIX)
    }
    return [name for name in MEASURES if name in found] + sorted(found - set(MEASURES))


def _row(models: Sequence[ModelEvaluation], name: str) -> str:
    known = MEASURES.get(name)
    about = ""
    if known is not None:
        source = f" <cite>{escape(known.source)}</cite>" if known.source else ""
        about = f"{escape(known.definition)}.{source}"
    unit = f"<small>{escape(known.unit)}</small>" if known is not None and known.unit else ""
    found = [next((row for row in model.measures if row.measure == name), None) for model in models]
    whys = [_reason(model, name) for model in models]
    if not any(found) and len(set(whys)) == 1:
        values = f'<td class="missing" colspan="{len(models)}">{reason(whys[0])}</td>'
    else:
        values = "".join(
            f'<td class="missing">{reason(why)}</td>' if row is None else f"<td>{_value(row)}</td>"
            for row, why in zip(found, whys, strict=True)
        )
    kind = "" if any(found) else ' class="missing"'
    return (
        f'<tr{kind}><th scope="row"><code>{escape(name)}</code>{unit}</th>'
        f'<td class="about">{about}</td>{values}</tr>'
    )


def _reason(model: ModelEvaluation, name: str) -> str:
    return next((row.reason for row in model.missing if row.key == _PREFIX + name), DASH)


def _value(row: MeasureRow) -> str:
    error = f'<span class="error">± {number(float(f"{row.error:.2g}"))}</span>' if row.error else ""
    details = [count_of(row.samples, "sample")] if row.samples is not None else []
    details += [row.note] if row.note else []
    small = f"<small>{escape('; '.join(details))}</small>" if details else ""
    return f"<b>{number(row.value)}</b> {error}{small}"


def missing_section(evaluation: Evaluation, offered: Downloads) -> str:
    """Heading, and the cells that are missing by reason; empty where all are there."""
    found = reasons(evaluation)
    if not found:
        return ""
    parts = []
    for each in found:
        per_key: dict[str, list[str]] = {}
        for network, missing in each.cells:
            per_key.setdefault(missing.key, []).append(network)
        items = []
        for key, networks in per_key.items():
            some = len(networks) < len(evaluation.models)
            whose = f" ({escape(', '.join(networks))})" if some else ""
            items.append(f"<code>{escape(key)}</code>{whose}")
        again = "" if each.final else '<span class="note"> (another run may have it)</span>'
        parts.append(f"<div><dt>{reason(each.text)}{again}</dt><dd>{', '.join(items)}</dd></div>")
    return (
        f"{heading('What could not be had', 'missing', offered, 'missing')}"
        f'<dl class="record reasons">{"".join(parts)}</dl>'
    )
