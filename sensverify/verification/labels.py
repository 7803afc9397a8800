"""Classes of samples over their boxes: proven, changed by a replayed input, or neither."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds import forward_pass
from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.bounds.method import Method
from sensverify.bounds.rounding import slack
from sensverify.bounds.tensors import flattened
from sensverify.classification.margins import proven, refuted, with_margins
from sensverify.classification.rivals import Rivals
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Guarantee
from sensverify.network import Network
from sensverify.verification.replay import Replay


@dataclass(frozen=True, eq=False)
class LabelledBoxes:
    """Samples with labels, in boxes.

    Parameters
    ----------
    labels : Tensor, shape ``[batch]``, int64
    center, output : Tensor, shapes ``[batch, *input_shape]`` and ``[batch, outputs]``
        The samples, and the network's outputs there.
    box : Box of tensors, shape ``[batch, *input_shape]``
        In the dtype of the computation, rounded outward.
    asked : Box of numpy arrays, shape ``[batch, *input_shape]``, float64
        As it was asked about.
    against : Rivals, optional
        Which outputs may not take the labels' places; default: no other may be the largest.
    """

    labels: Tensor
    center: Tensor
    output: Tensor
    box: Box
    asked: Box
    against: Rivals | None = None

    @property
    def rivals(self) -> Rivals:
        """The labels and the outputs that may not take their places."""
        return Rivals.of(
            self.labels if self.against is None else self.against, self.output.shape[1]
        )

    def __getitem__(self, part: slice | np.ndarray) -> LabelledBoxes:
        """Some of the samples."""
        own: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        return LabelledBoxes(**{k: each[part] for k, each in own.items() if each is not None})


@dataclass(frozen=True, eq=False)
class LabelJudge:
    """Judge of labels: by bounds on margins, a search for other labels, and the file's arithmetic.

    Parameters
    ----------
    network : Network
    replay : Replay
        Of the network's file.
    memory_budget : int
        Bytes, for bounding again in float64.
    """

    network: Network
    replay: Replay
    memory_budget: int = DEFAULT_BUDGET

    def judge(
        self, samples: LabelledBoxes, bounds: Bounds, method: Method, *, seed: int
    ) -> list[bool | None]:
        """Decide if each label keeps its place: True proven, False changed, None open.

        Parameters
        ----------
        samples : LabelledBoxes
        bounds : Bounds
            Of the objectives that `with_margins` makes.
        method : Method
            That gave the bounds.
        seed : int
            Of the search for an input with another label.
        """
        certified = self.certified(samples, bounds, method)
        changed = torch.zeros_like(certified)
        if not bool(certified.all()):
            rows = (~certified).nonzero().squeeze(1)
            changed[rows] = self._changed(samples, rows, seed)
        return [
            True if yes else False if no else None
            for yes, no in zip(certified.tolist(), changed.tolist(), strict=True)
        ]

    def certified(self, samples: LabelledBoxes, bounds: Bounds, method: Method) -> Tensor:
        """Mask of the samples whose place is proven by bounds as those of `judge`, ``[batch]``."""
        rivals = samples.rivals
        # Sampled or likely bounds prove nothing.
        if bounds.guarantee < Guarantee.SOLVER:
            return torch.zeros_like(rivals.labels, dtype=torch.bool)
        certified = proven(
            self.network,
            samples.box,
            bounds,
            rivals,
            method=method,
            memory_budget=self.memory_budget,
        )
        certified &= rivals.kept(samples.output)
        return certified & self._same_in_float32(samples, certified)

    def _same_in_float32(self, samples: LabelledBoxes, rows: Tensor) -> Tensor:
        """Mask of the samples whose labels have their place in the file's own arithmetic, too.

        Where float32 rounding can change that, onnxruntime says what it makes of the sample.
        """
        rivals, narrow = samples.rivals, samples.center.float()
        same = torch.ones_like(rivals.labels, dtype=torch.bool)
        with torch.no_grad():
            output = flattened(forward_pass(self.network, narrow))
        outputs = output.shape[1]
        objectives = with_margins(rivals.labels, outputs, torch.float32)[:, outputs:]
        margins = (objectives @ output.unsqueeze(-1)).squeeze(-1)
        clear = margins > 2 * slack(self.network, Box(narrow, narrow), objectives)
        for place in (rows & ~rivals.certain(clear)).nonzero().squeeze(1).tolist():
            ends = samples.asked.lower[place], samples.asked.upper[place]
            # A module without a file runs itself in double precision, which says nothing of this.
            found = None
            if self.replay.of_file:
                point = samples.center[place].cpu().numpy()
                found = self.replay.outputs(point, *ends, nearest=True)
            values = output[place].cpu()
            if found is not None:
                values = torch.from_numpy(found.outputs.astype(np.float64))
            one = rivals[torch.tensor([place])]
            same[place] = one.kept(values.unsqueeze(0).to(one.labels.device))[0]
        return same

    def _changed(self, samples: LabelledBoxes, rows: Tensor, seed: int) -> Tensor:
        """Mask of the rows with an input that changes the label, here and when it is replayed."""
        rivals = samples.rivals[rows]
        found, points = refuted(
            self.network, samples.box[rows], samples.center[rows], rivals, seed=seed
        )
        some = found.nonzero().squeeze(1)
        if len(some):
            # The box as asked; that of the computation is rounded outward.
            asked = samples.asked[rows[some].cpu().numpy()]
            confirmed = self.replay.confirmed(points[some].cpu().numpy(), asked, rivals[some])
            found[some] = torch.from_numpy(confirmed).to(found.device)
        return found
