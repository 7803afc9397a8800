"""The line of an index about a result, from its JSON, which strangers may have written."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from sensverify.errors import BadData
from sensverify.report.formatting import count_of, number
from sensverify.runs.json_text import LARGEST, parse_json

SCHEMA = re.compile(r"sensverify\.([a-z-]+)/(\d+)")

_LONGEST = 200
"""Characters of a text from a file."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A line of an index.

    Parameters
    ----------
    kind : str
        The command: ``verify``, ``evaluate``, ...
    name : str
        Of what the result is about.
    data, date : str
        Empty where nothing says.
    verdict, level : str
        In a word, and ``good``, ``bad`` or ``open``; empty where nothing was judged.
    figure : str
        What sums the result up.
    json, page : Path or None
        Files.
    problem : str
        Why a file is of no use; empty where it is good.
    title : str
        Of the page that shows the result.
    """

    kind: str
    name: str
    data: str = ""
    date: str = ""
    verdict: str = ""
    level: str = ""
    figure: str = ""
    json: Path | None = None
    page: Path | None = None
    problem: str = ""
    title: str = ""


def is_result(schema: str) -> bool:
    """Whether a schema is that of a result, of whatever version; of others, runs go on."""
    match = SCHEMA.fullmatch(schema)
    # Version 1 of these names is the record of a run that can be gone on with.
    return match is not None and match[1] in _KINDS


def result_entry(values: Any, schema: str, path: Path) -> Entry:
    """The line about a result.

    Parameters
    ----------
    values : Any
        Of its JSON.
    schema : str
        That the file names.
    path : Path
        Of the file.

    Raises
    ------
    BadData
        It is of a version that is not known, or a value is not what its schema says.
    """
    match = SCHEMA.fullmatch(schema)
    if match is None or int(match[2]) not in (1, 2):
        raise BadData(f"its schema {schema} is of a version that is not known here")
    kind = _KINDS[match[1]]
    parts = kind.read(values, path)
    name, word = _short(parts.pop("name")), kind.command
    date = _text(values, "date") if _at(values, "date") is not None else ""
    title = f"{name}: {kind.title}" if kind.title else ""
    told = {key: _short(parts.get(key, "")) for key in ("data", "verdict", "level", "figure")}
    return Entry(
        word,
        name,
        data=told["data"],
        date=_short(date),
        verdict=told["verdict"],
        level=told["level"],
        figure=told["figure"],
        json=path,
        title=title,
    )


def page_entry(title: str, path: Path) -> Entry:
    """The line about a page whose result is not there."""
    name, _, last = title.rpartition(": ")
    found = {kind.title: kind.command for kind in _KINDS.values() if kind.title}
    if name and last in found:
        return Entry(found[last], _short(name), page=path, title=title)
    return Entry("page", _short(title) or path.name, page=path, title=title)


def _at(values: Any, *keys: str) -> Any:
    """The value below some keys; None where there is none."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _wrong(*keys: str) -> BadData:
    return BadData(f"'{'.'.join(keys)}' is not what its schema says")


def _text(values: Any, *keys: str) -> str:
    found = _at(values, *keys)
    if not isinstance(found, str):
        raise _wrong(*keys)
    return found


def _number(values: Any, *keys: str) -> float | None:
    """A finite number, or None."""
    found = _at(values, *keys)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise _wrong(*keys)
    # Integers of JSON may be larger than any double.
    if not abs(found) < 1e300:
        raise _wrong(*keys)
    return float(found)


def _share(values: Any, *keys: str) -> float | None:
    """A share from 0 to 1, or None."""
    found = _number(values, *keys)
    if found is not None and not 0 <= found <= 1:
        raise _wrong(*keys)
    return found


def _count(values: Any, *keys: str) -> int:
    found = _number(values, *keys)
    if found is None or found != round(found) or found < 0:
        raise _wrong(*keys)
    return round(found)


def _list(values: Any, *keys: str) -> Sequence[Any]:
    found = _at(values, *keys)
    if not isinstance(found, list):
        raise _wrong(*keys)
    return found


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _gated(values: Values) -> dict[str, str]:
    """The verdict of the gates; of a run that was stopped, that it was."""
    gates = [] if _at(values, "gates") is None else _list(values, "gates")
    words = [_text(gate, "verdict") for gate in gates]
    for word in words:
        if word not in ("passed", "failed", "undecided"):
            raise _wrong("gates.verdict")
    if "failed" in words:
        return {"verdict": "failed", "level": "bad"}
    if _at(values, "interrupted") is True:
        return {"verdict": "interrupted", "level": "open"}
    if "undecided" in words:
        return {"verdict": "undecided", "level": "open"}
    return {"verdict": "passed", "level": "good"} if words else {}


def _model(values: Any) -> str:
    """The name of a model; version 1 has the path of its file alone."""
    if isinstance(_at(values, "model", "name"), str):
        return _text(values, "model", "name")
    path = _at(values, "model", "path")
    return "a network" if path is None else PurePath(_text(values, "model", "path")).stem


def _input(values: Values) -> str:
    for key in ("data", "box"):
        if _at(values, "input", key) is not None:
            return _text(values, "input", key)
    return ""


def _verify(values: Values, path: Path) -> dict[str, str]:
    figure = f"{count_of(_count(values, 'summary', 'samples'), 'sample')}"
    certified = _share(values, "summary", "certified_fraction")
    kept = _share(values, "summary", "prediction_kept_fraction")
    widest = _number(values, "summary", "max_width")
    if certified is not None:
        figure = f"certified {_percent(certified)} of {figure}"
    elif kept is not None:
        figure = f"prediction kept {_percent(kept)} of {figure}"
    elif widest is not None:
        figure = f"width up to {number(widest)}, {figure}"
    return {"name": _model(values), "data": _input(values), "figure": figure, **_gated(values)}


def _radius(values: Values, path: Path) -> dict[str, str]:
    median = _number(values, "summary", "median_proven")
    figure = count_of(_count(values, "summary", "samples"), "sample")
    if median is not None:
        figure = f"median radius {number(median)} proven, {figure}"
    return {"name": _model(values), "data": _input(values), "figure": figure, **_gated(values)}


def _calibrate(values: Values, path: Path) -> dict[str, str]:
    temperature = _number(values, "temperature")
    if temperature is None:
        raise _wrong("temperature")
    errors = [
        _share(values, part, "classified", "expected_calibration_error")
        for part in ("before", "after")
    ]
    figure = f"temperature {number(temperature)}"
    if errors[0] is not None and errors[1] is not None:
        figure += f", calibration error {_percent(errors[0])} to {_percent(errors[1])}"
    return {"name": _model(values), "data": _text(values, "data", "name"), "figure": figure}


def _diff(values: Values, path: Path) -> dict[str, str]:
    names = [_text(values, which, "name") for which in ("old", "new")]
    agrees, asked = (_number(values, "summary", key) for key in ("agrees", "asked"))
    largest = _number(values, "summary", "largest_difference")
    if agrees is None or not asked or largest is None:
        raise _wrong("summary")
    figure = f"{_percent(agrees / asked)} agree, outputs differ by at most {number(largest)}"
    data = values["input"] if isinstance(values.get("input"), dict) else {}
    source = data.get("data") or data.get("box") or ""
    return {"name": " and ".join(names), "data": str(source), "figure": figure}


def _slopes(values: Values, path: Path) -> dict[str, str]:
    constant = _number(values, "summary", "lipschitz", "l2")
    if constant is None:
        raise _wrong("summary")
    figure = f"Lipschitz constants of at most {number(constant)}"
    data = values["input"] if isinstance(values.get("input"), dict) else {}
    source = data.get("data") or data.get("box") or ""
    return {"name": _model(values), "data": str(source), "figure": figure}


def _property(values: Values, path: Path) -> dict[str, str]:
    verdict, seconds = _text(values, "verdict"), _number(values, "seconds")
    levels = {"unsat": "good", "sat": "bad", "unknown": "open", "timeout": "open"}
    if verdict not in levels or seconds is None:
        raise _wrong("verdict")
    question = PurePath(_text(values, "property", "path")).name
    level = levels[verdict]
    told = {"verdict": verdict, "level": level, "figure": f"{number(seconds)} s"}
    return {"name": _model(values), "data": question, **told}


def _evaluate(values: Values, path: Path) -> dict[str, str]:
    models = _list(values, "models")
    if not models:
        raise _wrong("models")
    names = ", ".join(_model(model) for model in models)
    shares = {}
    for word, *keys in (
        ("clean", "clean", "share"),
        ("under attack", "worst", "rate", "share"),
        ("certified", "certified", "rate", "share"),
    ):
        found = [_share(model, "scores", "summary", *keys) for model in models]
        known = [share for share in found if share is not None]
        if known:
            shares[word] = _percent(max(known))
    figure = ", ".join(f"{word} {share}" for word, share in shares.items())
    if len(models) > 1:
        figure = f"{len(models)} networks, the best: {figure}"
    return {
        "name": names,
        "data": _text(values, "data", "name"),
        "figure": figure,
        **_gated(values),
    }


def _benchmark(values: Values, path: Path) -> dict[str, str]:
    total, done, decided, wrong, right = (
        _count(values, "summary", key) for key in ("total", "done", "decided", "wrong", "right")
    )
    failed, gated = _at(values, "failed") or {}, _list(values, "fail_on")
    if wrong or failed or _list(values, "disagreements"):
        told = {"verdict": "failed", "level": "bad"}
    elif done < total:
        told = {"verdict": "unfinished", "level": "open"}
    elif gated and _number(values, "summary", "verdicts", "error"):
        # What ended with an error may be what none should end with.
        told = {"verdict": "undecided", "level": "open"}
    elif right or gated:
        told = {"verdict": "passed", "level": "good"}
    else:
        told = {}
    name = PurePath(_text(values, "folder")).name or "benchmark"
    return {
        "name": name,
        "data": _text(values, "method"),
        "figure": f"decided {decided:,} of {total:,}",
        **told,
    }


def _analyse(values: Values, path: Path) -> dict[str, str]:
    sources = (PurePath(_text(each, "path")).name for each in _list(values, "sources"))
    networks, shifts = len(_list(values, "networks")), len(_list(values, "shifts"))
    return {
        "name": _text(values, "kind"),
        "data": ", ".join(sources),
        "figure": f"{count_of(networks, 'network')}, {count_of(shifts, 'shift')}",
    }


def _check(values: Values, path: Path) -> dict[str, str]:
    holds = _at(values, "holds")
    if not isinstance(holds, bool):
        raise _wrong("holds")
    name = PurePath(_text(values, "certificate", "path")).name
    model = PurePath(_text(values, "model", "path")).name
    if holds:
        claims = count_of(_count(values, "claims"), "claim")
        return {
            "name": name,
            "data": model,
            "verdict": "certified",
            "level": "good",
            "figure": claims,
        }
    return {
        "name": name,
        "data": model,
        "verdict": "rejected",
        "level": "bad",
        "figure": _text(values, "reason"),
    }


def _training(values: Values, path: Path) -> dict[str, str]:
    told = {}
    if _at(values, "interrupted") is True:
        told = {"verdict": "interrupted", "level": "open"}
    error = _share(values, "metrics", "test", "err")
    figure = count_of(_count(values, "epochs"), "epoch")
    if error is not None:
        figure = f"{_percent(error)} of test samples wrong, {figure}"
    config = _at(values, "config")
    if config is None:
        # The result in a run directory leaves that to a file beside it.
        config = _beside(path.with_name("config.json"))
    name, data = _at(config, "model", "name"), _at(config, "data", "name")
    return {
        "name": name if isinstance(name, str) else path.resolve().parent.name,
        "data": data if isinstance(data, str) else "",
        "figure": figure,
        **told,
    }


def _beside(path: Path) -> Any:
    """The values of a file; None where it is of no use."""
    try:
        return read_values(path)
    except (BadData, OSError, ValueError):
        return None


def read_values(path: Path) -> Any:
    """The values of a JSON file that is not too large.

    Raises
    ------
    BadData
        It is larger than `LARGEST`, no plain file, or no JSON.
    OSError
    ValueError
        It nests too deeply.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise BadData("it is no plain file")
    with path.open("rb") as stream:
        stored = stream.read(LARGEST + 1)
    if len(stored) > LARGEST:
        raise BadData(f"it has more than {LARGEST >> 20} MiB, and was not read")
    try:
        return parse_json(stored.decode("utf-8"), parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise BadData(f"it is no JSON: {error.msg}, line {error.lineno}") from None
    except UnicodeDecodeError:
        raise BadData("it is no text in UTF-8") from None


def _no_number(text: str) -> float:
    raise BadData(f"it holds {text}, which is no number of JSON")


@dataclass(frozen=True)
class _Kind:
    """A kind of result: the command, the end of its page's title, and who reads it."""

    command: str
    title: str
    read: Callable[[Values, Path], dict[str, str]]


_KINDS = {
    "analyse": _Kind("study analyse", "analysis of scores", _analyse),
    "benchmark": _Kind("benchmark", "benchmark", _benchmark),
    "calibrate": _Kind("calibrate", "temperature scaling", _calibrate),
    "check": _Kind("check", "check", _check),
    "critical-radius": _Kind("critical radius", "critical radii", _radius),
    "diff": _Kind("diff", "differences", _diff),
    "evaluate": _Kind("evaluate", "evaluation", _evaluate),
    "property": _Kind("property", "", _property),
    "slopes": _Kind("slopes", "slopes", _slopes),
    "train-result": _Kind("train", "training", _training),
    "verify": _Kind("verify", "output bounds", _verify),
}
