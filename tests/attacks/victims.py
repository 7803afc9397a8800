"""Short forms of all attacks, and real networks with samples, for tests of attacks."""

from __future__ import annotations

import torch
from torch import Tensor

import sensverify as sv
from sensverify.attacks import Fgsm, Square, make_attack
from sensverify.attacks.ascent import Function
from sensverify.attacks.protocol import Attack
from sensverify.bounds.forward import forward
from sensverify.bounds.tensors import tensor_network
from sensverify.core.box import Box

Victim = tuple[Function, Tensor, Tensor]
"""A function, samples and labels."""

# Short forms of all attacks, so that tests of laws are quick.
QUICK: dict[str, dict[str, object]] = {
    "fgsm": {},
    "ll-fgsm": {},
    "pgd": {"steps": 8, "restarts": 2},
    "ll-pgd": {"steps": 8},
    "mi-fgsm": {},
    "apgd-ce": {"steps": 20, "restarts": 2},
    "apgd-dlr": {"steps": 20},
    "square": {"queries": 60},
    "cw": {"steps": 20, "searches": 4},
    "worst": {"attacks": (Fgsm(), Square(queries=30))},
}
IN_A_BOX = tuple(name for name in QUICK if name != "cw")


def quick(name: str) -> Attack:
    return make_attack(name, **QUICK[name])


def whole_range(x: Tensor) -> Box:
    """Pixels from 0 to 1: where an attack that looks for the nearest input may go."""
    return Box(torch.zeros_like(x), torch.ones_like(x))


def shipped(name: str, data: str, count: int, **options: object) -> Victim:
    network = tensor_network(sv.load(name), dtype=torch.float32, device=torch.device("cpu"))
    samples = sv.load_data(data, **options)
    return (
        lambda x: forward(network, x).flatten(1),
        torch.as_tensor(samples.x[:count]).float(),
        torch.as_tensor(samples.y[:count]).long(),
    )
