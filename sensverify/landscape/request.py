"""A landscape as a person asks for it: everything by name, in a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import nn

from sensverify.data import Split, load_split
from sensverify.data.catalog import DATA_SETS
from sensverify.data.files import DataFile
from sensverify.errors import BadSetting
from sensverify.landscape.activations import ACTIVATIONS, with_activation
from sensverify.landscape.network_energy import NetworkEnergy, Samples
from sensverify.landscape.settings import TABLES, Settings
from sensverify.models.architectures import build_for
from sensverify.registry.calls import Call, parse_call
from sensverify.registry.settings import fit_settings, settings_of
from sensverify.runs.toml_file import read_toml
from sensverify.training.losses.loss import Loss
from sensverify.training.standardise import Standardise

Part = Literal["train", "test", "all"]


@dataclass(frozen=True, kw_only=True)
class LandscapeRequest:
    """The energy of a network's weights, and how it is searched.

    Parameters
    ----------
    data : str
        As for `load_split`.
    model : str
        As for `build_for`.
    activation : str
        A call of `ACTIVATIONS`, in the place of every ReLU.
    part : "train", "test" or "all"
        The samples that the loss is taken on.
    standardise : bool
        Whether the model's first layer takes the mean of the training samples from every feature
        and divides by the deviation.
    loss : str
        Terms of the catalog, without chance and without bounds.
    l2 : float
        Weight of the sum of the squares of all weights and biases.
    relu : bool
        Whether every minimum is continued to ReLU; of softplus alone.
    kinks : bool
        Whether activations and terms with kinks are searched as they are.
    scale : float
        Random starts are the architecture's initial weights times this.
    title : str
        Of the report.
    settings : Settings

    Raises
    ------
    UnknownName, BadSetting
        There is no such activation or loss; or there is nothing to continue to ReLU.
    """

    data: str
    model: str
    activation: str = "softplus(beta=10)"
    part: Part = "train"
    standardise: bool = False
    loss: str = "cross-entropy"
    l2: float = 0.001
    relu: bool = False
    kinks: bool = False
    scale: float = 1.0
    title: str = ""
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        ACTIVATIONS.make(self.activation)
        Loss.parse(self.loss)
        if self.part not in ("train", "test", "all"):
            raise BadSetting(f"`part` is train, test or all, got {self.part!r}")
        if self.relu and parse_call(self.activation).name != "softplus":
            raise BadSetting(
                f"`relu` continues softplus to ReLU, and the activation is '{self.activation}'",
                "give `activation` softplus(beta=10), or leave `relu` out",
            )
        if not 0 <= self.l2 < float("inf"):
            raise BadSetting(f"`l2` needs a number of at least 0, got {self.l2}")
        if not 0 < self.scale < float("inf"):
            raise BadSetting(f"`scale` needs a number above 0, got {self.scale}")

    @property
    def remarks(self) -> tuple[str, ...]:
        """Warnings about the energy, before anything is searched."""
        found = []
        if self.l2 == 0:
            found.append(
                "without L2 the energy has flat directions, or falls for ever as weights grow: "
                "points have zero modes, searches run away, and equivalent points are not told"
            )
        if self.kinks:
            found.append(
                "kinks are taken as they are: ends of descents at kinks have no curvatures, and "
                "are marked unless a combination of gradients nearby is nearly 0"
            )
        return tuple(found)

    @property
    def beta(self) -> float:
        """Of the softplus that is searched."""
        values = ACTIVATIONS.fitted(parse_call(self.activation))
        return float(values.get("beta", 10.0))

    def as_dict(self) -> dict[str, Any]:
        """Plain values; `of` reads them."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {"landscape": plain, **self.settings.as_dict()}

    @classmethod
    def of(cls, tables: Mapping[str, Any], *, folder: Path = Path()) -> LandscapeRequest:
        """From the tables of a file.

        Parameters
        ----------
        tables : mapping
        folder : Path
            Where data files are looked for that are given without their whole path.

        Raises
        ------
        UnknownName, BadSetting
            A name is none of these, or a value cannot be right.
        """
        for name in tables:
            if name not in ("landscape", *TABLES):
                raise BadSetting(
                    f"the file knows no table [{name}]",
                    f"it knows {', '.join(('landscape', *TABLES))}",
                )
        asked = tables.get("landscape")
        if not isinstance(asked, Mapping):
            raise BadSetting(f"the file needs a table [landscape], got {asked!r}")
        known = {k: v for k, v in settings_of(LandscapeRequest).items() if k in _PLAIN}
        values = fit_settings("[landscape]", known, asked)
        values["data"] = _data(str(values["data"]), folder)
        return cls(**values, settings=Settings.of({k: tables[k] for k in TABLES if k in tables}))

    def split(self, *, data_dir: str | Path | None = None) -> Split:
        """The data."""
        return load_split(self.data, data_dir=data_dir)

    def energy(
        self,
        *,
        data_dir: str | Path | None = None,
        activation: str | None = None,
        split: Split | None = None,
    ) -> NetworkEnergy:
        """The energy that is searched.

        Parameters
        ----------
        data_dir : path, optional
        activation : str, optional
            Another one than that of the request; kinks are fine then.
        split : Split, optional
            The data, where they are loaded.

        Raises
        ------
        SensverifyError
            There are no such data, there is no such architecture, or they do not fit together.
        """
        split = self.split(data_dir=data_dir) if split is None else split
        layers = partial(_build, self.model, split, self.standardise)
        module = with_activation(layers(0), self.activation if activation is None else activation)
        return NetworkEnergy(
            module,
            self.samples(split),
            loss=self.loss,
            l2=self.l2,
            kinks=self.kinks or activation is not None,
            make=layers,
            scale=self.scale,
        )

    def relu_energy(self, split: Split) -> NetworkEnergy:
        """The energy with ReLU, as the architecture has it."""
        return self.energy(activation="relu", split=split)

    def smooth_energy(self, split: Split, beta: float) -> NetworkEnergy:
        """The energy with softplus of a beta."""
        return self.energy(activation=str(Call("softplus", {"beta": beta})), split=split)

    def samples(self, split: Split) -> Samples:
        """The samples that the loss is taken on."""
        parts = {"train": (split.train,), "test": (split.test,), "all": (split.train, split.test)}
        chosen = parts[self.part]
        x = np.concatenate([each.x for each in chosen])
        return Samples(x, np.concatenate([np.asarray(each.y) for each in chosen]))


_PLAIN = (
    *("title", "data", "model", "activation", "part", "standardise", "loss", "l2", "relu"),
    *("kinks", "scale"),
)


def read_landscape(path: Path) -> LandscapeRequest:
    """The landscape that a TOML file describes.

    ::

        [landscape]
        title = "Iris"
        data = "iris"                     # a name, or a file beside this one
        model = "iris"                    # as of 'train'
        activation = "softplus(beta=10)"  # tanh, gelu, ...; in the place of every ReLU
        standardise = true
        loss = "cross-entropy"
        l2 = 0.001                        # times the squares of all weights and biases
        relu = true                       # continue every minimum to ReLU
        [search]                          # see `Search`
        starts = 64
        rounds = 10
        [descent]                         # `Lbfgs`, and so on for every table of `Settings`
        tolerance = 1e-6

    Raises
    ------
    InputError
        The file cannot be read or is no TOML.
    BadSetting, UnknownName
        Its contents are no landscape; the message says where.

    Examples
    --------
    >>> from pathlib import Path
    >>> text = '[landscape]\\ndata = "iris"\\nmodel = "mlp-8"\\nactivation = "tanh"'
    >>> _ = Path("iris.toml").write_text(text)
    >>> asked = read_landscape(Path("iris.toml"))
    >>> asked.l2, asked.settings.search.starts
    (0.001, 32)
    >>> asked.energy().size
    67
    """
    return read_toml(path, partial(LandscapeRequest.of, folder=path.parent))


def _build(model: str, split: Split, standardise: bool, seed: int) -> nn.Module:
    shape = tuple(int(n) for n in split.train.x.shape[1:])
    module = build_for(model, shape, split.classes, seed=seed)
    if standardise:
        layers = module if isinstance(module, nn.Sequential) else (module,)
        module = nn.Sequential(Standardise.of(split.train.x), *layers)
    return module


def _data(data: str, folder: Path) -> str:
    """Data of a name, or the whole path of a file beside the landscape's own."""
    file = None if data in DATA_SETS else DataFile.find(str(folder / data))
    return data if file is None else str(file.whole())
