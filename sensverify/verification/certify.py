"""Certified bounds from Python: a model's file and a box in, bounds with their certificate out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sensverify.bounds import compute_bounds, make_method
from sensverify.bounds.method import Method
from sensverify.certificates import Checked
from sensverify.core.box import Array, Box, to_numpy
from sensverify.core.brief import count_of
from sensverify.core.provenance import settings_of
from sensverify.core.record import versions
from sensverify.core.results import Bounds
from sensverify.core.sets import InputSet
from sensverify.formats.onnx.ends import WHOLE, Ends
from sensverify.models.loading import load_model
from sensverify.runs.watch import Watch
from sensverify.verification.certifying import Certifier


@dataclass(frozen=True, eq=False)
class CertifiedBounds:
    """Bounds that rigorous arithmetic has derived again, and the file that proves them.

    Parameters
    ----------
    bounds : Bounds
        Guarantee CERTIFIED; its outer box is in float64.
    data : bytes
        The certificate: written to a file, ``sensverify check`` checks it.
    checked : Checked
        Outcome of the independent check that it has passed.
    float32 : numpy array, shape ``[batch, outputs]``
        By how much an output that is evaluated in float32 can differ from the real-valued one.
    """

    bounds: Bounds
    data: bytes
    checked: Checked
    float32: np.ndarray

    def __repr__(self) -> str:
        certificate = f"certificate of {count_of(len(self.data), 'byte')}"
        return f"CertifiedBounds({self.bounds}, {certificate}, {self.checked.summary})"

    def write(self, path: str | Path) -> None:
        """Write the certificate to a file."""
        Path(path).write_bytes(self.data)


def certify(
    model: str | Path,
    box: Box,
    method: Method | str = "crown",
    objectives: Array | None = None,
    *,
    watch: Watch | None = None,
    runtime_check: bool = True,
    logits: bool = False,
) -> CertifiedBounds:
    """Bound a model's outputs over boxes, and prove the bounds to whoever trusts none of this.

    Parameters
    ----------
    model : str or Path
        Name of a shipped model, or path of an ``.onnx`` or ``.onnx.gz`` file. A live module has no
        file that a certificate could be about.
    box : Box, shape ``[batch, *input_shape]``
        Certified as it is, not rounded.
    method : Method or str
        One that hands out proofs, or its name, also with settings: ``crown(intermediate=ibp)``.
    objectives : array ``[rows, outputs]`` or ``[batch, rows, outputs]``, optional
        As for `compute_bounds`. Default: the outputs.
    watch : Watch, optional
        Once it is over, what is proven by then is certified.
    runtime_check : bool
        Compare the model with onnxruntime when it is read; see ``load_onnx``.
    logits : bool
        Where the file ends in what makes probabilities or a label of logits, such as a softmax, the
        outputs are those logits.

    Returns
    -------
    CertifiedBounds
        Guarantee CERTIFIED, of the real-valued function of the file's stored weights.

    Raises
    ------
    SensverifyError
        The model or the box cannot be used, or the method hands out no proofs.
    UnsoundResult
        The independent check does not pass: nothing may be claimed.

    Examples
    --------
    >>> import numpy as np
    >>> import sensverify as sv
    >>> box = sv.Box.around(np.array([[5.1, 3.5, 1.4, 0.2]]), 0.1)
    >>> found = sv.certify("iris", box)
    >>> print(found.bounds.guarantee)
    CERTIFIED
    >>> found.checked.claims
    6
    """
    ends = Ends(head="peel") if logits else WHOLE
    loaded = load_model(str(model), runtime_check=runtime_check, ends=ends)
    certifier = Certifier(loaded)
    method = make_method(method) if isinstance(method, str) else method
    lower, upper = (np.asarray(to_numpy(end), np.float64) for end in (box.lower, box.upper))
    asked = Box(lower, upper)
    if isinstance(box, InputSet):
        asked = box.converted(lower, upper, lambda values: np.asarray(to_numpy(values)))
    rows = None if objectives is None else torch.as_tensor(to_numpy(objectives)).double()
    with torch.no_grad():
        network = certifier.bounded(loaded.network)
        proposed = compute_bounds(network, asked, method, rows, watch=watch, proof=True)
    rows = rows[None] if rows is not None and rows.ndim == 2 else rows
    found = certifier.bounds(proposed, asked, rows, gap=method.gap, watch=watch)
    facts = {
        "method": method.name,
        "settings": settings_of(method),
        "rows": f"{'the outputs' if rows is None else 'the objectives'}; then all of them negated",
        "versions": versions(),
    }
    done = certifier.finish(facts)
    return CertifiedBounds(found.bounds, done.data, done.checked, found.float32)
