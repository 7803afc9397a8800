"""Sections of a study's report that are analyses of its table of scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sensverify.errors import BadSetting, InputError, SensverifyError
from sensverify.registry.calls import parse_call
from sensverify.report import document as doc
from sensverify.report.scores.document import Analysed
from sensverify.scores.catalog import ANALYSES, analyse
from sensverify.scores.papers import find_papers, papers
from sensverify.scores.read import read_scores
from sensverify.scores.table import Scores


def check_analyses(asked: Any, where: str) -> tuple[str, ...]:
    """Calls of `sensverify.scores.catalog.ANALYSES`, checked as far as they can be without scores.

    Raises
    ------
    UnknownName, BadSetting
        They are no list of calls, or one is of something else, or is there twice.
    """
    if not isinstance(asked, list) or not all(isinstance(each, str) for each in asked):
        raise BadSetting(
            f'{where} needs a list of analyses of scores such as ["transfer"], got {asked!r}'
        )
    twice = next((each for each in asked if asked.count(each) > 1), None)
    if twice is not None:
        raise BadSetting(f"{where} has '{twice}' twice", "name it once")
    for each in asked:
        try:
            ANALYSES.fitted(parse_call(each))
        except InputError as error:
            raise error.about(where) from None
    return tuple(asked)


def check_papers(asked: Any, analyses: Sequence[str], where: str) -> tuple[str, ...]:
    """Names of printed tables, each of which has the numbers of one of some analyses.

    Raises
    ------
    UnknownName, BadSetting
        They are no list of names, or one cannot stand below any of the analyses.
    """
    if not isinstance(asked, list) or not all(isinstance(each, str) for each in asked):
        raise BadSetting(
            f'{where} needs a list of printed tables such as ["laugros-table3.2"], got {asked!r}'
        )
    try:
        find_papers(asked, [parse_call(each).name for each in analyses])
    except InputError as error:
        raise error.about(where) from None
    return tuple(asked)


def scored_sections(
    folder: Path, calls: Sequence[str], papers: Sequence[str] = ()
) -> tuple[doc.Section, ...]:
    """A section for every analysis, which says why where the table has no answer.

    Parameters
    ----------
    folder : Path
        Of the study.
    calls : sequence of str
        As `check_analyses` gives them.
    papers : sequence of str
        As `check_papers` gives them.
    """
    if not calls:
        return ()
    try:
        scores = read_scores([folder])
    except SensverifyError as error:
        found = [_without(each, error) for each in calls]
    else:
        found = [_section(scores, each, papers) for each in calls]
    return tuple(_apart(found))


def _section(scores: Scores, call: str, names: Sequence[str]) -> doc.Section:
    try:
        result = analyse(call, scores)
        parsed = parse_call(call)
        fitting = [name for name in names if papers()[name].fits(parsed.name)]
        printed = find_papers(fitting, [parsed.name])
        made = Analysed(scores=scores, call=parsed, result=result, papers=printed).section
    except SensverifyError as error:
        return _without(call, error)
    return replace(made, blocks=(_said(call), *made.blocks))


def _without(call: str, error: SensverifyError) -> doc.Section:
    name = parse_call(call).name
    why = f"The study has no answer: {error}."
    blocks = (
        doc.Notice([why], "open", on=doc.PAGE),
        doc.Text(f"{call}: {why}", "open", on=doc.TERMINAL),
    )
    return doc.Section(name, name.capitalize(), (_said(call), *blocks))


def _said(call: str) -> doc.Block:
    return doc.Text(doc.Span(call, "code"), "note", on=doc.PAGE)


def _apart(sections: Sequence[doc.Section]) -> Sequence[doc.Section]:
    """Sections whose anchors and tables of data all have names of their own."""
    anchors: dict[str, int] = {}
    tables: dict[str, int] = {}

    def own(name: str, seen: dict[str, int]) -> str:
        seen[name] = seen.get(name, 0) + 1
        return name if seen[name] == 1 else f"{name}-{seen[name]}"

    return [
        replace(
            section,
            anchor=own(f"analysis-{section.anchor}", anchors),
            data=[replace(data, name=own(data.name, tables)) for data in section.data],
        )
        for section in sections
    ]
