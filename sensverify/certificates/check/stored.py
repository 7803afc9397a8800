"""The network that an ONNX file stores, and what tells the file from others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from sensverify.certificates.check.ending import Ending
from sensverify.certificates.check.program import Program, program_of
from sensverify.errors import (
    BadModelFile,
    CertificateRejected,
    SensverifyError,
    UnsupportedOperator,
)
from sensverify.formats.onnx import Ends, read_onnx
from sensverify.formats.onnx.ends import WHOLE
from sensverify.network import Network
from sensverify.network.signature import Signature


@dataclass(frozen=True, eq=False)
class StoredModel:
    """The network that an ONNX file stores: every weight as it is there.

    Parameters
    ----------
    network : Network
        Not simplified.
    program : Program
    sha256 : str
    external : dict from file name to SHA-256
    ending : Ending or None
        The end of the file that the network leaves out.
    signature : Signature or None
        The names of several inputs and outputs.
    """

    network: Network
    program: Program
    sha256: str
    external: dict[str, str]
    ending: Ending | None = None
    signature: Signature | None = None

    @classmethod
    def read(
        cls, path: str | os.PathLike[str], *, runtime_check: bool = True, logits: bool = False
    ) -> StoredModel:
        """Read an ONNX file; ``runtime_check`` and errors as for ``load_onnx``.

        ``logits``: up to the logits, where its end makes probabilities or a label of them.
        """
        ends = Ends(head="peel") if logits else WHOLE
        model = read_onnx(path, simplified=False, runtime_check=runtime_check, ends=ends)
        if model.batch > 1:
            raise BadModelFile(
                f"'{path}' takes {model.batch} samples at once, and a certificate of its logits "
                "is about one",
                "export it with a batch axis that is left open",
            )
        program, external = program_of(model.network), dict(model.external)
        ending = Ending.of(model)
        return cls(model.network, program, model.sha256, external, ending, model.signature)

    @classmethod
    def read_for(
        cls, ending: Ending | None, path: str | os.PathLike[str], *, runtime_check: bool = True
    ) -> StoredModel:
        """Read an ONNX file for a certificate that leaves out an end, or none.

        Where the certificate is about the file's own output, and that is none of a network here,
        the file is read up to its logits: `require_ending` then says so.
        """
        try:
            return cls.read(path, runtime_check=runtime_check, logits=ending is not None)
        except (BadModelFile, UnsupportedOperator):
            if ending is None:
                with suppress(SensverifyError):
                    found = cls.read(path, runtime_check=runtime_check, logits=True)
                    if found.ending is not None:
                        return found
            raise

    def require_ending(self, ending: Ending | None) -> None:
        """Refuse, with `CertificateRejected`, claims about another value of the file."""
        if self.ending != ending:
            theirs, ours = (
                "the file's own output" if e is None else str(e) for e in (ending, self.ending)
            )
            raise CertificateRejected(
                f"the certificate is about {theirs}, and the model was read up to {ours}"
            )

    def require(self, sha256: str, external: Mapping[str, str]) -> None:
        """Refuse, with `CertificateRejected`, digests of other bytes, and say of which file."""
        if self.sha256 != sha256:
            raise CertificateRejected(
                f"the certificate is about another model file: SHA-256 {sha256}, this one has "
                f"{self.sha256}"
            )
        for location in sorted({*external, *self.external}):
            digests = (external.get(location), self.external.get(location))
            if digests[0] != digests[1]:
                first, second = (f"SHA-256 {d}" if d else "nothing" for d in digests)
                raise CertificateRejected(
                    f"the model's external data have changed: the certificate is about {first} in "
                    f"'{location}', the model now reads {second} there"
                )

    def require_shapes(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> None:
        """Refuse, with `CertificateRejected`, other shapes than the network's."""
        shapes = (self.network.input_shape, self.network.output_shape)
        if shapes != (inputs, outputs):
            raise CertificateRejected(
                f"the certificate is about inputs {inputs} and outputs {outputs}; the model has "
                f"{shapes[0]} and {shapes[1]}"
            )
