"""Corruptions as heat maps with pictures: how much is right at every severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from sensverify.evaluation.results import CorruptionRow, Evaluation, ModelEvaluation
from sensverify.evaluation.scores import (
    CorruptionScore,
    clean_rate,
    corruption_scores,
    reference_of,
)
from sensverify.report.evaluation.heat import STEPS, step
from sensverify.report.evaluation.images import pictures
from sensverify.report.evaluation.parts import Downloads, heading, row, table, td, th
from sensverify.report.evaluation.words import (
    DASH,
    counted,
    interval,
    percent,
    points,
    signed,
    spoken,
)


def corruption_section(evaluation: Evaluation, offered: Downloads) -> str:
    """Heading, legend, heat maps, pictures and flip rates; empty where nothing was corrupted."""
    models = [model for model in evaluation.models if model.corruptions]
    sequences = _sequences(evaluation)
    if not models and not sequences:
        return ""
    parts = [heading("Corruptions", "corruptions", offered, "corruptions", "sequences")]
    images = pictures(evaluation.examples)
    alone = len(evaluation.models) == 1
    if models:
        parts.append(_reading(evaluation, models))
        parts.append(_legend(evaluation, images if alone else {}))
        if not alone:
            parts.append(_means(evaluation))
        for model in models:
            parts.append("" if alone else f"<h3>{escape(model.model.name)}</h3>")
            parts.append(_heat_map(evaluation, model, images if alone else {}))
        if not alone:
            parts.append(_gallery(evaluation, images))
    return "".join([*parts, sequences])


def _reading(evaluation: Evaluation, models: Sequence[ModelEvaluation]) -> str:
    ratios = any(
        score.error_ratio is not None
        for model in models
        for score in corruption_scores(model, reference_of(evaluation))
    )
    text = (
        "Accuracy (%) on the same samples after each corruption, from mild to severe. Residual "
        "robustness is what is lost against clean samples, in points; APP is the share of the clean"
        " accuracy that is left."
    )
    if ratios:
        text += (
            f" CE is the error relative to that of {evaluation.reference}, which is 100; relative "
            "CE compares what the errors gain over clean ones. Less is better in both."
        )
    return f'<p class="note">{escape(text)}</p>'


def _legend(evaluation: Evaluation, images: Mapping[str, Sequence[str]]) -> str:
    """The colours from 0 to 100 %, the clean accuracies marked, and the clean sample."""
    swatches = "".join(f'<i class="h{k}"></i>' for k in range(STEPS + 1))
    marks = []
    for model in evaluation.models:
        share = clean_rate(model).share
        marks.append(f'<b style="left:{100 * share:.1f}%"></b>')
    shares = [clean_rate(model).share for model in evaluation.models]
    words = f"clean {percent(min(shares))}"
    if percent(min(shares)) != percent(max(shares)):
        words += f" to {percent(max(shares))}"
    sample = ""
    for uri in images.get("clean", ())[:1]:
        sample = f'<span class="clean">{_image(uri, "")}the sample, clean</span>'
    return (
        f'<div class="heat-legend"><div class="scale"><div class="ramp">{swatches}{"".join(marks)}'
        f'</div><div class="ends"><span>0</span><span>50</span><span>100 %</span></div></div>'
        f'<span class="mark">▲ {escape(words)}</span>{sample}</div>'
    )


def _severities(rows: Sequence[CorruptionRow]) -> list[int]:
    return sorted({each.severity for each in rows})


def _heat_map(
    evaluation: Evaluation, model: ModelEvaluation, images: Mapping[str, Sequence[str]]
) -> str:
    scores = corruption_scores(model, reference_of(evaluation))
    compared = any(score.error_ratio is not None for score in scores)
    severities = _severities(model.corruptions)
    cells = {(each.corruption, each.severity): each for each in model.corruptions}
    extra = ["CE", "rel. CE"] if compared else []
    head = [th("severity"), *(th(str(s), "cell") for s in severities)]
    head += [th(name) for name in ("mean", "residual", "APP", *extra)]
    rows = []
    for score in scores:
        shown = images.get(score.corruption, ())
        if len(shown) != len(severities):
            # Which picture is which severity is not known.
            shown = [""] * len(severities)
        heat = [
            _cell(cells.get((score.corruption, s)), image)
            for s, image in zip(severities, shown, strict=True)
        ]
        rows.append(row(spoken(score.corruption), [*heat, *_scores(score, compared=compared)]))
    kind = "heat pictured" if images else "heat"
    return table(head, rows, kind)


def _cell(found: CorruptionRow | None, image: str) -> str:
    if found is None:
        return f'<td class="cell">{DASH}</td>'
    rate = found.classified.accuracy
    words = f"{found.parameter}: {counted(rate)}, {interval(rate)}"
    picture = _image(image, "") if image else ""
    return (
        f'<td class="cell {step(rate.share)}" title="{escape(words)}">{picture}'
        f"{signed(100 * rate.share, 1)}</td>"
    )


def _scores(score: CorruptionScore, *, compared: bool) -> list[str]:
    cells = [
        td(signed(100 * score.accuracy, 1), "mean"),
        td(points(score.residual)),
        td(DASH if score.app is None else f"{score.app:.3f}"),
    ]
    if compared:
        for ratio in (score.error_ratio, score.relative_error_ratio):
            cells.append(td(DASH if ratio is None else signed(ratio, 1)))
    return cells


def _means(evaluation: Evaluation) -> str:
    """Corruptions down, networks across: the mean over severities, the best in bold."""
    reference = reference_of(evaluation)
    scores = [
        {score.corruption: score for score in corruption_scores(model, reference)}
        for model in evaluation.models
    ]
    names = list(dict.fromkeys(name for each in scores for name in each))
    head = [th("mean over severities"), *(th(m.model.name, "cell") for m in evaluation.models)]
    rows = []
    for name in names:
        known = [each[name].accuracy for each in scores if name in each]
        best = max(known) if len(known) > 1 and max(known) > min(known) else None
        cells = []
        for each in scores:
            score = each.get(name)
            if score is None:
                cells.append(td(DASH, "cell"))
                continue
            bold = " best" if score.accuracy == best else ""
            cells.append(td(signed(100 * score.accuracy, 1), f"cell {step(score.accuracy)}{bold}"))
        rows.append(row(spoken(name), cells))
    return table(head, rows, "heat means")


def _gallery(evaluation: Evaluation, images: Mapping[str, Sequence[str]]) -> str:
    """One sample as every corruption makes it."""
    shown = {name: uris for name, uris in images.items() if name != "clean" and uris}
    if not shown:
        return ""
    rows = []
    for name, uris in {"clean": images.get("clean", ()), **shown}.items():
        titles = [each.title for each in evaluation.examples.get(name, ())]
        pairs = zip(uris, titles, strict=True)
        strip = "".join(_image(uri, f"{spoken(name)}, {title}") for uri, title in pairs)
        if strip:
            rows.append(f"<div><dt>{escape(spoken(name))}</dt><dd>{strip}</dd></div>")
    return f'<h3>What they look like</h3><dl class="gallery">{"".join(rows)}</dl>'


def _image(uri: str, words: str) -> str:
    return f'<img src="{uri}" alt="{escape(words)}">'


def _sequences(evaluation: Evaluation) -> str:
    """Flip rates: sequences down, networks across."""
    rows = {
        (each.sequence, each.against, each.frames, each.samples): None
        for model in evaluation.models
        for each in model.sequences
    }
    if not rows:
        return ""
    alone = len(evaluation.models) == 1
    heads = ["flip rate"] if alone else [model.model.name for model in evaluation.models]
    lines = []
    for sequence, against, frames, samples in rows:
        cells = []
        for model in evaluation.models:
            found = [
                each.flip_rate
                for each in model.sequences
                if (each.sequence, each.against) == (sequence, against)
            ]
            cells.append(td(percent(found[0]) if found else DASH))
        what = f"{samples:,} samples, {frames} frames, each against the {against} one"
        lines.append(row(spoken(sequence), cells, note=what))
    note = "How often the prediction changes along a sequence of growing or moving corruptions."
    shown = table([th("sequence"), *map(th, heads)], lines, "plain narrow")
    return f'<h3>Flip rate</h3><p class="note">{note}</p>{shown}'
