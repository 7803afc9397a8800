"""Results and pages below a folder, found by what they say of themselves."""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

from sensverify.errors import BadData, InputError
from sensverify.report.index.entries import (
    Entry,
    is_result,
    page_entry,
    read_values,
    result_entry,
)

TITLE = "Index of reports"

FILES = 20_000
"""Files with these endings that are looked at; the others are counted."""

_HEAD = 1 << 14
"""Bytes of a file that say what it is."""

_SCHEMA = re.compile(rb'\A\s*\{\s*"schema"\s*:\s*"(sensverify\.[a-z-]{1,40}/\d{1,4})"')
_MADE_HERE = b'<meta name="generator" content="sensverify">'

_OWN_NAMES = {"result": "report", "evaluation": "report"}
"""Results of run folders, and the page that shows each, without their endings."""


@dataclass(frozen=True)
class ReportIndex:
    """All reports below a folder.

    Parameters
    ----------
    folder : Path
    entries : tuple of Entry
        The newest first.
    left_out : int
        Files that were not looked at, as there are too many.
    unread : int
        Files and folders that could not be read.
    """

    folder: Path
    entries: tuple[Entry, ...]
    left_out: int = 0
    unread: int = 0

    @property
    def broken(self) -> tuple[Entry, ...]:
        """Results that are of no use."""
        return tuple(entry for entry in self.entries if entry.problem)


def find_reports(folder: Path, *, leave_out: Path | None = None) -> ReportIndex:
    """The results and pages of this package below a folder.

    Links are not followed, and nothing but plain files is opened. A page and a result of one
    folder belong together where they have one name, or where the title says so of one page alone.

    Parameters
    ----------
    folder : Path
    leave_out : Path, optional
        Where the index will be: an earlier one there is not listed.

    Raises
    ------
    InputError
        There is no such folder, or it cannot be read.
    BadData
        There is no report below it.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}'")
    results: list[Entry] = []
    pages: list[Entry] = []
    refused: list[OSError] = []
    looked = 0
    for path in _files(folder, refused.append):
        looked += 1
        if looked > FILES:
            continue
        try:
            page = path.suffix == ".html"
            found = _page(path) if page else _result(path)
            if found is not None and not _is(leave_out, path, found):
                (pages if page else results).append(found)
        except OSError as error:
            refused.append(error)
    entries = sorted(_paired(results, pages), key=lambda e: str(e.json or e.page))
    if not entries:
        raise BadData(
            f"there is no report below '{folder}'",
            "write some with `json` or `report`, or name another folder",
        )
    entries.sort(key=lambda entry: entry.date, reverse=True)
    return ReportIndex(folder, tuple(entries), max(0, looked - FILES), len(refused))


def _files(folder: Path, refuse: Callable[[OSError], None]) -> Iterator[Path]:
    """Plain files that may be results or pages, in the order of their names."""
    for place, below, names in os.walk(folder, onerror=refuse):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.suffix in (".json", ".html"):
                with suppress(OSError):
                    if stat.S_ISREG(path.lstat().st_mode):
                        yield path


def _is(index: Path | None, path: Path, found: Entry) -> bool:
    """Whether a file is the index of an earlier run, and no report that has its name."""
    if index is None or not found.title.endswith(f": {TITLE.lower()}"):
        return False
    return os.path.realpath(path) == os.path.realpath(index)


def _start(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_HEAD)


def _result(path: Path) -> Entry | None:
    """The line about a file that calls itself a result; None for other files."""
    match = _SCHEMA.match(_start(path))
    schema = "" if match is None else match[1].decode("ascii")
    if not is_result(schema):
        return None
    try:
        return result_entry(read_values(path), schema, path)
    except (BadData, ValueError, RecursionError) as error:
        text = error.problem if isinstance(error, BadData) else str(error)
        kind = schema.removeprefix("sensverify.").partition("/")[0]
        problem = " ".join(str(text).split())[:200]
        return Entry(kind, path.name, verdict="broken", level="open", json=path, problem=problem)


class _Title(HTMLParser):
    """The title of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.inside, self.ended, self.text = False, False, ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.inside = tag == "title" and not self.ended

    def handle_endtag(self, tag: str) -> None:
        self.ended = self.ended or tag == "title"
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.text += data


def _page(path: Path) -> Entry | None:
    """The line about a page that was made here; None for other pages."""
    start = _start(path)
    if _MADE_HERE not in start:
        return None
    parser = _Title()
    # The style sheet, which comes after the title, may be cut off in the middle.
    parser.feed(start.partition(b"<style")[0].decode("utf-8", errors="replace"))
    return page_entry(" ".join(parser.text.split()), path)


def _paired(results: list[Entry], pages: list[Entry]) -> Iterator[Entry]:
    """Results with their pages, and the pages that are left."""
    left = {page.page: page for page in pages}
    beside: dict[Path, list[Entry]] = defaultdict(list)
    for page in pages:
        assert page.page is not None
        beside[page.page.parent].append(page)
    unpaired = []
    for result in results:
        assert result.json is not None
        stem = result.json.stem
        names = (stem, *([_OWN_NAMES[stem]] if stem in _OWN_NAMES else []))
        places = [result.json.with_name(f"{name}.html") for name in names]
        place = next((each for each in places if each in left), None)
        if place is None:
            unpaired.append(result)
        else:
            del left[place]
            yield replace(result, page=place)
    titles: dict[tuple[Path, str], int] = defaultdict(int)
    for result in unpaired:
        assert result.json is not None
        titles[result.json.parent, result.title] += 1
    for result in unpaired:
        assert result.json is not None
        same = [
            page.page
            for page in beside[result.json.parent]
            if page.page in left and result.title and page.title == result.title
        ]
        # Of several with one title nobody knows which is whose.
        if len(same) == 1 and titles[result.json.parent, result.title] == 1:
            del left[same[0]]
            yield replace(result, page=same[0])
        else:
            yield result
    yield from left.values()
