"""The networks of a query side by side: loaded, checked against what is declared, and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensverify.bounds import forward_pass
from sensverify.bounds.rounding import query_slack
from sensverify.core.box import Box
from sensverify.errors import BadProperty, BadSetting
from sensverify.formats.onnx.declaring import DeclaredEnd, declared_ends
from sensverify.formats.onnx.ends import Ends
from sensverify.formats.onnx.importer import read_onnx
from sensverify.formats.onnx.original import OriginalFile
from sensverify.formats.vnnlib import Case, NetworkQuery
from sensverify.formats.vnnlib.declarations import Declaration, Tensor
from sensverify.formats.vnnlib.terms import Variable
from sensverify.models.loading import LoadedModel, load_model
from sensverify.models.registry import resolve
from sensverify.network import Network, simplify
from sensverify.network.placing import Placed, side_by_side
from sensverify.network.signature import Port, Signature
from sensverify.registry.names import did_you_mean
from sensverify.verification.certifying import shaped
from sensverify.verification.replay import Replay, Replayed

SUPPORTED = ("real", "float32")
"""Element types whose arithmetic is reasoned about; inputs may be integers beside float32."""


@dataclass(eq=False)
class JointModel:
    """The networks of a query as one.

    Parameters
    ----------
    asked : NetworkQuery
    models : dict of str to LoadedModel
        By the names that the query gives; those that are equal to another have its file.
    model : LoadedModel
        The joint network.
    signature : Signature or None
        Of its inputs that are integers, each on its own.
    unclear : int
        Assignments that onnxruntime confirms, and the declared arithmetic does not.
    """

    asked: NetworkQuery
    models: dict[str, LoadedModel]
    model: LoadedModel
    signature: Signature | None
    unclear: int = field(default=0)

    @classmethod
    def load(
        cls, asked: NetworkQuery, files: Mapping[str, Any], path: Path, runtime_check: bool
    ) -> JointModel:
        """Read the files of a query's networks.

        Raises
        ------
        BadProperty, BadSetting
            Files are missing, too many, or not those of the networks that are declared; or a type
            is declared that is not reasoned about.
        """
        _check_types(asked, path)
        found = _files(asked.networks, files, path)
        models = {}
        for network in asked.networks:
            ends = _check_file(network, found[network.name], path)
            models[network.name] = load_model(
                str(found[network.name]), runtime_check=runtime_check, ends=ends
            )
        for network in asked.networks:
            if network.isomorphic_to:
                _check_alike(network, found, path)
        whole = simplify(_joint(asked, {name: each.network for name, each in models.items()}))
        model = LoadedModel("the networks", None, whole.digest, whole, None, None)
        return cls(asked, models, model, _integers(asked, models))

    def alone(self, asked: NetworkQuery, path: Path) -> LoadedModel:
        """The one model of a query that certificates can be about.

        Raises
        ------
        BadSetting
            The query is about more than that.
        """
        if not asked.plain:
            raise BadSetting(
                f"'{path}' is about more than the outputs of one network, and certificates are "
                "about those",
                "leave the certificate out",
            )
        (model,) = self.models.values()
        return model

    def exact(self) -> Network:
        """The joint network of every weight as it is stored."""
        networks = {
            name: read_onnx(
                model.file, simplified=False, runtime_check=model.runtime_check, ends=model.ends
            ).network
            for name, model in self.models.items()
        }
        return _joint(self.asked, networks)

    def replay(self) -> Replay:
        """Of the files, all of them at once."""
        return Replay(partial(_JointOriginal, self.asked, self.models))

    def confirmed(self, found: Replayed, case: Case) -> bool:
        """Whether an assignment meets the query in the declared arithmetic.

        In float32, every assertion is evaluated as it stands. In real arithmetic, a case has to be
        met by more than float64 rounds.
        """
        if self.asked.real:
            held = self._clear(found, case)
        else:
            values = _Values(self.asked, found.point, found.outputs)
            held = self.asked.assertions.hold(values)
        self.unclear += not held
        return held

    def values(self, point: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """The values of all variables, flat, by name."""
        values = _Values(self.asked, point, outputs)
        return {
            tensor.name: np.array(
                [values(Variable(kind, tensor.start + i)) for i in range(tensor.size)]
            )
            for network in self.asked.networks
            for kind, tensors in (("X", network.inputs), ("Y", network.given))
            for tensor in tensors
        }

    def _clear(self, found: Replayed, case: Case) -> bool:
        network = self.model.network
        at = torch.from_numpy(np.asarray(found.point, np.float64).reshape(1, -1))
        with torch.no_grad():
            outputs = forward_pass(network, at).numpy().ravel()
        query = shaped(case.query, network)
        allowed = query_slack(network, Box(at, at), query)[0].numpy()
        # What compares inputs alone is exact where it is met: float64 holds both sides.
        inner = np.abs(query.rows[:, : self._computed]).sum(axis=1) == 0
        below = query.rows @ outputs <= query.limits - np.where(inner, 0.0, allowed)
        return any(below[list(part)].all() for part in query.alternatives)

    @property
    def _computed(self) -> int:
        return len(self.model_outputs) - len(self.asked.compared)

    @property
    def model_outputs(self) -> range:
        """Places of the joint network's outputs."""
        return range(prod(self.model.network.output_shape))


class _Values:
    """Values of variables at one assignment."""

    def __init__(self, asked: NetworkQuery, point: np.ndarray, outputs: np.ndarray) -> None:
        self._places, self._inputs, self._outputs = asked.places, point.reshape(-1), outputs

    def __call__(self, which: Variable) -> float:
        if which.kind == "X":
            return float(self._inputs[self._places[which.place]])
        return float(self._outputs[which.place])


class _JointOriginal:
    """The files of a query's networks, run by onnxruntime on one assignment at a time."""

    dtype = np.float64

    def __init__(self, asked: NetworkQuery, models: Mapping[str, LoadedModel]) -> None:
        self._asked = asked
        self._files = {
            name: OriginalFile(model.file, model.ends, signature=model.signature)
            for name, model in models.items()
        }

    @property
    def kinds(self) -> tuple[tuple[slice, Any], ...]:
        """The type of every joint input."""
        kinds: dict[int, Any] = {}
        for network in self._asked.networks:
            file = self._files[network.name]
            own = file.kinds or ((slice(0, sum(t.size for t in network.inputs)), file.dtype),)
            first = network.inputs[0].start
            for part, kind in own:
                for place in range(part.start, part.stop):
                    kinds.setdefault(self._asked.places[first + place], kind)
        return tuple((slice(place, place + 1), kinds[place]) for place in sorted(kinds))

    def outputs(self, sample: np.ndarray) -> np.ndarray:
        """Outputs of the joint network, as the files give them, in float64."""
        flat, rows = sample.reshape(-1), []
        for network in self._asked.networks:
            file = self._files[network.name]
            own = flat[_places(self._asked, network)]
            rows.append(file.outputs(own.astype(file.dtype)).astype(np.float64).reshape(-1))
        given = np.concatenate(rows)
        whole = np.array([flat[self._asked.places[i]] for i in self._asked.compared])
        values = _Values(self._asked, flat, given)
        products = np.array([prod(map(values, each)) for each in self._asked.products])
        return np.concatenate([given, products, whole])


def _joint(asked: NetworkQuery, networks: Mapping[str, Network]) -> Network:
    parts = [
        Placed(each.name, networks[each.name], _places(asked, each)) for each in asked.networks
    ]
    compared = [asked.places[i] for i in asked.compared]
    products = [
        tuple((w.kind == "X", asked.places[w.place] if w.kind == "X" else w.place) for w in each)
        for each in asked.products
    ]
    return side_by_side(1 + max(asked.places), parts, compared, products)


def _places(asked: NetworkQuery, network: Declaration) -> np.ndarray:
    first, last = network.inputs[0].start, network.inputs[-1]
    return np.array(asked.places[first : last.start + last.size], np.int64)


def _check_types(asked: NetworkQuery, path: Path) -> None:
    for network in asked.networks:
        for tensor in network.tensors:
            integer = tensor.integer and tensor in network.inputs
            if tensor.dtype not in SUPPORTED and not integer:
                raise BadProperty(
                    f"'{path}': '{tensor.name}' is declared as {tensor.dtype}, whose arithmetic is "
                    f"not reasoned about; {' and '.join(SUPPORTED)} are",
                    "declare every variable as real: the answer is then one about real numbers",
                )


def _files(
    networks: Sequence[Declaration], files: Mapping[str, Any], path: Path
) -> dict[str, Path]:
    """The file of every network, by its name."""
    wanted = [each.name for each in networks if not each.equal_to]
    for name in files:
        if name in wanted:
            continue
        equal = next((n.equal_to for n in networks if n.name == name), "")
        raise BadSetting(
            f"'{path}' says that the network '{name}' is equal to '{equal}', and a file is given"
            if equal
            else f"'{path}' declares no network '{name}'{did_you_mean(name, wanted)}",
            f"give files for {', '.join(wanted)} alone",
        )
    missing = [name for name in wanted if name not in files]
    if missing:
        raise BadSetting(
            f"'{path}' declares the network '{missing[0]}', and no file is given for it",
            f"give one for each of {', '.join(wanted)}, as `networks`",
        )
    found = {name: Path(resolve(str(files[name])).path) for name in wanted}
    return {each.name: found[each.equal_to or each.name] for each in networks}


def _check_file(network: Declaration, file: Path, path: Path) -> Ends:
    """The part of a file that a declaration is about, with lengths that the file leaves open.

    Raises
    ------
    BadProperty
        The file has other inputs or outputs than those declared.
    """
    ends = declared_ends(file)
    for what, declared, found in (
        ("input", network.inputs, ends.inputs),
        ("output", network.outputs, ends.outputs),
    ):
        if len(declared) != len(found):
            names = ", ".join(each.name for each in found)
            raise BadProperty(
                f"'{path}': the network '{network.name}' has {len(declared)} {what}s, and "
                f"'{file}' has {len(found)} ({names})",
                f"declare every {what}, in the order of the file",
            )
        for tensor, end in zip(declared, found, strict=True):
            _check_end(tensor, end, what, file, path)
    beside = tuple(tensor.onnx_name for tensor in network.hidden)
    shapes = tuple(
        (end.name, tensor.shape)
        for tensor, end in zip(network.inputs, ends.inputs, strict=True)
        if _leaves_open(tensor, end)
    )
    return Ends(beside=beside, shapes=shapes)


def _leaves_open(tensor: Tensor, end: DeclaredEnd) -> bool:
    """Whether a length is left open that is not 1 as the first axis, the batch, then is."""
    known = end.shape or ()
    open_ones = [place for place, length in enumerate(known) if length is None]
    return any(place > 0 or tensor.shape[place] != 1 for place in open_ones)


def _check_end(tensor: Tensor, end: DeclaredEnd, what: str, file: Path, path: Path) -> None:
    if tensor.dtype not in ("real", end.dtype):
        raise BadProperty(
            f"'{path}': '{tensor.name}' is declared as {tensor.dtype}, and the {what} '{end.name}' "
            f"of '{file}' holds {end.dtype or 'another type'}",
            "declare it with the type of the file, or every variable as real",
        )
    if end.shape is None:
        return
    known = [n for n in end.shape if n is not None]
    fits = len(tensor.shape) == len(end.shape) and all(
        n is None or n == own for own, n in zip(tensor.shape, end.shape, strict=True)
    )
    # Axes of length 1 change no place.
    apart = [n for n in tensor.shape if n != 1] == [n for n in known if n != 1]
    if not fits and not (len(known) == len(end.shape) and apart):
        shown = ", ".join("?" if n is None else str(n) for n in end.shape)
        raise BadProperty(
            f"'{path}': '{tensor.name}' is declared with the shape {list(tensor.shape)}, and the "
            f"{what} '{end.name}' of '{file}' has [{shown}]",
            "declare it with the shape of the file",
        )


def _check_alike(network: Declaration, files: Mapping[str, Path], path: Path) -> None:
    own, theirs = (
        declared_ends(files[name]).operators for name in (network.name, network.isomorphic_to)
    )
    if own != theirs:
        raise BadProperty(
            f"'{path}' says that the networks '{network.name}' and '{network.isomorphic_to}' are "
            "isomorphic, and their files have other nodes",
            "leave (isomorphic-to ...) out",
        )


def _integers(asked: NetworkQuery, models: Mapping[str, LoadedModel]) -> Signature | None:
    """The joint inputs that are integers, each as an input of its own."""
    found: dict[int, Port] = {}
    for network in asked.networks:
        signature = models[network.name].signature
        rows = {} if signature is None else dict(enumerate(signature.inputs))
        for number, tensor in enumerate(network.inputs):
            port = rows.get(number)
            values = None if port is None else port.values
            if values is None and tensor.integer:
                limits = np.iinfo(tensor.dtype)
                values = int(limits.min), int(limits.max)
            if values is None:
                continue
            for place in range(tensor.start, tensor.start + tensor.size):
                joint = asked.places[place]
                found[joint] = Port(tensor.name, (1,), "int64", joint, values)
    return Signature(tuple(found.values()), ()) if found else None
