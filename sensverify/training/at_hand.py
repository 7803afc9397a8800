"""Training from Python in one call: a module and data as they are at hand."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from sensverify.data import Split, load_split
from sensverify.data.memory import given_data
from sensverify.data.split import make_split
from sensverify.errors import BadSetting
from sensverify.training.fit import TrainResult, fit
from sensverify.training.losses.loss import Loss
from sensverify.training.losses.recipes import Recipe
from sensverify.training.settings import TrainSettings

_SETTINGS = {each.name for each in fields(TrainSettings)}


def train(
    module: nn.Module,
    data: Any,
    loss: str | Loss | Recipe = "base",
    settings: TrainSettings | None = None,
    *,
    y: Any = None,
    test: Any = None,
    data_dir: str | Path | None = None,
    **more: Any,
) -> TrainResult:
    """Train a classifier, in place, on samples as they are at hand.

    Parameters
    ----------
    module : torch.nn.Module
        Takes ``[batch, *features]`` and returns one output for each class.
    data : Split, Dataset, pair, array, tensor, loader or str
        Training and test samples: a `Split`, a pair of arrays ``(x, y)``, a ``DataLoader``, the
        name of a data set or the path of its file. Without ``test``, every fifth sample of what has
        no parts of its own is a test sample, and is not trained on.
    loss : str, Loss or Recipe
        A recipe's name, a sum of terms such as ``cross-entropy + 0.02*sensitivity(form=log)``, or
        an object.
    settings : TrainSettings, optional
        Or its fields one by one: ``epochs``, ``sigma`` or ``radius``, ``clip``, ``seed``, ...
    y : array or tensor, optional
        Labels ``[samples]``, where ``data`` are samples alone.
    test : Dataset, pair or loader, optional
        Test samples with their labels.
    data_dir : str or Path, optional
        Folder that is searched first for a named data set.
    **more
        Fields of `TrainSettings`, and what `sensverify.training.fit` takes beside them: ``out``,
        ``resume``, ``watch``, ``progress``, ``description``.

    Returns
    -------
    TrainResult

    Raises
    ------
    SensverifyError
        As of `sensverify.training.fit`; or settings are given twice.

    Examples
    --------
    >>> import torch
    >>> import sensverify as sv
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    >>> data = sv.load_data("iris")
    >>> loss = "cross-entropy + 0.1*sensitivity(form=softplus)"
    >>> result = sv.train(module, (data.x, data.y), loss, epochs=2, sigma=0.05, metric_samples=0)
    >>> result.epochs, 0 <= result.metrics_test.err <= 1
    (2, True)
    """
    own = {name: more.pop(name) for name in tuple(more) if name in _SETTINGS}
    if settings is None:
        settings = TrainSettings(**own)
    elif own:
        raise BadSetting(
            f"there are `settings`, and {', '.join(own)} beside them",
            "give all to TrainSettings, or each by itself",
        )
    return fit(module, _split(data, y, test, data_dir), loss, settings, **more)


def _split(data: Any, y: Any, test: Any, data_dir: str | Path | None) -> Split:
    """The two parts of what is given."""
    if test is None:
        return load_split(given_data(data, y), data_dir=data_dir)
    parts = given_data(data, y), given_data(test)
    if any(isinstance(part, str | Split) or callable(part) for part in parts):
        raise BadSetting(
            "`test` stands beside samples that have no parts of their own",
            "give both as pairs (x, y), or leave `test` out",
        )
    return make_split(*parts, rule="the parts are those that were given")
