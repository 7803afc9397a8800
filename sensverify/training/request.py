"""A training as a person asks for it: everything by name."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from sensverify.data import Split, load_split
from sensverify.data.catalog import find_file
from sensverify.errors import BadSetting, InputError
from sensverify.models.architectures import build_for
from sensverify.training.losses.recipes import resolve_loss
from sensverify.training.plan import trained_on
from sensverify.training.settings import TrainSettings
from sensverify.training.standardise import Standardise

CONFIG = "config.json"
KEY = "request"
"""The entry of a run's configuration that `TrainRequest.as_dict` gives."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """Data, model, loss and settings of one training, all as plain values.

    Parameters
    ----------
    data : str
        As for `load_split`.
    model : str
        As for `build_for`.
    loss : str
        The name of a recipe, or a weighted sum of terms.
    standardise : bool
        Whether the model's first layer takes the mean of the training samples from every feature
        and divides by the deviation.
    settings : TrainSettings

    Raises
    ------
    UnknownName, BadSetting
        There is no such loss, or it perturbs the inputs and the settings have no radius.
    """

    data: str
    model: str
    loss: str = "base"
    standardise: bool = False
    settings: TrainSettings = field(default_factory=TrainSettings)

    def __post_init__(self) -> None:
        settings = self.settings
        if resolve_loss(self.loss).perturbs and settings.sigma is None and settings.radius is None:
            raise BadSetting(
                f"the loss '{self.loss}' perturbs the inputs, and nothing says how far",
                "give `sigma` (a share of every feature's range) or `radius` (in their units)",
            )

    def prepare(self, *, data_dir: str | Path | None = None) -> tuple[Split, nn.Module]:
        """The data and the freshly initialised model.

        Raises
        ------
        SensverifyError
            There are no such data, there is no such architecture, or they do not fit together.
        """
        split = load_split(self.data, data_dir=data_dir)
        return split, self.build(split)

    def build(self, split: Split) -> nn.Module:
        """The freshly initialised model for data that are loaded.

        Raises
        ------
        InputError
            There is no such architecture, or it does not fit the data.
        """
        shape = tuple(int(n) for n in split.train.x.shape[1:])
        module = build_for(self.model, shape, split.classes, seed=self.settings.seed)
        if self.standardise:
            used = split.train.x[trained_on(split, self.settings)]
            layers = module if isinstance(module, nn.Sequential) else (module,)
            module = nn.Sequential(Standardise.of(used), *layers)
        return module

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them; the data's file by its whole path."""
        return {
            "data": whole_path(self.data),
            "model": self.model,
            "loss": self.loss,
            "standardise": self.standardise,
            "settings": self.settings.as_dict(),
        }

    def description(self, out: str | Path) -> dict[str, Any]:
        """Notes for `fit` on the training, for its configuration and the model's card."""
        return {"model": self.model, KEY: self.as_dict(), "recipe": self.command(out)}

    def command(self, out: str | Path) -> str:
        """The command that asks for the same, with those settings that are not the defaults.

        The data's file goes by its name alone: where it was is nobody's business.
        """
        file = find_file(self.data)
        data = self.data if file is None else str(replace(file, path=Path(file.path.name)))
        words = ["sensverify", "train", "--data", data, "--model", self.model]
        words += ["--loss", self.loss, *(["--standardise"] if self.standardise else [])]
        for setting in fields(self.settings):
            value = getattr(self.settings, setting.name)
            if value != setting.default:
                names = isinstance(value, tuple) and all(isinstance(each, str) for each in value)
                values = (",".join(value),) if names else value
                values = values if isinstance(values, tuple) else (values,)
                words += [f"--{setting.name.replace('_', '-')}", *map(str, values)]
        return shlex.join([*words, "--out", str(out)])


def whole_path(data: str) -> str:
    """A data file's whole path, so that it is found from anywhere; a data set's name as it is."""
    file = find_file(data)
    return data if file is None else str(file.whole())


def kept_request(directory: str | Path) -> dict[str, Any]:
    """The values of `TrainRequest.as_dict` when the run in a directory began.

    Raises
    ------
    InputError
        The directory is not one of `sensverify train`.
    """
    path = Path(directory) / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kept = values[KEY]
        wanted = {"data": str, "model": str, "loss": str, "standardise": bool, "settings": dict}
        if all(isinstance(kept[name], kind) for name, kind in wanted.items()):
            # Earlier versions had fewer settings.
            settings = {**TrainSettings().as_dict(), **kept["settings"]}
            return {name: kept[name] for name in wanted} | {"settings": settings}
        raise KeyError(KEY)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, FileNotFoundError):
            raise InputError(
                f"there is no training in '{directory}' to go on with",
                "to begin one, give `data` and `model` too",
            ) from None
        reason = error.strerror if isinstance(error, OSError) else "it does not say what it trains"
        raise InputError(
            f"cannot go on in '{directory}': '{path}' is not the configuration of a run of "
            f"'sensverify train' ({reason}); a training that was begun from Python is resumed "
            "there, by fit(..., resume=True)"
        ) from None
