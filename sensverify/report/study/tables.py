"""Tables of a study as CSV and Markdown, and their numbers as text."""

from __future__ import annotations

import csv
import io
import math

from sensverify.measures import SHARES
from sensverify.report.study.contents import VOLUMES, StudyTable, Value
from sensverify.report.words import pretty_number

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def unit(column: str) -> str:
    """What stands behind a column's name: ``%`` for shares."""
    return " (%)" if column in SHARES else ""


def value_text(column: str, value: Value | None) -> str:
    """A value for people: ``2.26 ± 0.12``, ``5.53 × 10³ ×÷ 1.3``; a dash for None."""
    centre, spread = value_parts(column, value)
    return f"{centre} {spread}" if spread else centre


def value_parts(column: str, value: Value | None) -> tuple[str, str]:
    """A value, and its spread with the sign before it (empty where there is none)."""
    if value is None:
        return "–", ""
    if value.geometric:
        factor = value.factor
        return _power(value.centre), "" if factor is None else f"×÷ {_factor(factor)}"
    scale = 100.0 if column in SHARES else 1.0
    centre, deviation = scale * value.centre, value.spread
    places = 2 if column in SHARES else _places(centre)
    if deviation is None:
        return _decimals(centre, places), ""
    if column not in SHARES:
        # No more digits than the spread leaves any meaning.
        places = max(min(places, _places(scale * deviation) - 1), 0)
    return _decimals(centre, places), f"± {_decimals(scale * deviation, places)}"


def table_csv(table: StudyTable) -> str:
    """A table as CSV with every digit: mean and standard deviation in columns of their own.

    Of SENSE, the geometric mean and the factor exp(standard deviation of the logarithms), then the
    arithmetic mean and standard deviation.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [column for column in table.columns if column not in VOLUMES]
    header = ["loss", "source", "seeds"]
    for column in table.columns:
        header += (
            [f"{column}_geometric_mean", f"{column}_factor", f"{column}_mean", f"{column}_std"]
            if column in VOLUMES
            else [f"{column}_mean", f"{column}_std"]
        )
    writer.writerow(header)
    for row in table.rows:
        cells = [row.name, row.published or "this study", str(row.seeds or "")]
        for column in table.columns:
            value = row.values.get(column)
            if column in columns:
                cells += _pair(value)
            else:
                cells += ["", ""] if value is None else [_full(value.number), _full(value.factor)]
                cells += _pair(row.values.get(f"{column}_ARITHMETIC"))
        writer.writerow(cells)
    return text.getvalue()


def table_markdown(table: StudyTable) -> str:
    """A table as GitHub shows it; the smallest mean of every column is bold."""
    columns = table.used_columns()
    lines = [
        "| loss | " + " | ".join(f"{column}{unit(column)}" for column in columns) + " |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for row in table.rows:
        name = f"*{_cell(row.published)}*" if row.published else _cell(row.name)
        cells = []
        for column in columns:
            text = value_text(column, row.values.get(column))
            if row.published:
                text = f"*{text}*" if column in row.values else ""
            elif table.is_best(row, column):
                text = f"**{text}**"
            cells.append(text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """A text from outside in a cell of Markdown."""
    return "".join(f"\\{c}" if c in "\\|*_<>[]`" else c for c in " ".join(text.split()))


def _pair(value: Value | None) -> list[str]:
    return ["", ""] if value is None else [_full(value.centre), _full(value.spread)]


def _full(value: float | None) -> str:
    return "" if value is None else repr(value)


def _places(value: float) -> int:
    """Decimals that show three significant digits."""
    if value == 0 or not math.isfinite(value):
        return 3
    return max(0, 2 - math.floor(math.log10(abs(value))))


def _decimals(value: float, places: int) -> str:
    if not math.isfinite(value):
        return str(value).replace("-", "\N{MINUS SIGN}").replace("inf", "∞")
    if abs(value) >= 1e6 or places > 6:
        return pretty_number(float(f"{value:.3g}"))
    return f"{value:.{places}f}".replace("-", "\N{MINUS SIGN}")


def _power(log: float) -> str:
    """The number with this natural logarithm, three digits, also where no double holds it."""
    if log == -math.inf:
        return "0"
    tens = log / math.log(10)
    if -3 <= tens < 3:
        number = math.exp(log)
        return _decimals(number, _places(number))
    power = math.floor(tens)
    digits = f"{10 ** (tens - power):.2f}"
    if digits == "10.00":
        digits, power = "1.00", power + 1
    return (
        f"{digits}\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}10"
        f"{str(power).translate(_RAISED)}"
    )


def _factor(factor: float) -> str:
    return f"{factor:.2f}" if factor < 10 else pretty_number(float(f"{factor:.2g}"))
