"""Cases of a property, decided together or one after the other: answers, witnesses, warnings."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sensverify.bounds import forward_pass
from sensverify.bounds.method import Decider, Refuter
from sensverify.bounds.rounding import query_slack
from sensverify.core.box import Box
from sensverify.core.queries import Decision, Verdict
from sensverify.errors import SensverifyError
from sensverify.formats.vnnlib import Case, Property
from sensverify.models.loading import LoadedModel
from sensverify.runs.watch import Watch
from sensverify.verification.certifying import Certifier, shaped
from sensverify.verification.replay import Replay, Replayed
from sensverify.verification.runtime import RuntimeFacts, check_runtimes
from sensverify.verification.witness import Witness

_SEVERAL = 4
"""Input boxes from which on those that take no search are refuted all at once."""


class PropertyRun:
    """A run of a decider over the cases of a property, in turn, with its findings.

    Parameters
    ----------
    decider : Decider
    model : LoadedModel
    watch : Watch
    replay : Replay, optional
        Default: of the model's file.
    also : callable, optional
        Whether an input that meets a case when it is replayed is a witness.
    """

    def __init__(
        self,
        decider: Decider,
        model: LoadedModel,
        watch: Watch,
        *,
        replay: Replay | None = None,
        also: Callable[[Replayed, Case], bool] | None = None,
    ) -> None:
        self.decider, self.network, self.watch = decider, model.network, watch
        self.model, self.also = model, also
        self.replay = replay or Replay(model.file, model.ends, signature=model.signature)
        self.witness: Witness | None = None
        self.contradicted = self.cancelled = False
        self.tied = ""
        self.reasons: dict[int, str] = {}
        self.phases: dict[str, float] = defaultdict(float)
        self._short: dict[int, float | None] = {}
        self.runtime: RuntimeFacts | None = None
        self.proofs: dict[int, Any] = {}
        self.clear: dict[int, np.ndarray] = {}
        self.uncertified: tuple[str, ...] = ()
        self.total = self.unsat = self.explored = self.refused = self.without_number = 0

    def verdict(self, asked: Property) -> Verdict:
        """Look at every case; those that ran out of their share of the time get what is left."""
        cases = list(enumerate(asked.cases))
        self.total = len(cases)
        answers = self._answers(cases)
        again = [case for case in cases if answers.get(case[0]) is Verdict.TIMEOUT]
        if len(cases) > 1 and again and self.witness is None and self.watch.left < math.inf:
            answers |= self._answers(again)
        if self.witness is not None:
            return Verdict.SAT
        if all(answers.get(number) is Verdict.UNSAT for number, _ in cases):
            return Verdict.UNSAT
        # What could not be replayed stopped the watch; that is no matter of time.
        late = self.watch.over or Verdict.TIMEOUT in answers.values()
        return Verdict.TIMEOUT if late and not self.replay.failed else Verdict.UNKNOWN

    def beside_runtime(self, asked: Property, certifier: Certifier | None) -> Verdict:
        """UNSAT, or UNKNOWN where the file meets the property as onnxruntime runs it."""
        margins = None if certifier is None else certifier.float32_margins
        self.runtime = check_runtimes(
            self.network, asked.cases, self.replay, self.watch, margins=margins, clear=self.clear
        )
        violation = self.runtime.violation
        return Verdict.UNSAT if violation is None else Verdict.UNKNOWN

    def certified(self, asked: Property, certifier: Certifier) -> Verdict:
        """UNSAT if every case that the method calls so is certified, else UNKNOWN or TIMEOUT."""
        self.unsat, lines = 0, []
        for number, case in enumerate(asked.cases):
            left = self.watch.left / (self.total - number)
            watch = self.watch.within(None if left == math.inf else left)
            self.watch.say(f"certifying input box {number + 1} of {self.total}")
            why = certifier.refute(case, self.proofs[number], self.network, watch=watch)
            if why is not None:
                lines.append(
                    f"the method calls input box {number + 1} of {self.total} unsat, but that "
                    f"could not be certified: {why}"
                )
                # One is enough to leave the property undecided.
                break
            self.unsat += 1
        self.uncertified = tuple(lines)
        if not lines:
            return Verdict.UNSAT
        return Verdict.TIMEOUT if self.watch.over else Verdict.UNKNOWN

    def _answers(self, cases: list[tuple[int, Case]]) -> dict[int, Verdict]:
        """The answers by case, up to the first SAT or the end of the time."""
        answers = self._refuted(cases) if len(cases) >= _SEVERAL else {}
        cases = [case for case in cases if case[0] not in answers]
        for done, (number, case) in enumerate(cases):
            if self.watch.over:
                break
            if len(cases) > 1:
                self.watch.say(f"input box {number + 1}, {len(cases) - done} to go")
            answers[number] = self._decide(number, case, self.watch.left / (len(cases) - done))
            if answers[number] is Verdict.SAT:
                break
        return answers

    def _refuted(self, cases: list[tuple[int, Case]]) -> dict[int, Verdict]:
        """UNSAT of the cases that take no search, all at once."""
        if not isinstance(self.decider, Refuter):
            return {}
        queries = [shaped(case.query, self.network) for _, case in cases]
        began = self.watch.now()
        found = self.decider.refute(self.network, queries, watch=self.watch)
        self.phases["bounding"] += self.watch.now() - began
        answers = {}
        for (number, _), decision in zip(cases, found, strict=True):
            if decision is None:
                continue
            answers[number] = decision.verdict
            self.explored += decision.explored
            self.unsat += 1
            self.proofs[number] = decision.certificate
            if decision.clearance is not None:
                self.clear[number] = decision.clearance
        return answers

    def _decide(self, number: int, case: Case, seconds: float) -> Verdict:
        refused: list[np.ndarray] = []

        def accept(point: np.ndarray) -> bool:
            found = self._confirmed(point, case)
            if found is None and not refused:
                refused.append(np.array(point, dtype=np.float64))
            if found is not None and self.witness is None:
                self.witness = Witness.of(found, number)
            return found is not None

        query = shaped(case.query, self.network)
        watch = self.watch.within(None if seconds == math.inf else seconds)
        decision = self.decider.decide(self.network, query, watch=watch, accept=accept)
        self.explored += decision.explored
        for name, spent in decision.phases.items():
            self.phases[name] += spent
        if decision.witness is not None and self.witness is None:
            accept(decision.witness)
        # A replayed witness speaks for itself, whatever the method made of it.
        if self.witness is not None:
            return Verdict.SAT
        verdict = decision.verdict
        self.reasons[number] = decision.reason
        self._short[number] = decision.shortfall
        if decision.tied and verdict is Verdict.UNKNOWN:
            # What exact arithmetic proves, no point that float64 has evaluated contradicts.
            verdict = self._untied(number, case, decision, watch)
            self.unsat += verdict is Verdict.UNSAT
        elif verdict is Verdict.UNSAT:
            met = [clear for point in refused if (clear := self._meets(point, case)) is not None]
            if met:
                # It met the property in float64, and only the replay refused it: no proof of the
                # opposite can be right, unless rounding explains it.
                self.contradicted, self.cancelled = any(met), not any(met)
                return Verdict.UNKNOWN
            self.unsat += 1
            self.proofs[number] = decision.certificate
        # Without a replay "sat" is no more than a claim.
        return Verdict.UNKNOWN if verdict is Verdict.SAT else verdict

    def _untied(self, number: int, case: Case, decision: Decision, watch: Watch) -> Verdict:
        """UNSAT where exact arithmetic shows that strict limits are reached at most."""
        try:
            certifier = Certifier(self.model)
        except SensverifyError as error:
            self.tied = f"{error}"
            return Verdict.UNKNOWN
        watch.say(f"input box {number + 1}: equality decides, in exact arithmetic")
        found = certifier.settle(case, decision.certificate, self.network, watch=watch)
        if isinstance(found, str):
            self.tied = found
            return Verdict.TIMEOUT if watch.over else Verdict.UNKNOWN
        self.proofs[number] = found
        return Verdict.UNSAT

    def _meets(self, point: np.ndarray, case: Case) -> bool | None:
        """True where a point of the box meets the property by more than rounding, in float64.

        None where it does not meet it at all.
        """
        point = point.reshape(1, *self.network.input_shape)
        flat = point.ravel()
        if not ((flat >= case.lower) & (flat <= case.upper)).all():
            return None
        at = torch.from_numpy(point)
        with torch.no_grad():
            outputs = forward_pass(self.network, at).numpy().ravel()
        if not case.met_by(outputs):
            return None
        allowed = query_slack(self.network, Box(at, at), case.query)[0].numpy()
        below = case.query.rows @ outputs <= case.query.limits - allowed
        return any(below[list(part)].all() for part in case.query.alternatives)

    def _confirmed(self, point: np.ndarray, case: Case) -> Replayed | None:
        """The point as the original file took it, if it meets the file's own constraints there."""
        shape = self.network.input_shape
        lower, upper = case.lower.reshape(shape), case.upper.reshape(shape)
        point = np.asarray(point).reshape(shape)
        found = self.replay.outputs(point, lower, upper, nearest=True)
        if self.replay.failed:
            # No other point will do better.
            self.watch.stop()
        elif found is None:
            self.without_number += 1
        elif case.met_by(found.outputs) and (self.also is None or self.also(found, case)):
            return found
        else:
            self.refused += 1
        return None

    @property
    def shortfall(self) -> float | None:
        """The largest `Decision.shortfall` of the cases; None where none is known."""
        return max((each for each in self._short.values() if each is not None), default=None)

    def warnings(self) -> tuple[str, ...]:
        """Warnings about the witness, or why inputs that meet the property are none."""
        if self.witness is not None:
            outside = self.witness.outside
            few = f"for {outside} inputs the property allows no number of the model's input type"
            return (f"{few}; the nearest one was taken",) if outside else ()
        if self.runtime is not None and self.runtime.violation is not None:
            return (self.runtime.words(self.total),)
        if self.unsat == self.total:
            return ()
        lines = list(self.uncertified)
        lines += [f"input box {n + 1}: {why}" for n, why in sorted(self.reasons.items()) if why]
        if self.replay.failed:
            lines.append(
                "an input meets the property, but onnxruntime cannot run the model, and nothing "
                "is called sat without a replay"
            )
        if self.without_number:
            lines.append(
                "an input meets the property, but its strict bounds leave no number that could be "
                "replayed"
            )
        if self.contradicted:
            lines.append(
                "the method calls an input box unsat although an input in it meets the property "
                "in float64; please report it"
            )
        if self.tied:
            lines.append(
                "strict constraints are as close to their limits as rounding can tell, and exact "
                f"arithmetic has not shown that these are not passed: {self.tied}"
            )
        if self.cancelled:
            lines.append(
                "the method calls an input box unsat, and an input in it meets the property in "
                "float64 by less than rounding: products in the network cancel; `rigorous` decides "
                "what real arithmetic can"
            )
        if self.refused:
            lines.append(
                f"{self.refused} inputs meet the property here, but not when onnxruntime runs the "
                "model in its own arithmetic"
            )
        return tuple(lines)
