"""The protocol of an attack."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from sensverify.attacks.ascent import Function
from sensverify.attacks.sample_generator import SampleGenerator
from sensverify.core.box import Box


@runtime_checkable
class Attack(Protocol):
    """A way to look for inputs with another label: a frozen dataclass; its fields are settings.

    Attributes
    ----------
    name : str
        As the command line has it.
    nearest : bool
        Whether it looks for the nearest input with another label, wherever in the range of the
        features; otherwise for the worst input of a given box.
    gradients : bool
        Whether it follows gradients, those of a surrogate where there is one. An attack that does
        not only asks the network itself.
    source : str
        Publication that defines it.
    """

    name: ClassVar[str]
    nearest: ClassVar[bool]
    gradients: ClassVar[bool]
    source: ClassVar[str]

    def points(
        self, function: Function, x: Tensor, y: Tensor, box: Box, *, generator: SampleGenerator
    ) -> Tensor:
        """Points found by the attack: mathematics alone; `run_attack` validates before and after.

        Parameters
        ----------
        function : callable
            From inputs ``[batch, *features]`` to outputs ``[batch, classes]``, each sample by
            itself.
        x : Tensor, shape ``[batch, *features]``
        y : int64 Tensor, shape ``[batch]``
        box : Box of tensors like x
            Region of the points; for an attack with ``nearest`` the range of the features.
        generator : SampleGenerator
            Source of everything that is drawn: a sample's numbers do not depend on the others.

        Returns
        -------
        Tensor like x, detached: one point for every sample, its own where nothing worse was found.
        """
        ...
