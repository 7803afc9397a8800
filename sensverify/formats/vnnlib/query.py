"""A query in VNN-LIB 2 as a property of one network: that of all networks side by side.

The joint network takes each number once: inputs that the query says to be equal are one. Its
outputs are those of all networks, their inner values, products of these, and inputs that are
compared with something else than numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

from sensverify.errors import BadProperty
from sensverify.formats.vnnlib.assertions import Assertions
from sensverify.formats.vnnlib.cases import make_cases
from sensverify.formats.vnnlib.declarations import Declaration, Tensor
from sensverify.formats.vnnlib.formula import (
    Atom,
    Cases,
    Constraint,
    InputBound,
    Relation,
    conjunction,
)
from sensverify.formats.vnnlib.parser import Source
from sensverify.formats.vnnlib.property import Property
from sensverify.formats.vnnlib.terms import LARGEST, Variable
from sensverify.formats.vnnlib.version2 import Text

ROUNDS = 8
"""Times that relations may bound inputs by each other."""


@dataclass(frozen=True, eq=False)
class NetworkQuery:
    """Is there an assignment of all inputs that meets all assertions?

    Parameters
    ----------
    version : (int, int)
    networks : tuple of Declaration
    flat : Property
        Over the joint network.
    places : tuple of int
        For every input of the query its place among the joint network's inputs.
    products : tuple of tuple of Variable
        Products that are outputs behind the declared ones; X are inputs of the query.
    compared : tuple of int
        Inputs of the query that are outputs behind the products.
    assertions : Assertions
        As they stand in the text.
    implied : int
        Longest chain of inputs, each of which a relation bounds by the one before; 0: none is.
    """

    version: tuple[int, int]
    networks: tuple[Declaration, ...]
    flat: Property
    places: tuple[int, ...]
    products: tuple[tuple[Variable, ...], ...]
    compared: tuple[int, ...]
    assertions: Assertions
    implied: int = 0

    @property
    def real(self) -> bool:
        """Whether it is about real numbers."""
        return self.networks[0].inputs[0].real

    @property
    def relations_bound(self) -> bool:
        """Whether relations of inputs are bounds of inputs."""
        return self.implied > 0 or not self._apart

    @property
    def computes_bounds(self) -> bool:
        """Whether a bound of an input is computed, which floating-point numbers round."""
        return self.assertions.compute_with_inputs(several=self.relations_bound)

    @property
    def types(self) -> tuple[str, ...]:
        """All element types that are declared, each once."""
        return tuple(dict.fromkeys(t.dtype for n in self.networks for t in n.tensors))

    @property
    def plain(self) -> bool:
        """Whether it is about one file's own inputs and outputs, and nothing beside them."""
        alone = len(self.networks) == 1 and not self.networks[0].hidden
        return alone and not self.products and not self.compared and self._apart

    @property
    def _apart(self) -> bool:
        return self.places == tuple(range(len(self.places)))


def make_query(text: Text, source: Source) -> NetworkQuery:
    """The query of a text of version 2.

    Raises
    ------
    BadProperty
        An input has no lower or no upper bound in some case; or there are too many cases.
    """
    inputs = text.inputs
    count = sum(tensor.size for tensor in inputs)
    names = _names(inputs)
    places = _merged(text.shared, count, inputs)
    joint = 1 + max(places)
    given = sum(tensor.size for tensor in text.given)
    compared: dict[int, int] = {}
    first = given + len(text.monomials)
    represented = {place: number for number, place in reversed(list(enumerate(places)))}

    def on_outputs(atom: Atom) -> Atom | None:
        if isinstance(atom, InputBound):
            return replace(atom, index=places[atom.index])
        if isinstance(atom, Constraint):
            return atom
        return _constraint(atom, places, compared, represented, first)

    shared = [found for atom in text.shared if (found := on_outputs(atom)) is not None]
    shared = [atom for atom in shared if atom is not _FALSE]
    if any(on_outputs(atom) is _FALSE for atom in text.shared):
        return _query(text, _empty(joint, first, compared), places, compared)
    branched: list[Cases] = [
        [
            tuple(found for atom in case if (found := on_outputs(atom)) is not None)
            for case in cases
            if not any(on_outputs(atom) is _FALSE for atom in case)
        ]
        for cases in text.branched
    ]
    implied, chain = _implied(text.shared, places, joint)
    shared.extend(implied)
    try:
        cases = make_cases(
            joint,
            first + len(compared),
            shared,
            conjunction(branched),
            names=[names[represented[place]] for place in range(joint)],
        )
    except BadProperty as error:
        raise error.about(f"'{source.name}'") from None
    flat = Property((joint,), (first + len(compared),), cases)
    return replace(_query(text, flat, places, compared), implied=chain)


def _query(
    text: Text, asked: Property, places: Sequence[int], compared: dict[int, int]
) -> NetworkQuery:
    return NetworkQuery(
        text.version,
        text.networks,
        asked,
        tuple(places),
        text.monomials,
        tuple(compared),
        text.assertions,
    )


def _empty(joint: int, first: int, compared: dict[int, int]) -> Property:
    return Property((joint,), (first + len(compared),), ())


_FALSE = Constraint((), Fraction(-1), False)
"""A constraint that nothing meets."""


def _names(inputs: Iterable[Tensor]) -> list[str]:
    names = []
    for tensor in inputs:
        for place in range(tensor.size):
            at, left = [], place
            for length in reversed(tensor.shape):
                at.append(str(left % length))
                left //= length
            names.append(tensor.name + (f"[{','.join(reversed(at))}]" if at else ""))
    return names


def _merged(shared: Sequence[Atom], count: int, inputs: Sequence[Tensor]) -> list[int]:
    """For every input its place in the joint network: equal ones have the same place."""
    kinds = [tensor.dtype for tensor in inputs for _ in range(tensor.size)]
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    seen: set[tuple[int, int]] = set()
    for atom in shared:
        pair = _difference(atom)
        if pair is None:
            continue
        if pair[::-1] in seen and kinds[pair[0]] == kinds[pair[1]]:
            low, high = sorted((root(pair[0]), root(pair[1])))
            parent[high] = low
        seen.add(pair)
    order: dict[int, int] = {}
    return [order.setdefault(root(index), len(order)) for index in range(count)]


def _difference(atom: Atom) -> tuple[int, int] | None:
    """Of ``a - b <= 0`` the inputs (a, b); else None."""
    if not isinstance(atom, Relation) or atom.outputs or atom.strict or atom.limit != 0:
        return None
    if len(atom.inputs) != 2 or sum(factor for _, factor in atom.inputs) != 0:
        return None
    (one, factor), (other, _) = atom.inputs
    return (one, other) if factor > 0 else (other, one)


def _combined(atom: Relation, places: Sequence[int]) -> dict[int, Fraction]:
    """Factors of the joint network's inputs in a relation."""
    found: dict[int, Fraction] = {}
    for index, factor in atom.inputs:
        place = places[index]
        found[place] = found.get(place, Fraction(0)) + factor
    return {place: factor for place, factor in found.items() if factor}


def _constraint(
    atom: Relation,
    places: Sequence[int],
    compared: dict[int, int],
    represented: dict[int, int],
    first: int,
) -> Atom | None:
    """A relation as a constraint on outputs, some of which are inputs; None where it holds."""
    own = _combined(atom, places)
    if not own and not atom.outputs:
        holds = atom.limit > 0 or (atom.limit == 0 and not atom.strict)
        return None if holds else _FALSE
    if len(own) == 1 and not atom.outputs:
        ((place, factor),) = own.items()
        return InputBound(place, factor > 0, atom.limit / factor, atom.strict)
    factors = list(atom.outputs)
    for place, factor in own.items():
        number = compared.setdefault(represented[place], len(compared))
        factors.append((first + number, factor))
    return Constraint(tuple(sorted(factors)), atom.limit, atom.strict)


def _implied(shared: Sequence[Atom], places: Sequence[int], joint: int) -> tuple[list[Atom], int]:
    """Bounds of inputs that relations imply, exactly; and the longest chain of such bounds."""
    low: list[Fraction | None] = [None] * joint
    high: list[Fraction | None] = [None] * joint
    relations = []
    for atom in shared:
        if isinstance(atom, InputBound):
            ends, place = (high if atom.upper else low), places[atom.index]
            known = ends[place]
            if known is None or (atom.limit < known if atom.upper else atom.limit > known):
                ends[place] = atom.limit
        elif isinstance(atom, Relation) and not atom.outputs:
            own = _combined(atom, places)
            if len(own) > 1:
                relations.append((own, atom.limit))
    found: list[Atom] = []
    depths: dict[tuple[int, bool], int] = {}
    for _ in range(ROUNDS):
        before = len(found)
        for own, limit in relations:
            for place, factor in own.items():
                ends = high if factor > 0 else low
                if ends[place] is not None:
                    continue
                bound = _bound(own, limit, place, low, high)
                if bound is not None and abs(bound) <= LARGEST:
                    ends[place] = bound
                    used = [depths.get((o, f < 0), 0) for o, f in own.items() if o != place]
                    depths[place, factor > 0] = 1 + max(used)
                    found.append(InputBound(place, factor > 0, bound, False))
        if len(found) == before:
            break
    return found, max(depths.values(), default=0)


def _bound(
    own: dict[int, Fraction],
    limit: Fraction,
    place: int,
    low: Sequence[Fraction | None],
    high: Sequence[Fraction | None],
) -> Fraction | None:
    """The end of one input that ``sum(factor * input) <= limit`` implies; None: there is none."""
    left = limit
    for other, factor in own.items():
        if other == place:
            continue
        end = low[other] if factor > 0 else high[other]
        if end is None:
            return None
        left -= factor * end
    return left / own[place]


def flat_property(text: Text, source: Source) -> Property:
    """The property of a text about one network's own inputs and outputs.

    Raises
    ------
    BadProperty
        It is about several networks, or about more than that.
    """
    if len(text.networks) != 1 or text.networks[0].hidden:
        what = f"{len(text.networks)} networks" if len(text.networks) != 1 else "inner values"
        raise BadProperty(
            f"'{source.name}' is about {what}, and one model's inputs and outputs are asked about",
            "'sensverify vnnlib verify' answers it",
        )
    network = text.networks[0]
    if text.monomials:
        raise BadProperty(
            f"'{source.name}' multiplies variables; only linear terms can be decided",
            "'sensverify vnnlib verify' answers it",
        )
    inputs, outputs = _shape(network.inputs), _shape(network.outputs)
    cases = make_cases(prod(inputs), prod(outputs), text.shared, conjunction(text.branched))
    return Property(inputs, outputs, cases, version=2)


def _shape(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    if len(tensors) == 1:
        return tensors[0].shape
    return (sum(tensor.size for tensor in tensors),)
