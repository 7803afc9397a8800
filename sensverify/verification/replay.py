"""Inputs replayed through the original model, by what shares no code with the bounds.

An ONNX file is run by onnxruntime; a module without a file runs itself, in double precision.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sensverify.core.box import Box
from sensverify.core.sets import InputSet
from sensverify.formats.onnx.ends import WHOLE, Ends
from sensverify.formats.onnx.heads import Head
from sensverify.formats.onnx.original import OriginalFile
from sensverify.models.loading import LoadedModel
from sensverify.network import Network
from sensverify.network.signature import Signature
from sensverify.verification.one_output import threshold_scores

if TYPE_CHECKING:
    from sensverify.classification.rivals import Rivals

_SHARES = (1e-6, 1e-5, 1e-4, 1e-3)
"""By how much, of its way, a point that was rounded out of an input set is moved back."""


_LOG = logging.getLogger(__name__)

Kinds = Sequence[tuple[slice, Any]]
"""The types of several inputs, with the places of their numbers."""


@dataclass(frozen=True, eq=False)
class Replayed:
    """One input, run by the original model.

    Parameters
    ----------
    point : numpy array, shape ``[*input_shape]``
        The input as the file took it, in the type of the file's input.
    outputs : numpy array, shape ``[outputs]``
        Flattened, in the type of the file's output; see `OriginalFile.outputs`.
    outside : int
        Features of the point that are just outside of the box, since it holds no number of that
        type there.
    """

    point: np.ndarray
    outputs: np.ndarray
    outside: int = 0

    def differs(self, label: int | Rivals) -> bool:
        """Whether some output is above the label's, or the one class of rivals lost its place."""
        if not np.isfinite(self.outputs).all():
            return False
        import torch

        from sensverify.classification.rivals import Rivals

        # Exact in float64, as is a difference's sign.
        values = torch.from_numpy(self.outputs.astype(np.float64)).unsqueeze(0)
        if not isinstance(label, Rivals):
            label = Rivals.of(torch.tensor([label]), values.shape[1])
        return bool(label.loss(values)[0] > 0)


class Original(Protocol):
    """A model that runs one sample at a time; `OriginalFile` may have `kinds` of several inputs."""

    @property
    def dtype(self) -> Any:
        """Type of its input in numpy."""

    def outputs(self, sample: np.ndarray) -> np.ndarray:
        """Outputs of one sample in that type, flattened."""


class Replay:
    """An ONNX file in onnxruntime, opened when there is a first input to replay; or an object.

    What cannot be run confirms nothing; one message in the log says so.

    Parameters
    ----------
    original : Path or callable
        ``.onnx`` or ``.onnx.gz``; or what makes the `Original` that has no file.
    ends, head
        See `OriginalFile`.
    threshold : float, optional
        That makes scores of two classes of the file's one output.
    signature : Signature, optional
        Of the file; see `OriginalFile`.
    """

    def __init__(
        self,
        original: Path | Callable[[], Original],
        ends: Ends = WHOLE,
        head: Head | None = None,
        threshold: float | None = None,
        signature: Signature | None = None,
    ) -> None:
        self.of_file, self.head = isinstance(original, Path), head
        self._open: Callable[[], Original]
        if isinstance(original, Path):
            self._open = partial(OriginalFile, original, ends, head, signature)
        else:
            self._open = original
        self._threshold = threshold
        self._original: Original | None = None
        self._failed = False

    @classmethod
    def of(cls, model: LoadedModel, threshold: float | None = None) -> Replay:
        """Of a model's file, or of the object that has none."""
        if model.path is not None:
            return cls(model.path, model.ends, model.head, threshold, model.signature)
        if isinstance(model.original, Network):
            return cls(partial(OriginalNetwork, model.original), threshold=threshold)
        from sensverify.formats.modules.original import OriginalModule

        return cls(partial(OriginalModule, model.original), threshold=threshold)

    @property
    def failed(self) -> bool:
        """True where the model could not be run."""
        return self._failed

    def counterexamples(
        self, points: np.ndarray, box: Box, labels: np.ndarray | Rivals
    ) -> list[Replayed | None]:
        """Points where labels have lost their places, as the file took them; None for the others.

        Parameters
        ----------
        points : numpy array, shape ``[batch, *input_shape]``
            Moved into the box, and rounded to the type of the file's input towards its inside. A
            box without a number of that type (a fixed feature of 0.1, in float32) has no
            counterexample.
        box : Box of numpy arrays, shape ``[batch, *input_shape]``
        labels : numpy array, shape ``[batch]``, integer; or Rivals
            Of labels alone: some output is above the label's.
        """
        found: list[Replayed | None] = [None] * len(points)
        # One at a time: a file may hold one sample's batch axis, also inside of its graph.
        for i, point in enumerate(points):
            if self._failed:
                break
            if isinstance(box, InputSet):
                replayed = self._in_set(point, box[i : i + 1])
            else:
                replayed = self.outputs(point, box.lower[i], box.upper[i])
            if replayed is not None and replayed.differs(_one(labels, i)):
                found[i] = replayed
        return found

    def _in_set(self, point: np.ndarray, inside: InputSet) -> Replayed | None:
        """The file's outputs at a point of an input set, or nearby; None where it has left it.

        Rounding may put a point of the set's border outside, so it is moved towards the set's own
        point until it is inside. Of a set that is too thin for that, a point counts that is in it
        up to the rounding of the file's type.
        """
        near = inside.projected(point[None])[0]
        own = inside.point[0]
        for share in (0.0, *_SHARES):
            moved = own + (1 - share) * (near - own)
            found = self.outputs(moved, inside.lower[0], inside.upper[0], nearest=True)
            if found is None:
                return None
            reached = found.point[None]
            if bool(inside.contains(reached.astype(np.float64)).all()):
                return found
            rounded = reached.astype(np.float32) if reached.dtype.kind in "iu" else reached
            if not inside.exact and bool(inside.contains(rounded).all()):
                return found
        return None

    def outputs(
        self, point: np.ndarray, lower: np.ndarray, upper: np.ndarray, *, nearest: bool = False
    ) -> Replayed | None:
        """The file's outputs at one point of a box.

        Parameters
        ----------
        point : numpy array, shape ``[*input_shape]``
            Moved into the box, and rounded to the type of the file's input towards its inside.
        lower, upper : numpy arrays, shape ``[*input_shape]``, float64
        nearest : bool
            Where the box holds no number of that type (a feature fixed to 0.1, in float32), take
            the nearest one; it is counted.

        Returns
        -------
        Replayed or None
            None where the box holds no number of that type and ``nearest`` is false, the box is
            empty, the point is NaN, or onnxruntime cannot run the file (see `failed`).
        """
        if self._failed:
            return None
        try:
            return self._replayed(point, lower, upper, nearest)
        except Exception as error:  # Its exceptions have no class in common.
            self._failed = True
            _LOG.warning(
                "%s cannot run the model (%s): no counterexample is confirmed, and what "
                "needs one stays undecided",
                "onnxruntime" if self.of_file else "its own object",
                type(error).__name__,
            )
            return None

    def _replayed(
        self, point: np.ndarray, lower: np.ndarray, upper: np.ndarray, nearest: bool
    ) -> Replayed | None:
        if self._original is None:
            self._original = self._open()
        kinds: Kinds = getattr(self._original, "kinds", ())
        if kinds:
            rounded, inside = _each_rounded(point, lower, upper, kinds)
        else:
            rounded, inside = _rounded_inside(point, lower, upper, self._original.dtype)
        usable = np.isfinite(rounded) & (lower <= upper) if nearest else inside
        if not usable.all():
            return None
        outputs = threshold_scores(self._original.outputs(rounded), self._threshold)
        return Replayed(rounded, outputs, int(np.count_nonzero(~inside)))


def _one(labels: np.ndarray | Rivals, row: int) -> int | Rivals:
    """The label of one sample, or its rivals on the CPU."""
    if isinstance(labels, np.ndarray):
        return int(labels[row])
    return labels[row : row + 1].cpu()


class OriginalNetwork:
    """A network of the caller's own, run in double precision."""

    dtype = np.float32

    def __init__(self, network: Network) -> None:
        self._network = network

    def outputs(self, sample: np.ndarray) -> np.ndarray:
        """Outputs of one sample, flattened, float64."""
        import torch

        from sensverify.bounds import forward_pass

        with torch.no_grad():
            found = forward_pass(self._network, torch.from_numpy(sample[None]).double())
        return found.reshape(-1).cpu().numpy()


def _each_rounded(
    point: np.ndarray, lower: np.ndarray, upper: np.ndarray, kinds: Kinds
) -> tuple[np.ndarray, np.ndarray]:
    """`_rounded_inside` of several inputs, each in its own type, together in float64."""
    flat, low, high = (each.reshape(-1) for each in (point, lower, upper))
    rounded, inside = np.zeros(flat.shape), np.zeros(flat.shape, bool)
    for part, kind in kinds:
        found = _rounded_inside(flat[part], low[part], high[part], kind)
        rounded[part], inside[part] = found
    return rounded.reshape(point.shape), inside.reshape(point.shape)


def _rounded_inside(
    point: np.ndarray, lower: np.ndarray, upper: np.ndarray, kind: Any
) -> tuple[np.ndarray, np.ndarray]:
    """The point in another floating type, and where that is inside the box.

    Where the box has no number of the type, it is the one nearest to the point.
    """
    if np.dtype(kind).kind in "iu":
        limits = np.iinfo(kind)
        nearest = np.clip(np.rint(point.astype(np.float64)), limits.min, limits.max)
        rounded = np.where(nearest > upper, np.floor(upper), nearest)
        rounded = np.where(rounded < lower, np.ceil(lower), rounded)
        inside = (rounded >= lower) & (rounded <= upper)
        return np.where(inside, rounded, nearest).astype(kind), inside
    with np.errstate(over="ignore"):
        nearest = np.clip(point.astype(np.float64), lower, upper).astype(kind)
        rounded = np.where(nearest > upper, np.nextafter(nearest, kind(-np.inf)), nearest)
        rounded = np.where(rounded < lower, np.nextafter(rounded, kind(np.inf)), rounded)
    inside = (rounded >= lower) & (rounded <= upper)
    return np.where(inside, rounded, nearest), inside
