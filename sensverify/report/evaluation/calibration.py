"""Reliability diagrams: how often a network is right that is so sure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from sensverify.classification.predictions import Bin, Classified
from sensverify.evaluation.results import Evaluation, ModelEvaluation
from sensverify.report.evaluation.lines import hardest_attack, hardest_corruption
from sensverify.report.evaluation.parts import Downloads, card, heading
from sensverify.report.evaluation.words import (
    clipped,
    percent,
    radius_text,
    signed,
    spoken,
)

_SIDE, _LEFT, _TOP, _TALL = 220.0, 34.0, 22.0, 44.0
_GAP = 8.0


def calibration_section(evaluation: Evaluation, offered: Downloads) -> str:
    """Heading and diagrams of clean, attacked and corrupted samples, a line a network."""
    parts = [
        heading("Calibration", "calibration", offered, "calibration"),
        '<p class="note">Confidence is the largest probability that a softmax makes of the '
        "outputs. Of samples in one bin of it, the bar is the share that is right and the tick "
        "their mean confidence; the orange part between them is what the network is too sure of, "
        "the pale part what it is not sure enough of. Below, the share of samples in each bin. "
        "RMS, expected (ECE) and maximum (MCE) calibration error are in points.</p>",
    ]
    for model in evaluation.models:
        if len(evaluation.models) > 1:
            parts.append(f"<h3>{escape(model.model.name)}</h3>")
        cards = [
            card(title, reliability_chart(found, title), _errors(found), _means(found))
            for title, found in _cases(model, evaluation)
        ]
        parts.append(f'<div class="cards">{"".join(cards)}</div>')
    return "".join(parts)


def _cases(model: ModelEvaluation, evaluation: Evaluation) -> Iterator[tuple[str, Classified]]:
    yield "Clean", model.clean[0].classified
    attack = hardest_attack(evaluation, model)
    if attack is not None and attack.radius is not None:
        name = clipped(attack.attack.partition("(")[0], 24)
        yield f"{name} at radius {radius_text(attack.radius)}", attack.classified
    corruption = hardest_corruption(model)
    if corruption is not None:
        name = clipped(spoken(corruption.corruption), 24)
        yield f"{name}, severity {corruption.severity}", corruption.classified


def _errors(found: Classified) -> str:
    errors = {
        "RMS": found.rms_calibration_error,
        "ECE": found.expected_calibration_error,
        "MCE": found.maximum_calibration_error,
    }
    texts = [f"{name} {signed(100 * error, 1)}" for name, error in errors.items()]
    return " · ".join(texts)


def _means(found: Classified) -> str:
    return f"accuracy {percent(found.accuracy.share)}, confidence {percent(found.confidence)}"


def reliability_chart(found: Classified, title: str) -> str:
    """Accuracy by confidence over the diagonal, and the sizes of the bins beneath."""
    width, height = _LEFT + _SIDE + 10, _TOP + _SIDE + _GAP + _TALL + 34
    words = f"Reliability, {title}: {_errors(found)}"
    parts = [
        f'<svg class="reliability" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{escape(words)}">',
        *_axes(),
    ]
    most = max(each.samples for each in found.bins)
    for place, each in enumerate(found.bins):
        if each.samples:
            parts += _bin(each, place, len(found.bins), most, found.samples)
    return "".join([*parts, "</svg>"])


def _axes() -> list[str]:
    floor, base = _TOP + _SIDE, _TOP + _SIDE + _GAP + _TALL
    parts = []
    for share in (0, 50, 100):
        x, y = _LEFT + _SIDE * share / 100, floor - _SIDE * share / 100
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _SIDE}" y1="{y}" y2="{y}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{share}</text>'
            f'<text x="{x}" y="{base + 15}" text-anchor="middle">{share}</text>'
        )
    parts.append(f'<line class="zero" x1="{_LEFT}" x2="{_LEFT + _SIDE}" y1="{base}" y2="{base}"/>')
    parts.append(
        f'<line class="diagonal" x1="{_LEFT}" y1="{floor}" x2="{_LEFT + _SIDE}" y2="{_TOP}"/>'
        f'<text class="axis" x="{_LEFT + _SIDE / 2}" y="{base + 30}" text-anchor="middle">'
        "confidence (%)</text>"
        f'<text class="axis" x="{_LEFT}" y="{_TOP - 10}">accuracy (%)</text>'
    )
    return parts


def _bin(each: Bin, place: int, bins: int, most: int, total: int) -> list[str]:
    floor, base = _TOP + _SIDE, _TOP + _SIDE + _GAP + _TALL
    right, sure = each.correct / each.samples, each.confidence / each.samples
    x, wide = _LEFT + _SIDE * place / bins + 0.8, _SIDE / bins - 1.6
    low, high = sorted((right, min(sure, 1.0)))
    kind = "over" if sure > right else "under"
    tall = _TALL * each.samples / most
    words = (
        f"{each.samples:,} samples ({percent(each.samples / total)}), right {percent(right)}, "
        f"sure {percent(sure)}"
    )
    line = floor - _SIDE * min(sure, 1.0)
    return [
        f"<g><title>{escape(words)}</title>",
        f'<rect class="bar" x="{x:.1f}" y="{floor - _SIDE * low:.1f}" width="{wide:.1f}" '
        f'height="{_SIDE * low:.1f}"/>',
        f'<rect class="{kind}" x="{x:.1f}" y="{floor - _SIDE * high:.1f}" width="{wide:.1f}" '
        f'height="{_SIDE * (high - low):.1f}"/>',
        f'<line class="sure" x1="{x:.1f}" x2="{x + wide:.1f}" y1="{line:.1f}" y2="{line:.1f}"/>',
        f'<rect class="size" x="{x:.1f}" y="{base - tall:.1f}" width="{wide:.1f}" '
        f'height="{max(tall, 0.8):.1f}"/></g>',
    ]
