"""Corrupted samples: computed or read, and made once for all networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sensverify.classification.perturbation import Perturbation
from sensverify.classification.samples import Samples
from sensverify.corruptions import CORRUPTIONS, Corruption, corrupt
from sensverify.data.corrupted import CorruptedSet, find_corrupted
from sensverify.errors import BadShape
from sensverify.evaluation.request import EvaluateRequest
from sensverify.evaluation.task import EvaluationTask

COMPUTED = "computed"


@dataclass(eq=False)
class CorruptedSamples:
    """Corrupted samples, kept from one network to the next.

    Parameters
    ----------
    request : EvaluateRequest
    samples : Samples
    perturbation : Perturbation
    premade : CorruptedSet or None
        Samples that somebody else has corrupted.
    own : mapping from str to Corruption
        The caller's own corruptions.
    """

    request: EvaluateRequest
    samples: Samples
    perturbation: Perturbation
    premade: CorruptedSet | None
    own: Mapping[str, Corruption] = field(default_factory=dict)
    _last: tuple[str, Tensor] | None = field(default=None, repr=False)

    @property
    def images(self) -> Tensor:
        """All samples, ``[samples, channels, rows, columns]``, on the CPU."""
        return torch.from_numpy(self.samples.x)

    @property
    def pixels(self) -> tuple[float, float]:
        """Values of black and white: the clip range, else 0 and 1."""
        clip = self.perturbation.clip
        return clip if clip is not None and self.perturbation.bounded else (0.0, 1.0)

    @property
    def here(self) -> dict[str, int]:
        """Corruptions that are read, with their severities."""
        return {} if self.premade is None else self.premade.corruptions

    def find(self, name: str) -> Corruption:
        """A corruption that is computed, by its name."""
        return self.own.get(name) or CORRUPTIONS[name]

    def severities(self, name: str) -> int:
        """Number of severities of a corruption."""
        return self.here[name] if name in self.here else self.find(name).severities

    def why_not(self, name: str) -> str | None:
        """Reason why these samples cannot be had under a corruption; None where they can."""
        if name in self.here:
            return None
        return self.find(name).incompatibility(self.samples.x.shape[1:]) or self.why_no_images

    @property
    def why_no_images(self) -> str | None:
        """Reason why these samples are no images to corrupt; None where they are."""
        if self.samples.image_shape is None:
            return "it is for images, and these samples are none"
        low, high = self.pixels
        x = self.samples.x
        if x.min() >= low and x.max() <= high:
            return None
        return (
            "it needs to know which values are black and white, and the samples span "
            f"[{x.min():g}, {x.max():g}]; give that range with `clip=LO HI`"
        )

    def parameter(self, task: EvaluationTask) -> str:
        """Meaning of a severity, as text; empty where nobody says."""
        if task.name in self.here:
            return ""
        assert isinstance(task.at, int)
        rows, columns = self.samples.x.shape[-2:]
        return self.find(task.name).parameter_text(task.at, (rows, columns))

    def source(self, task: EvaluationTask) -> str:
        """``computed``, or the file that the images are read from."""
        if self.premade is None or task.name not in self.here:
            return COMPUTED
        return str(self.premade.files[task.name].images)

    def version(self, task: EvaluationTask) -> str:
        """A text that differs where other images come of it: other parameters, or other files."""
        if self.premade is None or task.name not in self.here:
            return f"{COMPUTED} {self.parameter(task)}"
        file = self.premade.files[task.name]
        stats = [path.stat() for path in (file.images, file.labels)]
        return " ".join(f"{stat.st_size} {stat.st_mtime_ns}" for stat in stats)

    def at(self, task: EvaluationTask, *, count: int | None = None) -> Tensor:
        """The first samples, or all of them, under a corruption."""
        whole = count is None
        if whole and self._last is not None and self._last[0] == task.key:
            return self._last[1]
        found = self._read(task, count) if task.name in self.here else self._computed(task, count)
        if whole:
            self._last = task.key, found
        return found

    def _computed(self, task: EvaluationTask, count: int | None) -> Tensor:
        assert isinstance(task.at, int)
        return corrupt(
            self.images[:count],
            self.find(task.name),
            task.at,
            seed=self.request.seed,
            places=self.samples.places[:count],
            pixels=self.pixels,
        )

    def _read(self, task: EvaluationTask, count: int | None) -> Tensor:
        assert self.premade is not None
        assert isinstance(task.at, int)
        places, labels = self.samples.places[:count], self.samples.labels[:count]
        images, _ = self.premade.read(task.name, task.at, indices=places, labels=labels)
        if images.shape[1:] != self.samples.x.shape[1:]:
            raise BadShape(
                f"'{self.source(task)}' has images of shape {images.shape[1:]}, and the samples "
                f"have shape {self.samples.x.shape[1:]}"
            )
        low, high = self.pixels
        return low + (high - low) * torch.from_numpy(images)


def corrupted_samples(
    request: EvaluateRequest, samples: Samples, perturbation: Perturbation
) -> CorruptedSamples:
    """The samples of a request, to be corrupted.

    Raises
    ------
    BadData, UnknownName
        The set of corrupted samples is not there, or not about that many samples.
    """
    premade = None
    if request.corrupted is not None:
        premade = find_corrupted(
            request.corrupted, data_dir=request.data_dir, samples=samples.available
        )
    own = CORRUPTIONS.own_objects(request.corruptions or ())
    return CorruptedSamples(request, samples, perturbation, premade, own)
