"""Data that a program holds: arrays, pairs, tables, and the data sets of torch and Hugging Face.

No package is imported for them: whose objects they are is told by what they can do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from sensverify.data.columns import find_label, label_note, table_dataset
from sensverify.data.dataset import Dataset
from sensverify.data.folders import pixels_of
from sensverify.data.labels import one_column
from sensverify.data.npz import floating
from sensverify.data.reading import Reading
from sensverify.data.split import Split, make_split
from sensverify.errors import BadData, BadSetting, BadShape
from sensverify.formats.arrays import SIZE_LIMIT

OFFERED = (
    "a `Dataset`, a `Split`, a function that returns one, an array, a tensor, a pair (x, y), a "
    "DataFrame, or a data set or loader of torch or Hugging Face"
)

NAME = "given samples"
"""Name of data that have no other, in messages and reports."""

_PIXELS = "images are pixels in [0, 1], channels first"


def adopt(found: Any, name: str, reading: Reading | None = None) -> Dataset | Split | None:
    """The samples of an object; None where it is none that holds any.

    Parameters
    ----------
    found : object
        Arrays, tensors and nested lists are samples; a pair is samples and labels; a mapping with
        ``train`` and ``test`` has two parts.
    name : str
        Of the data, for messages and reports.
    reading : Reading, optional

    Raises
    ------
    BadData, BadShape, BadSetting
        It cannot be used.
    """
    reading = reading or Reading()
    if isinstance(found, Dataset | Split):
        reading.check((), "data that are read already")
        return found
    if isinstance(found, Mapping) and {"train", "test"} <= found.keys():
        parts = [adopt(found[part], name, reading) for part in ("train", "test")]
        train, test = parts
        if not (isinstance(train, Dataset) and isinstance(test, Dataset)):
            raise BadData(f"data '{name}': its parts hold no samples", f"give {OFFERED}")
        return make_split(train, test, rule="the parts are those of the data")
    data = _dataset(found, name, reading)
    return data.channels_first() if data is not None and reading.nhwc else data


def _dataset(found: Any, name: str, reading: Reading) -> Dataset | None:
    if callable(found):
        return None
    if hasattr(found, "columns") and hasattr(found, "to_numpy"):
        reading.check(("label",), "a table")
        columns = {str(each): np.asarray(found[each]) for each in found.columns}
        return table_dataset(name, columns, reading.label)
    if hasattr(found, "column_names") and hasattr(found, "features"):
        reading.check(("label", "nhwc"), "a data set of Hugging Face")
        return _hugging_face(found, name, reading.label)
    reading.check(("nhwc",), f"data such as {type(found).__name__}")
    if isinstance(found, tuple) and len(found) == 2:
        x, y = found
        return Dataset(name, floating(_array(x, name)), None if y is None else _labels(y, name))
    if isinstance(found, list) or hasattr(found, "__array__"):
        return Dataset(name, floating(_array(found, name)))
    if hasattr(found, "__next__") or (hasattr(found, "dataset") and hasattr(found, "batch_size")):
        return _loader(found, name)
    if not _is_torch_set(found):
        return None
    return _stacked(_items(found), _length(found), name, getattr(found, "classes", ()))


def _is_torch_set(found: Any) -> bool:
    """True of a torch ``Dataset``, and of what has samples by their numbers as it does."""
    iterable = "IterableDataset" in {each.__name__ for each in type(found).__mro__}
    sized = hasattr(found, "__getitem__") and hasattr(found, "__len__")
    return iterable or (sized and not isinstance(found, str | bytes | Mapping))


def _length(found: Any) -> int | None:
    try:
        return len(found)
    except TypeError:
        return None


def _items(found: Any) -> Iterator[Any]:
    count = _length(found)
    return iter(found) if count is None else (found[place] for place in range(count))


def _plain(value: Any) -> Any:
    """A tensor as an array, wherever it is; an image as pixels; all else as it is."""
    if hasattr(value, "getbands"):
        return pixels_of(value)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # numpy has no such type.
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
        return value.numpy()
    return value


def _array(values: Any, name: str) -> np.ndarray:
    """Samples as an array of numbers."""
    try:
        found = np.asarray(_plain(values))
    except (TypeError, ValueError) as error:
        raise BadData(f"data '{name}': samples are no array of numbers: {error}") from None
    if found.dtype.kind not in "biuf":
        raise BadData(f"data '{name}': samples are numbers, got {found.dtype} values")
    return found


def _labels(values: Any, name: str) -> np.ndarray:
    found = np.asarray(_plain(values))
    if found.dtype.kind not in "biufUSTO":
        raise BadData(f"data '{name}': labels are numbers or text, got {found.dtype} values")
    return one_column(found)


def _loader(found: Any, name: str) -> Dataset:
    """The samples of a torch ``DataLoader``, or of batches, in the order in which they come."""
    xs: list[np.ndarray] = []
    ys: list[np.ndarray] = []
    taken = 0
    for batch in found:
        x, y = _pair(batch, name)
        xs.append(floating(_array(x, name)))
        taken = _within(taken + xs[-1].nbytes, name)
        if y is not None:
            ys.append(_labels(y, name))
        elif hasattr(found, "__next__"):
            raise BadData(f"data '{name}': a batch is no pair of samples and labels")
    if not xs:
        raise BadData(f"data '{name}': the loader gives no batches")
    if ys and len(ys) < len(xs):
        raise BadData(f"data '{name}': some batches have labels, and some have none")
    if len({x.shape[1:] for x in xs}) > 1:
        raise BadShape(f"data '{name}': samples differ in shape from batch to batch")
    shuffled = type(getattr(found, "sampler", None)).__name__ == "RandomSampler"
    notes = ("the loader shuffles: samples are numbered as it gave them",) if shuffled else ()
    y = np.concatenate(ys) if ys else None
    classes = _class_names(getattr(getattr(found, "dataset", None), "classes", ()), y)
    return Dataset(name, np.concatenate(xs), y, classes=classes, notes=notes)


def _stacked(items: Iterable[Any], count: int | None, name: str, classes: Any) -> Dataset:
    """Samples that come one by one, as ``x`` or as ``(x, y)``."""
    items = iter(items)
    first = next(items, None)
    if first is None:
        raise BadData(f"data '{name}' holds no samples")
    shape = _array(_pair(first, name)[0], name).shape
    x: list[np.ndarray] = []
    y: list[Any] = []
    taken, images = 0, False
    for place, item in enumerate(chain([first], items)):
        sample, label = _pair(item, name)
        images |= hasattr(sample, "getbands")
        values = floating(_array(sample, name))
        if values.shape != shape:
            raise BadShape(
                f"data '{name}': sample {place} has the shape {values.shape}, and the first one "
                f"{shape}",
                "bring all samples to one shape",
            )
        # The first of many tells how much all will take.
        if count is None or place == 0:
            taken = _within(taken + values.nbytes * (count or 1), name)
        x.append(values)
        y += [] if label is None else [_plain(label)]
    if y and len(y) < len(x):
        raise BadData(f"data '{name}': {len(x) - len(y)} of {len(x)} samples have no label")
    labels = _labels(y, name) if y else None
    clip = (0.0, 1.0) if images else None
    return Dataset(
        name,
        np.stack(x),
        labels,
        clip=clip,
        classes=_class_names(classes, labels),
        notes=(_PIXELS,) if images else (),
    )


def _pair(item: Any, name: str) -> tuple[Any, Any]:
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    if isinstance(item, tuple | list) and len(item) == 1:
        return item[0], None
    if isinstance(item, Mapping | tuple | list):
        raise BadData(
            f"data '{name}' gives samples as {type(item).__name__} of {len(item)}",
            "give pairs of a sample and its label, as torch's TensorDataset does",
        )
    return item, None


def _within(taken: int, name: str) -> int:
    if taken > SIZE_LIMIT:
        raise BadData(
            f"data '{name}' holds {taken:,} bytes, above the limit of {SIZE_LIMIT:,}",
            "take some of the samples",
        )
    return taken


def _class_names(classes: Any, y: np.ndarray | None) -> tuple[str, ...]:
    """Names of the classes that an object tells, where they fit its labels."""
    if not isinstance(classes, list | tuple) or not all(isinstance(c, str) for c in classes):
        return ()
    if y is None or y.dtype.kind not in "iu" or y.ndim != 1:
        return ()
    return tuple(classes) if int(y.min()) >= 0 and int(y.max()) < len(classes) else ()


def _hugging_face(found: Any, name: str, asked: str | None) -> Dataset:
    """A table whose features are numbers, or whose only feature is an image or an array."""
    count = _length(found)
    if count is None:
        raise BadData(f"data '{name}' are streamed", "load them without `streaming=True`")
    names = list(found.column_names)
    place = find_label(names, asked, f"data '{name}'")
    features = [each for number, each in enumerate(names) if number != place]
    whole = [each for each in features if type(found.features[each]).__name__ != "Value"]
    if whole and len(features) > 1:
        raise BadSetting(
            f"data '{name}': samples are one column, and {', '.join(features)} are there",
            f"choose one: data.select_columns([{whole[0]!r}, ...])",
        )
    labels = None if place is None else [_plain(each) for each in found[names[place]]]
    if not whole:
        columns = {each: np.asarray([_plain(v) for v in found[each]]) for each in features}
        y = {} if place is None else {names[place]: np.asarray(labels)}
        data = table_dataset(name, {**columns, **y}, asked)
    else:
        pairs = ((found[i][features[0]], None) for i in range(count))
        data = _stacked(pairs, count, name, ())
        notes = (*data.notes, label_note(names, place, asked))
        data = Dataset(
            name,
            data.x,
            None if labels is None else _labels(labels, name),
            clip=data.clip,
            notes=tuple(filter(None, notes)),
        )
    told = () if place is None else getattr(found.features[names[place]], "names", ())
    classes = data.classes or _class_names(told, data.y)
    return Dataset(name, data.x, data.y, clip=data.clip, classes=classes, notes=data.notes)
