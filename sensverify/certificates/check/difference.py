"""The steps of two networks as one: those of the old one, and by how much the new one differs.

Beside every value z of the old network stands the difference d of the new network's to it. What
follows is an identity each time, so that claims about the last z and d are claims about both files:

- of ``z = sum M z_j + c`` and ``z' = sum N z_j' + c'``: ``d = sum N d_j + (N - M) z_j + (c' - c)``,
  where N - M is the sum of two float64 matrices exactly;
- of one function in both, ``d = f(z_j + d_j) - f(z_j)``, which is enclosed as an increment;
- of products ``x' y' - x y = (x' - x) y + x' (y' - y)``, of reciprocals ``-(x' - x) / (x x')``;
- of a maximum, two numbers after the other: ``max(a, b) = b + relu(a - b)``;
- of any two functions, ``d = g(z_j + d_j) - f(z_j)``.

Where nothing differs up to a value, it has no d. Networks that are not paired stand beside each
other, and are subtracted at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np

from sensverify.certificates.check.enclosure import Enclosure
from sensverify.certificates.check.functions import ENCLOSURES
from sensverify.certificates.check.increments import Increments
from sensverify.certificates.check.program import (
    Gather,
    Linear,
    Map,
    Nonlinear,
    Program,
    Step,
)
from sensverify.certificates.check.subtracting import (
    alike,
    constant_difference,
    difference,
    map_difference,
)
from sensverify.errors import BadSetting, BadShape
from sensverify.network.operators import (
    Exp,
    Increment,
    LeakyRelu,
    Max,
    Product,
    Reciprocal,
    Relu,
    Share,
)

_EVERYWHERE = ((-inf, inf),)


def program_of_two(old: Program, new: Program, *, paired: bool) -> Program:
    """The steps of the outputs of one network, and then of the differences of another one's.

    Parameters
    ----------
    old, new : Program
    paired : bool
        Whether steps of one stand for those of the other, in their order.

    Raises
    ------
    BadShape
        They have other inputs, or other numbers of outputs.
    BadSetting
        They are to be paired and do not have the same steps.
    """
    if (old.features, old.outputs) != (new.features, new.outputs):
        raise BadShape(
            f"the two networks have {old.features} and {new.features} inputs, {old.outputs} and "
            f"{new.outputs} outputs",
            "give two networks for the same inputs and outputs",
        )
    steps = _Beside(old.features)
    if paired:
        _require_pairs(old, new)
        return _Paired(steps, old, new).program()
    ends = [steps.copied(program) for program in (old, new)]
    return steps.ended(ends[0], steps.sum((ends[1], None), (ends[0], -1.0)))


def _require_pairs(old: Program, new: Program) -> None:
    """Refuse programs that do not have the same steps, but for their numbers."""

    def shape(program: Program, step: Step) -> tuple[Any, ...]:
        if step is None:
            return ()
        if isinstance(step, Nonlinear):
            return (type(step.function), step.source, step.window, step.size)
        return (*(source for source, _ in step.terms), step.size)

    first, second = ([shape(p, step) for step in p.steps] for p in (old, new))
    if first != second:
        raise BadSetting(
            "as their files store them, the two networks do not have the same steps, so that a "
            "certificate cannot pair them",
            "give `pair=False` for a certificate of both beside each other",
        )


class _Beside:
    """Collects the steps of both, single maps and sums apart."""

    def __init__(self, features: int) -> None:
        self.steps: list[Step] = [None]
        self.sizes = [features]
        self.entries = 0

    def put(self, step: Linear | Nonlinear) -> int:
        self.steps.append(step)
        self.sizes.append(step.size)
        return len(self.steps) - 1

    def map(self, source: int, part: Map, constant: np.ndarray | None = None) -> int:
        return self.put(Linear(((source, part),), constant, part.size))

    def chosen(self, source: int, index: np.ndarray) -> int:
        return self.map(source, Gather(index))

    def sum(self, *terms: tuple[int, float | None]) -> int:
        """Of values, each times a number; None is one."""
        if len(terms) == 1 and terms[0][1] is None:
            return terms[0][0]
        # One value may come twice, and a step reads each once.
        known = [source for source, _ in terms]
        places = [self.copy(s) if s in known[:i] else s for i, s in enumerate(known)]
        size = self.sizes[places[0]]
        index = np.arange(size)
        maps = (Gather(index, None if by is None else np.full(size, by)) for _, by in terms)
        return self.put(Linear(tuple(zip(places, maps, strict=True)), None, size))

    def copy(self, source: int) -> int:
        return self.chosen(source, np.arange(self.sizes[source]))

    def beside(self, *sources: int) -> int:
        """Values of one size, number after number in turn."""
        count = len(sources)
        terms = []
        for place, source in enumerate(sources):
            index = np.full((self.sizes[source], count), -1)
            index[:, place] = np.arange(self.sizes[source])
            # The same value twice is two.
            source = self.copy(source) if source in sources[:place] else source
            terms.append((source, Gather(index.reshape(-1))))
        return self.put(Linear(tuple(terms), None, count * self.sizes[sources[0]]))

    def apply(self, function: Enclosure, source: int, window: int = 1) -> int:
        size = self.sizes[source] // window
        step = Nonlinear(function, source, self.entries, window, size)
        self.entries += self.sizes[source]
        return self.put(step)

    def relu(self, source: int) -> int:
        return self.apply(ENCLOSURES[Relu](Relu(), (self.sizes[source],)), source)

    def reciprocal(self, source: int) -> int:
        return self.apply(ENCLOSURES[Reciprocal](Reciprocal(), (self.sizes[source],)), source)

    def product(self, first: int, second: int) -> int:
        both = self.beside(first, second)
        shape = (self.sizes[first], 2)
        return self.apply(ENCLOSURES[Product](Product(), shape), both, 2)

    def increment(self, function: Enclosure, source: int, change: int) -> int:
        both = self.beside(source, change)
        shape = (self.sizes[source], 2)
        return self.apply(Increments(Increment(function.operator), shape, function), both, 2)

    def again(self, step: Step, places: Mapping[int, int]) -> int:
        """A step of another program, whose values are found at these places."""
        if isinstance(step, Nonlinear):
            return self.apply(step.function, places[step.source], step.window)
        assert isinstance(step, Linear), "the input is there from the beginning"
        terms = tuple((places[source], part) for source, part in step.terms)
        return self.put(Linear(terms, step.constant, step.size))

    def copied(self, program: Program) -> int:
        """All steps of a network, on the same input."""
        places = {0: 0}
        for position, step in enumerate(program.steps[1:], start=1):
            places[position] = self.again(step, places)
        return places[len(places) - 1]

    def ended(self, value: int, change: int | None) -> Program:
        """The program whose outputs are a value, then its difference; None is zero."""
        size = self.sizes[value]
        none, every = np.full(size, -1), np.arange(size)
        terms = [(value, Gather(np.concatenate([every, none])))]
        if change is not None:
            terms.append((change, Gather(np.concatenate([none, every]))))
        self.put(Linear(tuple(terms), None, 2 * size))
        return _needed(self)


def _needed(made: _Beside) -> Program:
    """The steps that the last one depends on, and the input."""
    used = {0, len(made.steps) - 1}
    for position in range(len(made.steps) - 1, 0, -1):
        step = made.steps[position]
        if position not in used:
            continue
        if isinstance(step, Nonlinear):
            used.add(step.source)
        elif isinstance(step, Linear):
            used.update(source for source, _ in step.terms)
    kept, places = _Beside(made.sizes[0]), {0: 0}
    for position in sorted(used - {0}):
        places[position] = kept.again(made.steps[position], places)
    return Program(tuple(kept.steps), tuple(kept.sizes), kept.entries)


class _Paired:
    """Values of the old network, and the new one's differences to them; None is zero."""

    def __init__(self, steps: _Beside, old: Program, new: Program) -> None:
        self.steps, self.old, self.new = steps, old, new
        self.values: list[int] = [0]
        self.changes: list[int | None] = [None]

    def program(self) -> Program:
        for before, after in zip(self.old.steps[1:], self.new.steps[1:], strict=True):
            if isinstance(before, Linear) and isinstance(after, Linear):
                self._linear(before, after)
            elif isinstance(before, Nonlinear) and isinstance(after, Nonlinear):
                source, change = self.values[before.source], self.changes[before.source]
                self.values.append(self.steps.apply(before.function, source, before.window))
                self.changes.append(self._nonlinear(before, after, source, change))
        return self.steps.ended(self.values[-1], self.changes[-1])

    def _linear(self, before: Linear, after: Linear) -> None:
        steps, terms = self.steps, []
        own = tuple((self.values[source], part) for source, part in before.terms)
        value = steps.put(Linear(own, before.constant, before.size))
        for (source, old), (_, new) in zip(before.terms, after.terms, strict=True):
            change = self.changes[source]
            if change is not None:
                terms.append(steps.map(change, new))
            terms += [steps.map(self.values[source], part) for part in map_difference(old, new)]
        for rest in constant_difference(before.constant, after.constant, before.size):
            terms.append(steps.map(0, Gather(np.full(before.size, -1)), rest))
        self.values.append(value)
        self.changes.append(steps.sum(*((term, None) for term in terms)) if terms else None)

    def _nonlinear(
        self, before: Nonlinear, after: Nonlinear, source: int, change: int | None
    ) -> int | None:
        old, new, steps = before.function, after.function, self.steps
        if isinstance(old.operator, LeakyRelu):
            # Slopes that are alike may spread otherwise over the entries of another shape.
            return self._leaky(old, new, source, change)
        same = alike(old.operator, new.operator)
        if same and change is None:
            return None
        if not same or change is None:
            return self._subtracted(before, after, source, change)
        if isinstance(old.operator, Max):
            return self._maximum(before, source, change)
        if isinstance(old.operator, Product):
            return self._product(source, change)
        if isinstance(old.operator, Reciprocal):
            return self._reciprocal(source, change)
        if isinstance(old.operator, Share):
            return self._share(before, source, change)
        if _grows_everywhere(old):
            return steps.increment(old, source, change)
        return self._subtracted(before, after, source, change)

    def _moved(self, source: int, change: int | None) -> int:
        return source if change is None else self.steps.sum((source, None), (change, None))

    def _subtracted(
        self, before: Nonlinear, after: Nonlinear, source: int, change: int | None
    ) -> int:
        ends = [
            self.steps.apply(after.function, self._moved(source, change), after.window),
            self.steps.apply(before.function, source, before.window),
        ]
        return self.steps.sum((ends[0], None), (ends[1], -1.0))

    def _leaky(self, old: Any, new: Any, source: int, change: int | None) -> int | None:
        """An increment of the new function, and the new function less the old one."""
        steps = self.steps
        terms = [] if change is None else [steps.increment(new, source, change)]
        for part in difference(old.slope, new.slope):
            if part.any():
                below = steps.relu(steps.sum((source, -1.0)))
                terms.append(steps.map(below, Gather(np.arange(len(part)), -part)))
        return steps.sum(*((term, None) for term in terms)) if terms else None

    def _product(self, source: int, change: int) -> int:
        steps = self.steps
        places = np.arange(steps.sizes[source]).reshape(-1, 2).T
        (x, y), (grown, other) = (
            [steps.chosen(node, index) for index in places] for node in (source, change)
        )
        first = steps.product(grown, y)
        second = steps.product(self._moved(x, grown), other)
        return steps.sum((first, None), (second, None))

    def _reciprocal(self, source: int, change: int) -> int:
        steps, moved = self.steps, self._moved(source, change)
        both = steps.product(steps.reciprocal(source), steps.reciprocal(moved))
        return steps.product(steps.sum((change, -1.0)), both)

    def _share(self, step: Nonlinear, source: int, change: int) -> int:
        """``1 / s' - 1 / s = -(s' - s) / (s s')``, s being a sum of exponentials."""
        steps, places = self.steps, np.arange(step.size * step.window)
        power = ENCLOSURES[Exp](Exp(), (len(places),))
        grown = steps.increment(power, source, change)
        terms = [steps.chosen(grown, index) for index in places.reshape(step.size, -1).T]
        moved = self._moved(source, change)
        both = steps.product(
            *(steps.apply(step.function, node, step.window) for node in (source, moved))
        )
        return steps.product(steps.sum(*((term, -1.0) for term in terms)), both)

    def _maximum(self, step: Nonlinear, source: int, change: int) -> int:
        places = np.arange(step.size * step.window).reshape(step.size, step.window).T
        pairs = [
            (self.steps.chosen(source, index), self.steps.chosen(change, index)) for index in places
        ]
        while len(pairs) > 1:
            rest = pairs[len(pairs) // 2 * 2 :]
            halves = zip(pairs[0::2], pairs[1::2], strict=False)
            pairs = [self._larger(*two) for two in halves] + rest
        return pairs[0][1]

    def _larger(self, first: tuple[int, int], second: tuple[int, int]) -> tuple[int, int]:
        """``b + relu(a - b)``, and by how much it differs."""
        steps = self.steps
        apart = [
            steps.sum((one, None), (other, -1.0)) for one, other in zip(first, second, strict=True)
        ]
        value = steps.sum((second[0], None), (steps.relu(apart[0]), None))
        relu = ENCLOSURES[Relu](Relu(), (steps.sizes[apart[0]],))
        grown = steps.increment(relu, apart[0], apart[1])
        return value, steps.sum((second[1], None), (grown, None))


def _grows_everywhere(function: Enclosure) -> bool:
    """Whether the increments of a function are known: not where it has more than one branch."""
    known = type(function).secants is not Enclosure.secants
    return known and getattr(function, "branches", _EVERYWHERE) == _EVERYWHERE
