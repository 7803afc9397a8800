"""Certified <= attacked <= clean, or it is an error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from sensverify.bounds import Ibp
from sensverify.bounds.method import METHODS, Method
from sensverify.classification.predictions import classify
from sensverify.core.box import Box
from sensverify.core.results import Enclosure, Guarantee
from sensverify.errors import UnsoundResult
from sensverify.evaluation.folder import FinishedTask
from sensverify.evaluation.order import consistent_certified
from sensverify.evaluation.results import AttackRow, CertifiedRow, CleanRow
from sensverify.evaluation.run import evaluate
from sensverify.network import Network
from sensverify.runs.watch import Watch
from tests.evaluation.networks import linear, request

COUNTED = classify(torch.eye(3), torch.tensor([0, 1, 2]))


def attack_row(*reach: float | None) -> AttackRow:
    broken = tuple(i for i, each in enumerate(reach) if each is not None)
    return AttackRow(
        attack="fgsm",
        radius=0.1,
        classified=COUNTED,
        broken=broken,
        reach=reach,
        l2=reach,
        linf=reach,
        seconds=0.0,
    )


def certified_row(radius: float, *certified: int) -> CertifiedRow:
    return CertifiedRow(
        method="crown",
        radius=radius,
        guarantee="SOUND",
        certified=certified,
        log_volumes=(None,) * 3,
        seconds=0.0,
    )


def certified_with(attack: FinishedTask, radius: float, *certified: int) -> tuple[int, ...]:
    row = FinishedTask(row=certified_row(radius, *certified))
    (kept,) = consistent_certified("net", [row, attack], [10, 20, 30])
    return kept.certified


def test_a_sample_broken_by_a_rounding_is_not_certified() -> None:
    attack = FinishedTask(row=attack_row(None, 0.1, None))
    assert certified_with(attack, 0.1, 0, 1) == (0,)
    assert certified_with(attack, 0.2, 0, 1) == (0,)


def test_a_larger_box_says_nothing_of_a_smaller_one() -> None:
    attack = FinishedTask(row=attack_row(None, 0.1, None), certainly_wrong=(1,))
    assert certified_with(attack, 0.05, 0, 1) == (0, 1)


@pytest.mark.parametrize("radius", [0.1, 0.2])
def test_a_proof_that_an_attack_breaks_is_an_error(radius: float) -> None:
    attack = FinishedTask(row=attack_row(None, 0.1, None), certainly_wrong=(1,))
    with pytest.raises(UnsoundResult, match=r"sample 20 .* 'net' .* an input that fgsm found"):
        certified_with(attack, radius, 0, 1)


def test_a_proof_for_a_sample_that_is_wrong_itself_is_an_error() -> None:
    row = CleanRow(part="test", classified=COUNTED, wrong=(2,), seconds=0.0)
    assert certified_with(FinishedTask(row=row), 0.1, 0, 2) == (0,)
    with pytest.raises(UnsoundResult, match=r"sample 30 .* the sample itself"):
        certified_with(FinishedTask(row=row, certainly_wrong=(2,)), 0.1, 0, 2)


def test_training_samples_are_other_samples() -> None:
    row = CleanRow(part="train", classified=COUNTED, wrong=(2,), seconds=0.0)
    assert certified_with(FinishedTask(row=row, certainly_wrong=(2,)), 0.1, 0, 2) == (0, 2)


@dataclass(frozen=True)
class Careless(Method):
    """Bounds for the middle of the box, as if it were a point."""

    name: ClassVar[str] = "careless"
    guarantee: ClassVar[Guarantee] = Guarantee.SOUND

    def bound(
        self, network: Network, box: Box, objectives: Tensor, *, watch: Watch | None = None
    ) -> Enclosure:
        return Ibp().bound(network, Box(box.center, box.center), objectives)


def test_a_whole_evaluation_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a linear network the box of radius 0.5 around (1, 0.2) holds inputs of both labels."""
    net = linear(tmp_path / "net.onnx", [[1, 0], [0, 1]], [0, 0])
    data = tmp_path / "data.npz"
    np.savez(data, x=np.array([[1, 0.2]], np.float32), y=[0])
    asked: dict[str, Any] = {
        "data": str(data),
        "attacks": ("fgsm",),
        "corruptions": (),
        "sequences": (),
        "measures": (),
    }
    safe = evaluate(request(net, radii=(0.3, 0.5), **asked)).models[0]
    assert [row.certified for row in safe.certified] == [(0,), ()]
    assert [row.broken for row in safe.attacks] == [(), (0,)]
    monkeypatch.setattr(METHODS, "make", lambda call: Careless())
    evaluate(request(net, radii=(0.3,), **asked))
    with pytest.raises(UnsoundResult, match=r"radius 0\.5"):
        evaluate(request(net, radii=(0.5,), **asked))
