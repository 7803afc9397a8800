"""What a measure needs of its subject, or why it cannot be taken."""

from __future__ import annotations

from torch import Tensor

from sensverify.errors import NotMeasured
from sensverify.measures.subject import NEEDS, Subject
from sensverify.network import Network

TRAINING = "training samples"
INITIAL = "initial weights"
RADIUS = "radius"


def training_samples(subject: Subject) -> Tensor:
    """The training samples.

    Raises
    ------
    NotMeasured
        There are none; so too below.
    """
    if subject.train_x is None:
        raise NotMeasured(NEEDS[TRAINING])
    return subject.train_x


def training_size(subject: Subject) -> int:
    """How many training samples there were in all: those that are there, where nobody says."""
    if subject.train_size is not None:
        return subject.train_size
    return len(training_samples(subject))


def initial_network(subject: Subject) -> Network:
    """The network before training."""
    if subject.initial is None:
        raise NotMeasured(NEEDS[INITIAL])
    return subject.initial


def radius_of(subject: Subject) -> Tensor:
    """How far every feature may move."""
    if subject.radius is None:
        raise NotMeasured(NEEDS[RADIUS])
    return subject.radius
