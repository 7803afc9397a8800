"""The request of a verification run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sensverify.bounds.method import Method
from sensverify.data.dataset import Dataset
from sensverify.errors import BadBox, BadSetting
from sensverify.formats.onnx.ends import Ends
from sensverify.registry.calls import parse_call
from sensverify.registry.ranges import Above0, AtLeast0, Count
from sensverify.registry.settings import check_settings


@dataclass(frozen=True)
class VerifyRequest:
    """One question about one model. What is None comes from the model's card, where it has one.

    Parameters
    ----------
    model : str
        Name of a shipped model, or path of an ``.onnx`` or ``.onnx.gz`` file.
    data : str or Dataset, optional
        Name of a data set, or path of an ``.npz`` file with x, and maybe y and feature_range.
    samples : (start, stop), optional
        Samples to take, counted from 0, without ``stop``; an open end is None.
    radius : float or Path, optional
        Half-width of the input box in the units of the features: one number, or a ``.npy`` file
        with one value for each feature. Not together with ``sigma``.
    sigma : float, optional
        Half-width as a share of each feature's range over the training data.
    clip : (low, high), optional
        Range every feature is kept in; an end may be infinite.
    box : Path, optional
        An ``.npz`` file with ``lower`` and ``upper`` (and maybe labels ``y``) instead of data and
        perturbation.
    method : str or Method
        A name, a call with settings, or an object.
    settings : mapping
        Further fields of the method's dataclass, as text or as they are.
    timeout : float, optional
        Seconds that a method may take for all samples together, shared out by the samples left.
        What it returns by then is proven. Only for methods that take a watch (``anytime``) or
        have a setting ``seconds``.
    objective_timeout : float, optional
        Seconds for each end of each output. Only for methods with a setting
        ``objective_seconds``.
    gap : float, optional
        Relative distance between the proven and the attained end that counts as exact. Only for
        methods with a setting ``gap``.
    threads : int, optional
        Only for methods with a setting ``threads``.
    device : str
        ``cpu`` or ``cuda``.
    dtype : str, optional
        ``float32`` or ``float64``. Default: what the method asks for, float64 for the exact ones,
        else float32.
    seed : int
        Seeds the search for inputs that change the label, and a method that draws random numbers.
    memory : int, optional
        Budget for the bounds, in bytes.
    data_dir : Path, optional
    input, output : str, optional
        Values of the file at which the network begins and ends; default: its only input, and its
        only output or the logits of its label and probabilities.
    input_shape : tuple of int, optional
        Shape of one sample, without a batch axis, where the file leaves lengths open.
    probabilities : bool
        Bound the probabilities of the classes, too: what the file makes of its logits, or a
        softmax of the outputs. The thresholds are then about those.
    max_log_volume, max_width : float, optional
        Thresholds; every sample must stay at or below them.
    rigorous : bool
        Re-derive every bound with rigorous arithmetic, and report what comes out there; the
        report then holds a certificate. Only of methods that hand out proofs.
    runtime_check : bool
        Compare the model with onnxruntime when it is read; see ``load_onnx``.

    Raises
    ------
    BadSetting, BadBox
        Two answers to one question, or a number that cannot be one.
    """

    model: str
    data: str | Dataset | None = None
    samples: tuple[int | None, int | None] | None = None
    radius: float | Path | None = None
    sigma: float | None = None
    clip: tuple[float, float] | None = None
    box: Path | None = None
    method: str | Method = "crown"
    settings: Mapping[str, Any] = field(default_factory=dict)
    timeout: Above0 | None = None
    objective_timeout: Above0 | None = None
    gap: AtLeast0 | None = None
    threads: Count | None = None
    device: str = "cpu"
    dtype: str | None = None
    seed: int = 0
    memory: int | None = None
    data_dir: Path | None = None
    input: str | None = None
    output: str | None = None
    input_shape: tuple[int, ...] | None = None
    probabilities: bool = False
    max_log_volume: float | None = None
    max_width: float | None = None
    rigorous: bool = False
    runtime_check: bool = True

    @property
    def method_name(self) -> str:
        """The name of the method, without settings."""
        return parse_call(self.method).name if isinstance(self.method, str) else self.method.name

    @property
    def ends(self) -> Ends:
        """The part of the file that the network is: up to the logits."""
        return Ends(self.input, self.output, self.input_shape, head="peel")

    def __post_init__(self) -> None:
        for name in ("box", "data_dir", "radius"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        if self.radius is not None and self.sigma is not None:
            raise BadSetting("give `radius` or `sigma`, not both")
        if self.box is not None:
            for name in ("data", "radius", "sigma", "clip"):
                if getattr(self, name) is not None:
                    raise BadSetting(f"`box` is the whole input box: leave `{name}` out")
        for name in ("radius", "sigma"):
            value = getattr(self, name)
            if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
                raise BadBox(f"`{name}` must be a finite number of at least 0, got {value:g}")
        if self.clip is not None and not self.clip[0] <= self.clip[1]:
            raise BadBox(f"`clip` needs LO <= HI, got {self.clip[0]:g} {self.clip[1]:g}")
        check_settings(self, only=("timeout", "objective_timeout", "gap", "threads"))
        if self.dtype not in (None, "float32", "float64"):
            raise BadSetting(f"`dtype` must be float32 or float64, got {self.dtype!r}")
        for name in ("max_log_volume", "max_width"):
            value = getattr(self, name)
            if value is not None and math.isnan(value):
                raise BadSetting(f"`{name}` must be a number, got nan")
