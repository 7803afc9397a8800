"""Classes of samples over their boxes: proven, changed by a replayed input, or neither."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sensverify.bounds import forward_pass
from sensverify.bounds.memory import DEFAULT_BUDGET
from sensverify.bounds.method import Decider, Method
from sensverify.bounds.rounding import slack
from sensverify.bounds.tensors import flattened
from sensverify.classification.margins import proven_margins, refuted, with_margins
from sensverify.classification.rivals import Rivals, without
from sensverify.core.box import Box
from sensverify.core.results import Bounds, Guarantee
from sensverify.network import Network
from sensverify.runs.watch import Watch
from sensverify.verification.counterexample import Counterexample
from sensverify.verification.label_search import LabelSearch
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
class LabelVerdict:
    """The answer about one sample's label, and its evidence.

    Parameters
    ----------
    kept : bool or None
        True: proven to keep its place; False: it is lost at the counterexample; None: open.
    margins : numpy array or None, shape ``[outputs]``, float64
        Proven lower bounds of the label's margins over its rivals, see `proven_margins`; NaN at
        all other outputs. None where the method proves nothing.
    counterexample : Counterexample or None
    explored : int or None
        Sub-boxes or nodes that a search has bounded; None where there was none.
    """

    kept: bool | None
    margins: np.ndarray | None = None
    counterexample: Counterexample | None = None
    explored: int | None = None


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
    decider : Decider, optional
        What decides labels that are open then.
    """

    network: Network
    replay: Replay
    memory_budget: int = DEFAULT_BUDGET
    decider: Decider | None = None

    def judge(
        self,
        samples: LabelledBoxes,
        bounds: Bounds,
        method: Method,
        *,
        seed: int,
        watch: Watch | None = None,
    ) -> list[LabelVerdict]:
        """Decide if each label keeps its place.

        Parameters
        ----------
        samples : LabelledBoxes
        bounds : Bounds
            Of the objectives that `with_margins` makes.
        method : Method
            That gave the bounds.
        seed : int
            Of the search for an input with another label.
        watch : Watch, optional
            Of the decider: its time is shared out by the labels left.
        """
        margins = self._margins(samples, bounds, method)
        certified = self._certified(samples, margins)
        found: dict[int, Counterexample] = {}
        if not bool(certified.all()):
            found = self._changed(samples, (~certified).nonzero().squeeze(1), seed)
        shown = None if margins is None else _by_output(margins, samples.rivals)
        verdicts = [
            LabelVerdict(
                True if sure else False if i in found else None,
                None if shown is None else shown[i],
                found.get(i),
            )
            for i, sure in enumerate(certified.tolist())
        ]
        if self.decider is not None:
            self._search(self.decider, samples, verdicts, watch or Watch())
        return verdicts

    def _search(
        self,
        decider: Decider,
        samples: LabelledBoxes,
        verdicts: list[LabelVerdict],
        watch: Watch,
    ) -> None:
        """Decide the labels that are open, and change their verdicts in place."""
        search = LabelSearch(self.network, decider, self.replay)
        kept = samples.rivals.kept(samples.output)
        # Of a sample that is wrong by itself, there is nothing to prove.
        rows = [i for i, each in enumerate(verdicts) if each.kept is None and bool(kept[i])]
        for done, i in enumerate(rows):
            if watch.over:
                return
            watch.say(f"deciding label {done + 1} of {len(rows)} that bounds leave open")
            part = watch.within(watch.left / (len(rows) - done))
            one, own = torch.tensor([i]), verdicts[i]
            unproven = np.ones(samples.output.shape[1], dtype=bool)
            if own.margins is not None:
                # Written so that a NaN proves nothing.
                unproven = ~(own.margins > 0)
            rivals = samples.rivals[one.to(kept.device)]
            found = search.decide(samples.asked[i : i + 1], rivals, unproven, part)
            sure = found.kept
            if sure and not bool(self._same_in_float32(samples[i : i + 1], kept[i : i + 1])[0]):
                sure = None
            verdicts[i] = LabelVerdict(sure, own.margins, found.counterexample, found.explored)

    def certified(self, samples: LabelledBoxes, bounds: Bounds, method: Method) -> Tensor:
        """Mask of the samples whose place is proven by bounds as those of `judge`, ``[batch]``."""
        return self._certified(samples, self._margins(samples, bounds, method))

    def _margins(self, samples: LabelledBoxes, bounds: Bounds, method: Method) -> Tensor | None:
        # Sampled or likely bounds prove nothing.
        if bounds.guarantee < Guarantee.SOLVER:
            return None
        return proven_margins(
            self.network,
            samples.box,
            bounds,
            samples.rivals,
            method=method,
            memory_budget=self.memory_budget,
        )

    def _certified(self, samples: LabelledBoxes, margins: Tensor | None) -> Tensor:
        rivals = samples.rivals
        if margins is None:
            return torch.zeros_like(rivals.labels, dtype=torch.bool)
        # Written so that a NaN proves nothing.
        certified = rivals.certain(margins > 0) & rivals.kept(samples.output)
        return certified & self._same_in_float32(samples, certified)

    def _same_in_float32(self, samples: LabelledBoxes, rows: Tensor) -> Tensor:
        """Mask of the samples whose labels have their place in the file's own arithmetic, too.

        Where float32 rounding can change that, or nodes behind the network round once more,
        onnxruntime says what it makes of the sample.
        """
        rivals, narrow = samples.rivals, samples.center.float()
        same = torch.ones_like(rivals.labels, dtype=torch.bool)
        with torch.no_grad():
            output = flattened(forward_pass(self.network, narrow))
        outputs = output.shape[1]
        objectives = with_margins(rivals.labels, outputs, torch.float32)[:, outputs:]
        margins = (objectives @ output.unsqueeze(-1)).squeeze(-1)
        clear = margins > 2 * slack(self.network, Box(narrow, narrow), objectives)
        sure = rivals.certain(clear)
        # Of more places than the first, a head keeps none that underflows to 0.
        asked = torch.ones_like(sure) if self.replay.head and rivals.places == 1 else ~sure
        for place in (rows & asked).nonzero().squeeze(1).tolist():
            ends = samples.asked.lower[place], samples.asked.upper[place]
            values = output[place].cpu()
            # A module without a file runs itself in double precision, which says nothing of this.
            if self.replay.of_file:
                point = samples.center[place].cpu().numpy()
                found = self.replay.outputs(point, *ends, nearest=True)
                if found is None:
                    # A file that cannot be run has confirmed nothing.
                    same[place] = False
                    continue
                if not (found.outside and sure[place]):
                    values = torch.from_numpy(found.outputs.astype(np.float64))
            one = rivals[torch.tensor([place])]
            same[place] = one.kept(values.unsqueeze(0).to(one.labels.device))[0]
        return same

    def _changed(
        self, samples: LabelledBoxes, rows: Tensor, seed: int
    ) -> dict[int, Counterexample]:
        """Inputs that change the label of some rows, here and when they are replayed."""
        rivals = samples.rivals[rows]
        found, points = refuted(
            self.network, samples.box[rows], samples.center[rows], rivals, seed=seed
        )
        some = found.nonzero().squeeze(1)
        if len(some) == 0:
            return {}
        which = rows[some].cpu().numpy()
        # The box as asked; that of the computation is rounded outward.
        inputs, asked = points[some].cpu().numpy(), samples.asked[which]
        replayed = self.replay.counterexamples(inputs, asked, rivals[some])
        return {
            row: Counterexample.of(each)
            for row, each in zip(which.tolist(), replayed, strict=True)
            if each is not None
        }


def _by_output(margins: Tensor, rivals: Rivals) -> np.ndarray:
    """Margins in the places of the rivals that they are over, NaN elsewhere."""
    spread = margins.new_full(rivals.against.shape, torch.nan)
    spread[without(rivals.labels, spread.shape[1])] = margins.reshape(-1)
    return spread.masked_fill(~rivals.against, torch.nan).cpu().numpy()
