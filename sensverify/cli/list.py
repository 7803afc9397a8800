"""``sensverify list``: everything that has a name on the command line."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import click

from sensverify.cli.extras import table
from sensverify.cli.options import quiet_option
from sensverify.cli.printing import show
from sensverify.cli.remedies import with_options

if TYPE_CHECKING:
    from sensverify.data.catalog import DataSet
    from sensverify.errors import SensverifyError
    from sensverify.registry.catalog import Catalog
    from sensverify.registry.listing import Listing

CATALOGS = {
    "methods": ("sensverify.bounds.method:METHODS",),
    "deciders": ("sensverify.bounds.method:DECIDERS",),
    "models": (),
    "data": ("sensverify.data.catalog:DATA_SETS",),
    "losses": ("sensverify.training.losses.recipes:RECIPES", "sensverify.training.losses:TERMS"),
    "optimisers": (
        "sensverify.training.optimisers:OPTIMISERS",
        "sensverify.training.schedules:SCHEDULES",
        "sensverify.training.sharpness:SHARPNESS",
    ),
    "architectures": (
        "sensverify.models.architectures:ARCHITECTURES",
        "sensverify.models.architectures:FAMILIES",
    ),
    "attacks": ("sensverify.attacks.attack:ATTACKS", "sensverify.attacks.grids:GRIDS"),
    "corruptions": (
        "sensverify.corruptions.registry:CORRUPTIONS",
        "sensverify.corruptions.sequences:SEQUENCES",
    ),
    "augmentations": (
        "sensverify.training.augment.catalog:AUGMENTATIONS",
        "sensverify.corruptions.registry:CORRUPTIONS",
    ),
    "measures": ("sensverify.measures.catalog:MEASURES",),
    "analyses": (
        "sensverify.studies.analyses:ANALYSES",
        "sensverify.scores.catalog:ANALYSES",
        "sensverify.scores.nas.strategies:STRATEGIES",
    ),
    "operators": (),
    "extras": (),
}
"""Catalogs of every list; nothing is imported before it is asked for."""

WHAT = tuple(CATALOGS)


@click.command("list")
@click.argument("what", metavar="WHAT", type=click.Choice(WHAT))
@click.option("--data-dir", type=click.Path(), help="Folder that 'list data' looks into first.")
@quiet_option()
def list_names(what: str, data_dir: str | None) -> None:
    """List what has a name on the command line.

    \b
    WHAT is one of
      methods, deciders, models          of verify; deciders answer a --property
      losses, optimisers, architectures  of train
      augmentations                      of train: what is done to images before
      attacks, corruptions, measures     of evaluate
      analyses                           of study
      data                               data sets, and sets of corrupted images
      operators                          of networks, and which methods know each
      extras                             optional parts, and the packages they need

    Other packages add names by entry points.

    \b
    Examples:
      sensverify list methods
      sensverify list losses
      sensverify list measures
      sensverify list data --data-dir ~/data
    """
    from sensverify.report.document import Cell, Column, Document, Row, Section, Table

    sections = []
    for header, rows in _tables(what, data_dir):
        names, *others = (Column(title, align="left") for title in header)
        lines = [
            Row(name, [Cell(text) for text in texts])
            for row in rows
            # A terminal ends no line within a cell: names from elsewhere could begin the next one.
            for name, *texts in zip_longest(*(each.split("\n") for each in row), fillvalue="")
        ]
        sections.append(Section("", "", [Table([replace(names, wrap="whole"), *others], lines)]))
    show(Document(sections=sections))


def _tables(what: str, data_dir: str | None) -> list[Listing]:
    from sensverify.registry.listing import list_tables

    if what == "models":
        return [_models()]
    if what == "operators":
        return _operators()
    if what == "extras":
        return [(("extra", "packages", "here", "for"), table())]
    catalogs = [resolve_name(name) for name in CATALOGS[what]]
    if what != "data":
        return list_tables(catalogs)
    from sensverify.data.corrupted import SUMMARIES, missing_corrupted

    columns = {"here": lambda each: "yes" if each.available(data_dir) else "no"}
    corrupted = {name: missing_corrupted(name, data_dir) for name in SUMMARIES}
    lines: list[tuple[str, ...]] = [
        (name, "no" if corrupted[name] else "yes", summary) for name, summary in SUMMARIES.items()
    ]
    return [
        *list_tables(catalogs, columns),
        (("for --corrupted", "here", "what it is, and who defined it"), lines),
        *_missing_data(catalogs[0], data_dir, corrupted),
    ]


def _missing_data(
    catalog: Catalog[DataSet], data_dir: str | None, others: dict[str, SensverifyError | None]
) -> list[Listing]:
    """Why data sets are not here, and what to do."""
    errors = {name: each.missing(data_dir) for name, each in catalog.working().items()} | others
    rows: list[tuple[str, ...]] = [
        (name, error.problem, with_options(error.remedy, list_names))
        for name, error in errors.items()
        if error is not None
    ]
    return [(("not here", "why", "what to do"), rows)] if rows else []


def _models() -> Listing:
    from sensverify import models

    rows: list[tuple[str, ...]] = []
    for name in models.names():
        card = models.card(name)
        inputs = "x".join(str(n) for n in card.input_shape)
        accuracy = f"{100 * card.accuracy['test']:.1f} %"
        counts = (str(card.outputs), f"{card.parameters:,}", accuracy)
        rows.append((name, inputs, *counts, card.description))
    return ("model", "inputs", "outputs", "parameters", "accuracy", "description"), rows


def _operators() -> list[Listing]:
    from sensverify.network.operators import Operator
    from sensverify.registry.names import summary_of
    from sensverify.verification.support import (
        EVERY,
        onnx_operators,
        operator_support,
        torch_operators,
        word_of,
    )

    known = operator_support()

    def words(operator: type[Operator] | None) -> tuple[str, ...]:
        each = EVERY if operator is None else known[operator]
        exact = each.splitting or each.program is True
        found = (each.intervals, each.lines, exact, each.program, each.certificate)
        return tuple(map(word_of, found))

    methods = ("ibp", "crown", "exact", "milp", "proof")
    own = [(each.__name__, *words(each), summary_of(each).replace("`", "")) for each in known]
    files = [(name, *words(each), note) for name, each, note in onnx_operators()]
    modules: list[tuple[str, ...]] = [("modules", ", ".join(torch_operators()))]
    return [
        (("operator of a network", *methods, "what it is"), own),
        (("operator of an ONNX file", *methods, "where"), files),
        (("", "operators of torch, as traces name them"), modules),
    ]
