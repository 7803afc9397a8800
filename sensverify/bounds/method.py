"""Methods and deciders: what each of them is, and how a name becomes one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from torch import Tensor

from sensverify.bounds.relaxation import Slope
from sensverify.core.box import Box
from sensverify.core.proof import OwnLines
from sensverify.core.queries import Accept, Decision, Query
from sensverify.core.results import Enclosure, Guarantee
from sensverify.core.sets import InputSet
from sensverify.errors import BadSetting
from sensverify.formats.programs import Program
from sensverify.network import Network
from sensverify.registry.catalog import Catalog
from sensverify.registry.settings import Checked
from sensverify.runs.watch import Watch


class Method(Checked, ABC):
    """A way to bound ``c · f(x)`` over boxes: a frozen dataclass whose fields are its settings.

    One's own method derives from it and defines ``name``, ``guarantee`` and `bound`; a method that
    differs from the defaults of what follows says so by defining that, too.

    Attributes
    ----------
    name : str
    guarantee : Guarantee
        Of its bounds; those that it returns may say what theirs is.
    anytime : bool
        Whether it can be stopped at any moment and then returns what it has proven: it is given a
        watch. Without one it runs to its end or to its own time limit.
    differentiable : bool
        Whether its bounds have gradients.
    dtype : str or None
        Of the boxes it is asked about where nobody says otherwise.
    arithmetic : str or None
        What it computes in whatever the type of the box, rounding ends outward to it.
    samples_at_once : int or None
        Samples it is asked about in one call, at most.
    sets : tuple of classes
        Kinds of `InputSet` that it knows, beside boxes. It is given no others: what it says of the
        box around a set is proven of the set, but an input that it finds there may not be one.
    proves_sets : bool
        Whether its proofs hold over these, too.
    """

    name: ClassVar[str]
    guarantee: ClassVar[Guarantee]
    anytime: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    dtype: ClassVar[str | None] = None
    arithmetic: ClassVar[str | None] = None
    samples_at_once: ClassVar[int | None] = None
    sets: ClassVar[tuple[type[InputSet], ...]] = ()
    proves_sets: ClassVar[bool] = False

    @property
    def seconds(self) -> float | None:
        """Wall time of its own for a call."""
        return None

    @property
    def gap(self) -> float | None:
        """Relative difference between a proven and an attained end that counts as exact."""
        return None

    @abstractmethod
    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """The mathematics alone; `compute_bounds` validates before and after.

        Parameters
        ----------
        network : Network
            Simplified, with tensors as parameters, on the box's device and dtype.
        box : Box of tensors, shape ``[batch, *input_shape]``
        objectives : Tensor, shape ``[batch or 1, rows, outputs]``
        watch : Watch, optional
            When to stop; given to methods that are ``anytime``.
        """

    def extra_entries(self, network: Network, rows: int) -> int:
        """Numbers that it keeps for a sample on top of a few copies of every layer."""
        return 0

    def proof_entries(self, network: Network, rows: int) -> int:
        """Numbers of a proof for each sample, in double precision."""
        return 0


@runtime_checkable
class ProvingMethod(Protocol):
    """A `Method` that can hand out the multipliers behind its bounds."""

    def prove(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        """The bounds of `Method.bound`, with a `Proof` of them as certificate.

        The proof's problems are the samples, its rows the objectives and then their negatives, so
        that lower bounds on the rows are both ends of every objective. Methods that can be stopped
        stop when the watch is over.
        """
        ...


Tighten = Literal["none", "lp", "milp"]
"""What improves a program's bounds on neurons with a kink inside, layer by layer: linear programs
prove theirs, mixed-integer ones, which go on from there, claim them."""


@runtime_checkable
class ProgramMethod(Protocol):
    """A `Method` that can write down the program it solves."""

    def program(
        self,
        network: Network,
        box: Box,
        *,
        tighten: Tighten = "none",
        relaxed: bool = False,
        watch: Watch | None = None,
    ) -> Program:
        """The network over one box as a program, with a column for every input and output.

        Parameters
        ----------
        network : Network
            Simplified, with tensors.
        box : Box of tensors, shape ``[1, *input_shape]``
        tighten : {"none", "lp", "milp"}
        relaxed : bool
            Leave out that binaries are integers.
        watch : Watch, optional
            Tightening ends when it is over.

        Raises
        ------
        MissingRule
            An operator has no program; names it and its node.
        BadBox
            The box is not one box.
        """
        ...


class PreActivationBounds(Method):
    """A method that can also bound what enters every nonlinear node."""

    offer: ClassVar[str] = "a method that bounds every layer, such as Ibp(), LpDual() or Crown()"
    """What a setting of this type takes, in messages."""

    @abstractmethod
    def pre_activations(
        self, network: Network, box: Box, *, watch: Watch | None = None
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """Bounds ``[batch, *shape]`` on the input of each nonlinear node, keyed by the node.

        Given a watch where the method is ``anytime``.
        """

    def proven_pre_activations(
        self, network: Network, box: Box, *, watch: Watch | None = None
    ) -> tuple[dict[int, tuple[Tensor, Tensor]], OwnLines | None]:
        """`pre_activations`, and what proves those that its `slope` does not prove."""
        stops = {"watch": watch} if self.anytime else {}
        return self.pre_activations(network, box, **stops), None

    @property
    def intermediate(self) -> PreActivationBounds | None:
        """The source of its bounds on hidden layers; None: the method itself."""
        return None

    @property
    def slope(self) -> Slope | None:
        """The lines that prove its bounds on layers; None: any do.

        Raises
        ------
        BadSetting
            It does not say which.
        """
        raise BadSetting(
            f"no proof of hidden bounds by {self!r}: it does not say which lines prove them",
            "use None, Ibp(), LpDual() or Crown() as `intermediate`",
        )


class Decider(Checked, ABC):
    """A way to answer a `Query`: a frozen dataclass whose fields are its settings.

    Attributes
    ----------
    guarantee : Guarantee or None
        Of its claims that no input meets a query.
    """

    guarantee: ClassVar[Guarantee | None] = None

    @abstractmethod
    def decide(
        self,
        network: Network,
        query: Query,
        *,
        watch: Watch | None = None,
        accept: Accept | None = None,
    ) -> Decision:
        """Decide if an input of the box meets the query.
        Parameters
        ----------
        network : Network
            With numpy arrays or tensors as parameters.
        query : Query
        watch : Watch, optional
        accept : callable, optional
            Asked about every witness before it is believed; default: the network's own
            evaluation in double precision is enough.
        """


@runtime_checkable
class Refuter(Protocol):
    """A decider that first looks at many queries at once."""

    def refute(
        self, network: Network, queries: Sequence[Query], *, watch: Watch | None = None
    ) -> list[Decision | None]:
        """UNSAT for every query that takes no search, with its ``clearance``; None for others.

        Parameters
        ----------
        network : Network
            With numpy arrays or tensors as parameters.
        queries : sequence of Query
            At least one.
        watch : Watch, optional
        """
        ...


def _guarantee(method: Any) -> str:
    found = getattr(method, "guarantee", None)
    return found.name if isinstance(found, Guarantee) else "-"


def require_known_set(name: str, known: tuple[type[InputSet], ...], box: Box) -> None:
    """Refuse an input set that a method or a decider does not know, by its name."""
    if isinstance(box, InputSet) and not isinstance(box, known):
        kinds = ", ".join(sorted(each.kind for each in known)) if known else "none but boxes"
        raise BadSetting(
            f"{name} does not know input sets of the kind '{box.kind}' ({kinds})",
            "use `method=crown`, or `method=alpha-crown`, which is tighter",
        )


def require_proof_over_set(method: Method, box: Box) -> None:
    """Refuse to ask a method for a proof over an input set if it has proofs over boxes alone."""
    if isinstance(box, InputSet) and not method.proves_sets:
        raise BadSetting(
            f"{method.name} hands out no proofs over input sets of the kind '{box.kind}'",
            "use `method=crown`, or `method=alpha-crown`, which is tighter",
        )


METHODS: Catalog[Any] = Catalog(
    "method",
    {},
    group="sensverify.methods",
    types=(Method, PreActivationBounds),
    example="crown(intermediate=ibp)",
    columns={"guarantee": _guarantee},
)
"""Classes of methods by name. Ours are announced by entry points, too: solvers lie higher up."""

DECIDERS: Catalog[Any] = Catalog(
    "decider",
    {},
    group="sensverify.deciders",
    types=(Decider,),
    example="branch-and-bound",
    columns={"guarantee": _guarantee},
)
"""Classes of deciders by name."""


def method_names() -> tuple[str, ...]:
    """Names of the installed methods, sorted.

    Examples
    --------
    >>> import sensverify as sv
    >>> {"crown", "exact", "ibp"} <= set(sv.method_names())
    True
    """
    return tuple(METHODS)


def proving_names() -> tuple[str, ...]:
    """Names of the installed methods that can hand out proofs, sorted."""
    return tuple(name for name, method in METHODS.working().items() if hasattr(method, "prove"))


def decider_names() -> tuple[str, ...]:
    """Names of the installed deciders, sorted.

    Examples
    --------
    >>> import sensverify as sv
    >>> "branch-and-bound" in sv.decider_names()
    True
    """
    return tuple(DECIDERS)


def make_method(name: str, /, **settings: Any) -> Method:
    """The method of a name or of a call, with its settings.

    Parameters
    ----------
    name : str
        As `method_names` lists it, or with settings, as ``crown(intermediate=ibp)``.
    **settings
        Fields of the method's dataclass; a field that is a method or a decider itself takes a
        name or a call too.

    Raises
    ------
    UnknownName
        No installed method has the name.
    BadSetting
        The method has no such setting, or refuses the value.
    BackendFailure
        The package that announces the method does not work.

    Examples
    --------
    >>> import sensverify as sv
    >>> sv.make_method("crown", intermediate="ibp")
    Crown(intermediate=Ibp())
    >>> sv.make_method("alpha-crown(steps=50)").steps
    50
    """
    made: Method = METHODS.make(name, **settings)
    return made


def make_decider(name: str, /, **settings: Any) -> Decider:
    """The decider of a name or of a call, with its settings; errors as for `make_method`.

    Examples
    --------
    >>> import sensverify as sv
    >>> sv.make_decider("branch-and-bound", seconds=10.0).seconds
    10.0
    """
    made: Decider = DECIDERS.make(name, **settings)
    return made
