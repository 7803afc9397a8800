"""Evaluations of a study: what every trained network is put through, and its result beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensverify.errors import BadSetting, InputError, SensverifyError
from sensverify.runs.watch import Watch
from sensverify.studies.values import check_keys

if TYPE_CHECKING:
    from sensverify.evaluation.request import EvaluateRequest
    from sensverify.training.settings import Device

RESULT = "evaluation.json"
"""The result in the run directory of a training."""

JOURNAL = "evaluation"
"""The folder there, that keeps every finished task."""

_PARTS = ("attacks", "certify", "corruptions", "sequences", "measures")
_NUMBERS = ("radii", "sigmas", "severities", "clip", "samples")
_OTHERS = ("count", "train_samples", "corrupted", "seed", "bins", "success", "memory")
_KEYS = (*_PARTS, *_NUMBERS, *_OTHERS)


def read_evaluate(asked: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The table ``[evaluate]``, as `EvaluateRequest` takes it; parts it does not name are left out.

    ::

        [evaluate]
        corruptions = ["imagenet-c"]
        attacks = ["pgd(steps=10)"]
        radii = [0.1]
        count = 1000

    Raises
    ------
    UnknownName, BadSetting
        It names nothing to do, something that there is not, or a value that cannot be one.
    """
    check_keys(asked, _KEYS, where)
    for name in _PARTS:
        given = asked.get(name, [])
        if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
            raise BadSetting(f"{where}: {name} needs a list of names, got {given!r}")
    if not any(asked.get(name) for name in _PARTS):
        raise BadSetting(f"{where} names nothing to do", f"give one of {', '.join(_PARTS)}")
    for name in _NUMBERS:
        _check_numbers(asked.get(name, [0]), f"{where}: {name}", text=name == "radii")
    if not isinstance(asked.get("corrupted", ""), str):
        raise BadSetting(f"{where}: corrupted needs a name or a folder")
    try:
        _check_names(_request("network", asked))
    except InputError as error:
        raise error.about(where) from None
    return dict(asked)


def count_tasks(asked: Mapping[str, Any]) -> dict[str, int]:
    """Evaluations of one network, by kind, where its data allow them all.

    Parameters
    ----------
    asked : mapping
        As `read_evaluate` gives it. A set that somebody else has made is not looked at: without
        ``corruptions``, what it holds is not counted.
    """
    from sensverify.attacks.attack import ATTACKS
    from sensverify.corruptions import CORRUPTIONS, SEQUENCES
    from sensverify.evaluation.request import MULTIPLES
    from sensverify.measures.catalog import find_measures

    request = _request("network", asked)
    named = request.radii if request.sigmas is None else request.sigmas
    # Without, they follow from the radius of the training.
    radii = len(MULTIPLES if named is None else {each for each in named if each != 0})
    attacks = [ATTACKS.resolve(each)[1] for each in request.attacks or ()]
    severities = set(request.severities)
    corruptions = CORRUPTIONS.select(asked.get("corruptions", ()))
    found = {
        "attacks": sum(1 if each.nearest else radii for each in attacks),
        "proofs": radii * len(request.certify or ()),
        "corruptions": sum(
            sum(each <= CORRUPTIONS[name].severities for each in severities) for name in corruptions
        ),
        "sequences": len(SEQUENCES.select(asked.get("sequences", ()))),
        "measures": len(find_measures(asked["measures"])) if asked.get("measures") else 0,
    }
    return {kind: count for kind, count in found.items() if count}


def evaluate_training(
    folder: Path,
    name: str,
    asked: Mapping[str, Any],
    *,
    data: str,
    device: Device,
    threads: int | None,
    data_dir: str | None,
    watch: Watch,
) -> bool:
    """Evaluate the network of a run directory, and write the result there.

    Finished tasks are kept in the folder, so that one that is broken off repeats none.

    Parameters
    ----------
    folder : Path
    name : str
        Of the network in the result.
    asked : mapping
        As `read_evaluate` gives it.
    data : str
        What the network was trained on.
    device, threads
        Of the training.
    data_dir : str or None
    watch : Watch

    Returns
    -------
    bool
        False where the watch was over before the end; then nothing is written.

    Raises
    ------
    SensverifyError
        The network cannot be evaluated as asked.
    """
    from sensverify.bounds.threads import torch_threads
    from sensverify.evaluation import evaluate
    from sensverify.report.evaluation.json import evaluation_to_json
    from sensverify.runs.files import replace_file, writing

    request = replace(
        _request(str(folder), asked),
        data=data,
        device=device,
        data_dir=None if data_dir is None else Path(data_dir),
        out=folder / JOURNAL,
        resume=True,
    )
    try:
        with torch_threads(threads):
            found = evaluate(request, watch=watch)
    except SensverifyError as error:
        raise error.about(f"evaluation of '{name}'") from None
    if found.interrupted:
        return False
    (model,) = found.models
    found = replace(found, models=(replace(model, model=replace(model.model, name=name)),))
    path = folder / RESULT
    with writing(path):
        replace_file(path, evaluation_to_json(found).encode())
    return True


def _request(model: str, asked: Mapping[str, Any]) -> EvaluateRequest:
    from sensverify.evaluation.request import EvaluateRequest

    values: dict[str, Any] = {name: () for name in _PARTS}
    values |= {k: tuple(v) if isinstance(v, list) else v for k, v in asked.items()}
    if "corrupted" in asked and "corruptions" not in asked:
        # All that the folder holds.
        del values["corruptions"]
    return EvaluateRequest(models=(model,), **values)


def _check_names(request: EvaluateRequest) -> None:
    from sensverify.attacks.attack import ATTACKS
    from sensverify.bounds.method import METHODS
    from sensverify.corruptions import CORRUPTIONS, SEQUENCES
    from sensverify.measures.catalog import find_measures

    checks: tuple[tuple[str, Callable[[Any], Any]], ...] = (
        ("attacks", lambda names: [ATTACKS.resolve(each) for each in names]),
        ("certify", lambda names: [METHODS.resolve(each) for each in names]),
        ("corruptions", CORRUPTIONS.select if request.corrupted is None else list),
        ("sequences", SEQUENCES.select),
        ("measures", find_measures),
    )
    for name, check in checks:
        if asked := getattr(request, name):
            check(asked)


def _check_numbers(given: Any, place: str, *, text: bool) -> None:
    """Refuse what is no list of finite numbers, or of texts such as ``8/255`` where these do."""
    kinds = (int, float, str) if text else (int, float)
    fine = isinstance(given, list) and all(
        isinstance(each, kinds) and not isinstance(each, bool) for each in given
    )
    if not fine or not given or not all(isinstance(e, str) or -inf < e < inf for e in given):
        raise BadSetting(f"{place} needs a list of numbers, got {given!r}")
