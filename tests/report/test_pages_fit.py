"""Pages of benchmarks, checks, trainings and folders in a browser: they fit, and print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensverify.certificates import Claims
from sensverify.evaluation import calibrate_temperature
from sensverify.report.benchmark.document import benchmark_document
from sensverify.report.calibration.document import calibration_document
from sensverify.report.certificates.document import check_document
from sensverify.report.document import Document
from sensverify.report.html import document_to_html
from sensverify.report.index.document import index_document
from sensverify.report.index.find import find_reports
from sensverify.report.training.document import training_document
from sensverify.training import fit
from tests.browser import Browser
from tests.report.benchmark.test_document import earlier, found, made
from tests.report.certificates.test_certified import checked_report, with_claims
from tests.report.index.results import KINDS, result, write
from tests.training.trainings import blobs, plain_model, quick

LONG = "a-rather-long-name_of_a_file-without-a-space-in-it-" * 3


def benchmark(folder: Path) -> Document:
    here = [found(f"{LONG}{k}", "unsat", 0.01 * 1.3**k) for k in range(30)]
    there = [found(f"{LONG}{k}", "sat" if k % 9 == 0 else "unsat", 3.0) for k in range(25)]
    noted = replace(here[0], note="why this is so: " + LONG)
    others = (earlier(*there), earlier(*there, method=LONG))
    return benchmark_document(made([noted, *here[1:]], 40, compared=others, fail_on=("unsat",)))


def check(folder: Path) -> Document:
    rows = np.random.default_rng(0).normal(size=(1, 3, 40))
    claims = Claims(np.zeros((4, 50)), np.ones((4, 50)), rows, np.zeros((4, 3)))
    certificate = with_claims(claims, provenance={LONG: LONG, "settings": {LONG: [LONG] * 9}})
    return check_document(checked_report(certificate=certificate, path=LONG, model=LONG))


def rejected(folder: Path) -> Document:
    return check_document(checked_report(checked=None, reason=f"the file {LONG} is another one"))


def training(folder: Path) -> Document:
    run = fit(plain_model(), blobs(), "cross-entropy + 1e-5*l2", quick(epochs=2), out=folder / "r")
    return training_document(replace(run, resumed=(1, 2)))


def interrupted(folder: Path) -> Document:
    run = fit(plain_model(), blobs(), "base", quick(epochs=1))
    stopped = replace(run, interrupted=True, metrics_test=None, directory=folder / LONG)
    return training_document(stopped)


def calibration(folder: Path) -> Document:
    found = calibrate_temperature("digits", "digits")
    return calibration_document(replace(found, data=LONG))


def index(folder: Path) -> Document:
    for kind in KINDS:
        write(folder / "kept" / LONG / f"{kind}.json", result(kind))
    write(folder / "kept" / "broken.json", {"schema": "sensverify.verify/2"})
    return index_document(find_reports(folder / "kept"), folder / "index.html")


PAGES = (benchmark, check, rejected, training, interrupted, calibration, index)


@pytest.mark.parametrize("make", PAGES)
def test_a_page_is_quiet_fits_and_prints(
    browser: Browser, tmp_path: Path, make: Callable[[Path], Document]
) -> None:
    page = tmp_path / "page.html"
    page.write_text(document_to_html(make(tmp_path)), encoding="utf-8")
    browser.fits(page, [(390, "light"), (1280, "dark")])
    assert 1 <= browser.sheets() <= 12


def test_instances_are_searched_and_sorted(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(document_to_html(benchmark(tmp_path)), encoding="utf-8")
    browser.open(page)
    shown = "[...document.querySelectorAll('table[data-search] tbody tr')].filter(r => !r.hidden)"
    assert browser.ask(f"{shown}.length") == 40
    browser.ask(
        "(() => { const box = document.querySelector('input[type=search]');"
        "box.value = 'left'; box.dispatchEvent(new Event('input')); })()"
    )
    assert browser.ask(f"{shown}.length") == 10
