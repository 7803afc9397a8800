"""Critical radii on a page and in a terminal: the distribution, and every sample."""

from __future__ import annotations

import re
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from sensverify.core.results import Guarantee
from sensverify.report.chart import Frame, svg
from sensverify.report.critical_radius.chart import distribution_chart
from sensverify.report.critical_radius.document import LISTED, critical_radius_document
from sensverify.report.critical_radius.json import critical_radius_to_json
from sensverify.report.html import document_to_html
from sensverify.report.tabular import document_to_csv
from sensverify.verification import CriticalRadiusReport, InputFacts, ModelFacts, SampleRadius
from sensverify.verification.radius_results import weakest
from sensverify.verification.radius_search import SearchLimits
from sensverify.verification.results import NOTABLE
from tests.report.shown import RECORD, printed, split_page

EVIL = "<script>alert(1)</script>&\"'"


def made(*ends: tuple[float, float], **changes: Any) -> CriticalRadiusReport:
    samples = tuple(
        SampleRadius(
            index=place,
            label=0,
            prediction=0 if attacked else 1,
            proven=proven,
            attacked=attacked,
            steps=9,
            seconds=0.1,
            becomes=1 if attacked < inf else None,
        )
        for place, (proven, attacked) in enumerate(ends)
    )
    values: dict[str, Any] = {
        "model": ModelFacts("net", (), "net.onnx", "0" * 64, (4,), (3,), 10, None),
        "perturbation": InputFacts("iris", 0.1, None, None, None),
        "unit": "the units of the features",
        "limits": SearchLimits(0.1, 10.0, 0.01, 40),
        "method": "crown",
        "settings": {},
        "guarantee": Guarantee.SOUND,
        "device": "cpu",
        "dtype": "float32",
        "seed": 0,
        "seconds": 1.0,
        "record": RECORD,
        "samples": samples,
        "total": len(samples),
    }
    return CriticalRadiusReport(**{**values, **changes})


def line(picture: str, look: str) -> np.ndarray:
    found = re.search(rf'<polyline class="line {look}" points="([^"]+)"', picture)
    assert found is not None
    return np.array([[float(v) for v in pair.split(",")] for pair in found[1].split()])


FRAME = Frame(1000, 1000, left=0, right=0, top=0, bottom=0)


@pytest.mark.parametrize("count", [1, 7, 1500])
def test_lines_are_the_shares_of_samples(count: int) -> None:
    rng = np.random.default_rng(count)
    proven = rng.uniform(0.1, 1, size=count)
    pairs = [
        (float(p), float(p + extra)) for p, extra in zip(proven, rng.random(count), strict=True)
    ]
    report = made((0.0, 0.0), *pairs)
    picture = svg(distribution_chart(report, FRAME))
    high = max(attacked for _, attacked in pairs)
    for look, which in (("certified bold", 0), ("worst bold", 1)):
        corners = line(picture, look)
        assert (np.diff(corners[:, 0]) >= 0).all()
        assert (np.diff(corners[:, 1]) >= 0).all()
        for radius in np.linspace(0.01, 0.99, 17) * high:
            share = report.robust(float(radius))[which]
            at = radius / high * 1000
            # In the middle of a step, or of one of the few that are drawn of many.
            shown = 1 - corners[corners[:, 0] <= at][-1, 1] / 1000
            assert shown == pytest.approx(share, abs=1e-3 if count < 300 else 0.01)


def test_what_no_attack_breaks_stays_above() -> None:
    report = made((0.1, 0.2), (5.0, inf), (10.0, inf))
    corners = line(svg(distribution_chart(report, FRAME)), "worst bold")
    assert corners[-1, 1] == pytest.approx(1000 / 3, abs=0.2)
    assert corners[-1, 0] == pytest.approx(1000, abs=0.2)
    text = printed(critical_radius_document(report))
    assert "none found" in text


@pytest.mark.parametrize(
    "ends",
    [
        [(0.0, 0.0)],
        [(0.0, inf)],
        [(0.0, 0.3)],
        [(1e-30, 1e-29)],
        [(10.0, inf), (0.0, 0.0)],
        [(1e-6, 10.0), (0.2, 9.0)],
    ],
)
def test_extreme_ends_are_shown(ends: list[tuple[float, float]]) -> None:
    report = made(*ends)
    document = critical_radius_document(report)
    page = document_to_html(document)
    assert "nan" not in page.split("</style>")[-1]
    assert "inf" not in re.sub(r"information|infinite", "", printed(document))
    assert '"schema": "sensverify.critical-radius/2"' in critical_radius_to_json(report)
    assert "Infinity" not in critical_radius_to_json(report)


def test_every_text_is_escaped() -> None:
    model = ModelFacts(EVIL, (EVIL, EVIL, EVIL), EVIL, EVIL, (4,), (3,), 10, None)
    facts = InputFacts(EVIL, EVIL, None, None, None, EVIL)
    page = document_to_html(
        critical_radius_document(
            made((0.1, 0.2), model=model, perturbation=facts, unit=EVIL, method=EVIL, device=EVIL)
        )
    )
    assert "<script" not in split_page(page)[0]


def test_many_samples_are_counted() -> None:
    report = made(*[(0.1, 0.2)] * (LISTED + 5))
    document = critical_radius_document(report)
    assert "… and 5 more samples" in document_to_html(document)
    assert f"… and {LISTED - 15:,} more samples" in printed(document)
    table = document_to_csv(document)["critical-radius"].splitlines()
    assert len(table) == LISTED + 6
    assert table[0] == "sample,label,prediction,proven,attacked,becomes,steps,stopped"


def test_an_unfinished_search_says_so() -> None:
    report = made((0.1, 0.2), (0.1, inf), interrupted=True, total=9)
    document = critical_radius_document(report)
    assert "7 samples not looked at" in printed(document)
    assert "Unfinished" in document_to_html(document)
    assert "Unfinished" not in document_to_html(critical_radius_document(made((0.1, 0.2))))


def test_summary_numbers() -> None:
    report = made((0.0, 0.0), (0.0, 0.3), (0.1, 0.4), (0.5, inf), (0.6, inf))
    summary = report.summary
    assert (summary.misclassified, summary.unproven, summary.unbroken) == (1, 1, 2)
    assert (summary.median_proven, summary.median_attacked) == (0.1, 0.4)
    # Of an even number both ends are the means of two, so that the true median lies between.
    even = made((0.1, 0.1), (0.3, 0.4), (0.5, 0.6), (0.7, 0.8)).summary
    assert even.median_proven <= 0.4 < even.median_attacked == 0.5
    assert made((0.1, 0.1), (0.3, inf)).summary.median_attacked == inf
    assert report.robust(0.0) == (0.6, 0.8)
    assert report.robust(0.1) == (0.6, 0.8)
    assert report.robust(0.3) == (0.4, 0.6)


def test_a_threshold_is_told() -> None:
    report = made((0.1, 0.2), asked={"threshold": 1.5})
    assert "above 1.5" in printed(critical_radius_document(report))
    assert '"threshold": 1.5' in critical_radius_to_json(report)
    assert '"threshold": null' in critical_radius_to_json(made((0.1, 0.2)))


def cards(report: CriticalRadiusReport) -> list[str]:
    page = document_to_html(critical_radius_document(report))
    return [card.split("</article>")[0] for card in page.split("<article ")[1:]]


def test_a_card_says_what_is_known_within_the_first_radius() -> None:
    report = made((0.1, 0.2), (0.05, 0.2), (0.05, 0.1), (0.0, 0.0), (0.0, inf))
    marks = [re.findall(r'data-mark="(\w+)"', card)[0] for card in cards(report)]
    assert marks == ["certified", "undecided", "changes", "changes", "undecided"]
    looks = [re.findall(r'<rect class="(\w+)"', card) for card in cards(report)]
    assert looks == [["kept", "unsure"], ["kept", "unsure"], ["kept", "unsure", "lost"], ["lost"],
                     ["unsure"]]  # fmt: skip
    assert 'data-keys="[1e999, 0, -1e999]"' in cards(report)[4]


def test_the_weakest_samples_are_drawn() -> None:
    report = made(*[(0.1, 9.0 - k % 7) for k in range(NOTABLE + 20)])
    drawn = [int(re.findall(r"<h3>Sample (\d+)</h3>", card)[0]) for card in cards(report)]
    assert drawn == [each.index for each in weakest(report.samples)]
    assert len(drawn) == NOTABLE
    left = {each.attacked for each in report.samples if each.index not in drawn}
    assert left <= {9.0, 8.0}


def test_images_stand_beside_what_changes_them() -> None:
    image = np.linspace(0, 1, 16).reshape(1, 4, 4)
    report = made((0.1, 0.2), (0.1, inf))
    changed = replace(report.samples[0], counterexample=1 - image)
    report = replace(
        report,
        samples=(changed, report.samples[1]),
        inputs={0: image, 1: image},
        pixels=(0.0, 1.0),
        model=replace(report.model, output_names=(EVIL, EVIL, EVIL)),
    )
    found = cards(report)
    assert [card.count("<img ") for card in found] == [3, 1]
    assert "difference, at most 1<" in found[0]
    assert not any("<script" in card for card in found)
