"""The samples of an evaluation: which ones, their labels, their training part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from sensverify.core.digests import array_parts, sha256_of_all
from sensverify.data import Dataset, load_data, load_split
from sensverify.data.dataset import check_order, check_range, class_labels
from sensverify.data.files import PARTS, array_names, read_dataset
from sensverify.data.split import even_order
from sensverify.errors import BadData, BadSetting, BadShape
from sensverify.evaluation.request import COUNT, EvaluateRequest
from sensverify.models.loading import LoadedModel
from sensverify.network import Network


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples that all networks are evaluated on, in the data's own shape.

    Parameters
    ----------
    name : str
        Of the data.
    x : numpy array, shape ``[samples, *shape]``, float32
    y : numpy array, shape ``[samples]``, int64
    places : numpy array, shape ``[samples]``
        Their numbers in the test part, from 0.
    available : int
        How many the test part has.
    chosen : str
        In words, which of them these are.
    train : Dataset or None
        Training samples that measures are taken on.
    train_size : int or None
        How many there are in all.
    classes : tuple of str
        What they are called; empty where nobody says.
    feature_range : numpy array or None, shape ``[*shape]``
        Over the training samples.
    clip : (low, high) or None
        The range that the data have by their nature.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    places: np.ndarray
    available: int
    chosen: str
    train: Dataset | None
    train_size: int | None
    classes: tuple[str, ...]
    feature_range: np.ndarray | None
    clip: tuple[float, float] | None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """``(channels, rows, columns)`` where a sample is a grey or an RGB image, else None."""
        shape = self.x.shape[1:]
        return shape if len(shape) == 3 and shape[0] in (1, 3) else None

    @property
    def only_class(self) -> int | None:
        """The label that all samples have, where that is so."""
        first = int(self.y[0])
        return first if (self.y == first).all() else None

    @property
    def digests(self) -> dict[str, str | None]:
        """SHA-256 of what is evaluated, part by part."""
        train = self.train
        return {
            "test": _digest(self.x, self.y),
            "places": _digest(self.places),
            "train": None if train is None or train.y is None else _digest(train.x, train.y),
        }


def load_samples(request: EvaluateRequest, models: list[LoadedModel]) -> Samples:
    """The samples that a request names, as they fit its networks.

    Raises
    ------
    SensverifyError
        There are none, they have no labels, or they do not fit a network; says which.
    """
    test, train, names, sized = _parts(request, models)
    labels = _labelled(test)
    places, chosen = _chosen(request, len(test), test.name)
    for model in models:
        _check_fits(test, model, names if request.data is not None else ())
    networks = [model.network for model in models]
    outputs = prod(networks[0].output_shape)
    y = class_labels(labels, outputs, f"data '{test.name}'")
    shape = _shape(test, networks)
    x = _narrow(test).reshape(len(test), *shape)[places]
    kept, size = None, None
    if train is not None and request.train_samples > 0:
        size = len(train)
        train_labels = class_labels(_labelled(train), outputs, f"training part of '{train.name}'")
        spread = _spread(size, request.train_samples)
        part = _narrow(train)[spread].reshape(-1, *shape)
        kept = replace(train, x=part, y=train_labels[spread], feature_range=None)
    spread_of = None if sized is None else sized.reshape(shape)
    return Samples(
        name=test.name,
        x=np.ascontiguousarray(x),
        y=y[places],
        places=places,
        available=len(test),
        chosen=chosen,
        train=kept,
        train_size=size,
        classes=names,
        feature_range=spread_of,
        clip=test.clip,
    )


def _parts(
    request: EvaluateRequest, models: list[LoadedModel]
) -> tuple[Dataset, Dataset | None, tuple[str, ...], np.ndarray | None]:
    """The test part, the training part, the names of the classes, and the features' range."""
    named = next((tuple(m.card.labels) for m in models if m.card is not None), ())
    if request.data is None:
        test = _beside(models)
        return test, None, named, test.feature_range
    data = request.data
    if isinstance(data, str) and data.endswith(".npz"):
        parts = array_names(data).issuperset(PARTS)
    else:
        parts = not isinstance(data, Dataset)
    if not parts:
        test = load_data(data)
        return test, None, named, test.feature_range
    split = load_split(data, data_dir=request.data_dir)
    return split.test, split.train, split.labels or named, split.train.feature_range


def _labelled(data: Dataset) -> np.ndarray:
    """The labels of some data."""
    if data.y is None:
        raise BadData(
            f"data '{data.name}' has no labels y, and an evaluation is about them",
            "add the array y to the file",
        )
    return data.y


def _beside(models: list[LoadedModel]) -> Dataset:
    """The sample that lies beside the models."""
    found = []
    for model in models:
        if model.card is None or model.sample is None:
            raise BadData(
                f"model '{model.name}' has no card that names its data",
                "give `data=NAME` or FILE.npz",
            )
        found.append((model.name, model.card, model.sample))
    first, card, sample = found[0]
    for other, its, _ in found[1:]:
        if its.sample_sha256 != card.sample_sha256:
            raise BadSetting(
                f"'{first}' and '{other}' have different samples beside them, and networks are "
                "compared on the same ones",
                "give `data`",
            )
    return read_dataset(sample, name=f"{card.data} (sample beside the model)")


def _chosen(request: EvaluateRequest, count: int, name: str) -> tuple[np.ndarray, str]:
    """Numbers of the samples to take, and in words which these are."""
    if request.samples is not None:
        first, last = check_range(*request.samples, count, f"the test part of data '{name}'")
        return np.arange(first, last), f"numbers {first} to {last - 1} of the test part"
    wanted = COUNT if request.count is None else request.count
    if wanted >= count:
        return np.arange(count), "all of the test part"
    return _spread(count, wanted), "evenly spread over the test part"


def _spread(count: int, wanted: int) -> np.ndarray:
    """Places that are even everywhere; those of fewer samples are among those of more.

    In steps of the golden section, as plain equal steps may fall in with classes that take turns.
    """
    return np.sort(even_order(count)[:wanted])


def _check_fits(data: Dataset, model: LoadedModel, classes: tuple[str, ...]) -> None:
    takes, given = model.network.input_shape, data.x.shape[1:]
    if prod(takes) != prod(given):
        kinds = _image(given), _image(takes)
        remedy = "give data of that shape"
        if all(kinds) and {given[0], takes[0]} == {1, 3}:
            remedy = "convert the images, or take a network that was trained on such"
        raise BadShape(
            f"data '{data.name}' has {kinds[0] or f'samples of shape {given}'}, but the network "
            f"'{model.name}' takes {kinds[1] or f'inputs of shape {takes}'}",
            remedy,
        )
    check_order(takes, given, f"the network '{model.name}'", f"data '{data.name}'")
    outputs = prod(model.network.output_shape)
    if outputs < 2:
        raise BadShape(
            f"the network '{model.name}' has {outputs} output, and classes are told apart by two "
            "or more",
            "'sensverify verify' bounds what it can give",
        )
    if classes and len(classes) != outputs:
        raise BadData(
            f"data '{data.name}' has {len(classes)} classes, but the network '{model.name}' has "
            f"{outputs} outputs",
            "give the data it was trained for",
        )


def _image(shape: tuple[int, ...]) -> str:
    """Name of an image's kind; empty for another shape."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        return ""
    return f"{'grey' if shape[0] == 1 else 'RGB'} images of {shape[1]} x {shape[2]}"


def _shape(data: Dataset, networks: list[Network]) -> tuple[int, ...]:
    """The shape of one sample: an image's where the data or a network says that it is one."""
    shapes = [data.x.shape[1:], *(network.input_shape for network in networks)]
    return next((shape for shape in shapes if _image(shape)), shapes[0])


def _narrow(data: Dataset) -> np.ndarray:
    """The samples in float32."""
    with np.errstate(over="ignore"):
        x = data.x.astype(np.float32)
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        raise BadData(
            f"data '{data.name}': sample {int(finite.argmin())} has a value that does not fit "
            "float32, up to 3.4e38"
        )
    return x


def _digest(*arrays: np.ndarray) -> str:
    return sha256_of_all(part for values in arrays for part in array_parts(values))
