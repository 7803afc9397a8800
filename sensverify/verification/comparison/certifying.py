"""Certificates of comparisons: whether the files' own steps are those that were bounded."""

from __future__ import annotations

from sensverify.certificates.check.program import Program, program_of
from sensverify.certificates.check.reordering import Order
from sensverify.errors import BadSetting
from sensverify.models.loading import LoadedModel
from sensverify.network.joint import Joint
from sensverify.verification.certifying import Certifier


def pair_certifier(models: tuple[LoadedModel, LoadedModel], joint: Joint) -> Certifier:
    """The certifier of bounds on the network of two, from both of their files.

    Raises
    ------
    BadSetting
        The bounds are about other nonlinear steps than a certificate would be.
    SensverifyError
        As of `Certifier`.
    """
    orders = tuple(Order(n, tuple(order.tolist())) for n, order in sorted(joint.orders.items()))
    certifier = Certifier(*models, paired=joint.paired, orders=orders)
    if _functions(program_of(joint.network)) != _functions(certifier.program):
        raise BadSetting(
            "as their files store them, the two networks differ at other steps than after their "
            "constants were folded, so that what was bounded cannot be certified",
            "give `pair=False` for a certificate of both beside each other",
        )
    return certifier


def _functions(program: Program) -> list[tuple[type, int, int]]:
    return [(type(step.function.operator), step.window, step.size) for _, step in program.nonlinear]
