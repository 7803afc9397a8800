"""Settings that cannot be are refused before anything is loaded."""

from __future__ import annotations

import pytest

from sensverify.errors import BadSetting, InputError, UnknownName
from sensverify.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"optimiser": "adamm"}, UnknownName, "adam, adamw, sgd"),
        ({"optimiser": "adam(lr=-1)"}, BadSetting, "lr .*-1"),
        ({"optimiser": "adam(lr=1e7)"}, BadSetting, r"lr .*1e\+?0?6"),
        ({"optimiser": "adam(eps=1e38)"}, BadSetting, "eps "),
        ({"optimiser": "sgd(nesterov=true)"}, BadSetting, "sgd"),
        ({"optimiser": "sgd(momentun=0.9)"}, BadSetting, "momentun"),
        ({"schedule": "cosinee"}, UnknownName, "one-cycle"),
        ({"schedule": "step(every=2)"}, BadSetting, "every"),
        ({"sharpness": "samm"}, UnknownName, "sam, asam"),
        ({"sharpness": "sam(rho=0)"}, BadSetting, "rho"),
        ({"precision": "16-mixed"}, BadSetting, "needs device cuda"),
        (
            {"precision": "16-mixed", "device": "cuda", "sharpness": "sam"},
            BadSetting,
            "does not go with",
        ),
        ({"seed": 2**63}, BadSetting, "from 0 to 9223372036854775807"),
        ({"sigma": 1e31}, BadSetting, "`sigma` takes"),
        ({"radius": 1e39}, BadSetting, "`radius` takes"),
        ({"clip": (0.0, 1e39)}, BadSetting, "`clip` takes"),
        ({"clip": (0.0, 10**400)}, BadSetting, "`clip` takes"),
        ({"checkpoint_seconds": 10**400}, BadSetting, "`checkpoint_seconds` takes"),
        ({"checkpoint_seconds": 2e9}, BadSetting, "`checkpoint_seconds` takes"),
        ({"threads": 10**12}, BadSetting, "from 1 to 1024"),
    ],
)
def test_what_cannot_be(values: dict[str, object], error: type[InputError], words: str) -> None:
    with pytest.raises(error, match=words):
        TrainSettings.of(values)


def test_everything_that_can_be_asked_for() -> None:
    for optimiser in ("adam", "adamw(weight-decay=0.1)", "sgd(lr=1, momentum=0.9, nesterov=true)"):
        for schedule in ("constant", "cosine", "one-cycle(warmup=0.1)", "step(every=0.5)"):
            for sharpness in (None, "sam", "asam(rho=1)"):
                TrainSettings(optimiser=optimiser, schedule=schedule, sharpness=sharpness)
    TrainSettings(precision="16-mixed", device="cuda", seed=2**63 - 1, clip=(-1e30, 1e30))
