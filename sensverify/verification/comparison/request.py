"""The request of a comparison of two networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import nn

from sensverify.bounds.method import Method
from sensverify.classification.sources import Part
from sensverify.core.box import Array
from sensverify.core.gates import LimitLike, read_limits
from sensverify.core.numbers import RangeShare
from sensverify.errors import BadSetting
from sensverify.network import Network
from sensverify.registry.ranges import Above0, Count
from sensverify.verification.request import VerifyRequest

LIMITED = ("min_agreement", "max_disagreement", "max_difference")
"""Fields that set a limit."""

_OWN = ("old", "new", "pair", "rigorous", *LIMITED)


@dataclass(frozen=True, kw_only=True)
class DiffRequest:
    """Two networks, and the inputs on which they are compared.

    Parameters
    ----------
    old, new : str, Path, torch.nn.Module or Network
        As of `VerifyRequest`; with inputs and outputs of the same shapes. Samples that ship with
        the old one are those of both.
    data, part, samples, sigma, clip, box, data_dir, method, settings, timeout, threads, device, \
seed, memory, input, output, input_shape, runtime_check
        As of `VerifyRequest`. All bounds are computed in float64.
    radius : float, str, Path, RangeShare or array, optional
        How far each feature may move. Default: not at all.
    pair : bool
        Whether neurons that correspond are paired, where the two have the same structure.
    min_agreement, max_disagreement : float, str or Limit, optional
        Limits of the shares of samples on whose box the two provably decide alike, and of those
        with an input on which they do not.
    max_difference : float, str or Limit, optional
        No output of one may be further from that of the other than this, proven.
    rigorous : bool
        Re-derive every bound with rigorous arithmetic, and report what comes out there; the
        report then holds a certificate. Only of methods that hand out proofs.

    Raises
    ------
    BadSetting, BadBox
        Two answers to one question, or a number that cannot be one.
    """

    old: str | Path | Network | nn.Module
    new: str | Path | Network | nn.Module
    data: Any = None
    part: Part | None = None
    samples: tuple[int | None, int | None] | None = None
    radius: float | str | RangeShare | Path | Array | None = None
    sigma: float | str | None = None
    clip: tuple[float, float] | None = None
    box: Path | None = None
    method: str | Method = "crown"
    settings: Mapping[str, Any] = field(default_factory=dict)
    timeout: Above0 | None = None
    threads: Count | None = None
    device: str = "cpu"
    seed: int = 0
    memory: int | None = None
    data_dir: Path | None = None
    input: str | None = None
    output: str | None = None
    input_shape: tuple[int, ...] | None = None
    runtime_check: bool = True
    pair: bool = True
    min_agreement: LimitLike | None = None
    max_disagreement: LimitLike | None = None
    max_difference: LimitLike | None = None
    rigorous: bool = False

    def __post_init__(self) -> None:
        # Both are asked the same, so that what is wrong with it is said at once.
        self.of(self.old)
        for name, limit in read_limits(self, LIMITED).items():
            if limit.value < 0:
                raise BadSetting(f"`{name}` must be at least 0, got {limit.value:g}")

    @property
    def baseline(self) -> None:
        """Limits are numbers: a comparison is its own baseline."""
        return None

    def of(self, model: str | Path | Network | nn.Module) -> VerifyRequest:
        """The question about one of the two, on its own."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OWN}
        if (self.radius, self.sigma, self.box) == (None, None, None):
            own["radius"] = 0.0
        return VerifyRequest(model, dtype="float64", **own)
