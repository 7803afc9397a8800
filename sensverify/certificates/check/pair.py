"""The two models that a certificate of their difference is about."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sensverify.certificates.check.difference import program_of_two
from sensverify.certificates.check.ending import Ending
from sensverify.certificates.check.program import Program
from sensverify.certificates.check.reordering import Order, reordered
from sensverify.certificates.check.stored import StoredModel
from sensverify.errors import BadSetting, BadShape, CertificateRejected


@dataclass(frozen=True)
class NewModel:
    """The second of the two models that a certificate is about, as the certificate has it.

    Parameters
    ----------
    sha256 : str
        Of the bytes of its ONNX file.
    inputs, outputs : tuple of int
        Shapes without the batch axis.
    paired : bool
        Whether the claims follow from differences that were carried step by step; else from both
        networks beside each other.
    external : dict from file name to SHA-256
    ending : Ending or None
        As of the first model.
    orders : tuple of Order
        In which its hidden neurons are paired with the old network's.
    """

    sha256: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    paired: bool
    external: dict[str, str]
    ending: Ending | None = None
    orders: tuple[Order, ...] = ()


@dataclass(frozen=True, eq=False)
class StoredPair:
    """Two models, as the one network of the old one's outputs and the differences to them.

    Parameters
    ----------
    old, new : StoredModel
    paired : bool
    program : Program
        Its outputs are those of the old network, then the new one's less these.
    orders : tuple of Order
        In which neurons of the new network stand in the program.
    """

    old: StoredModel
    new: StoredModel
    paired: bool
    program: Program
    orders: tuple[Order, ...] = ()

    @classmethod
    def of(
        cls,
        old: StoredModel,
        new: StoredModel,
        *,
        paired: bool,
        orders: tuple[Order, ...] = (),
    ) -> StoredPair:
        """Two models that were read.

        Raises
        ------
        BadShape
            Their inputs or outputs have different shapes.
        BadSetting
            They are to be paired and do not have the same steps, or an order is none.
        """
        second = reordered(new.program, orders)
        return cls(old, new, paired, program_of_two(old.program, second, paired=paired), orders)

    @classmethod
    def read_for(
        cls,
        stated: NewModel | None,
        old: StoredModel,
        new: str | os.PathLike[str] | StoredModel | None,
        *,
        runtime_check: bool = True,
    ) -> StoredPair:
        """The pair of a model and the second file, for a certificate that says this of it.

        Raises
        ------
        BadSetting
            The certificate is about one model, or there is no second one.
        CertificateRejected
            The second file is another one. Further errors as of `StoredModel.read_for`.
        """
        if stated is None:
            raise BadSetting("the certificate is about one model, not two", "give that model alone")
        if new is None:
            raise BadSetting(
                "the certificate is about the difference of two models, and one was given",
                "give the new one, too",
            )
        if not isinstance(new, StoredModel):
            new = StoredModel.read_for(stated.ending, new, runtime_check=runtime_check)
        # Before anything is built of both: a file that is not meant need not fit the first.
        new.require(stated.sha256, stated.external)
        try:
            found = cls.of(old, new, paired=stated.paired, orders=stated.orders)
        except (BadSetting, BadShape) as error:
            raise CertificateRejected(
                f"the two files are not as the certificate has them: {error.problem}"
            ) from None
        found.require(stated)
        return found

    @property
    def stated(self) -> NewModel:
        """The second model, as a certificate has to have it."""
        shapes = self.new.network.input_shape, self.new.network.output_shape
        return NewModel(
            self.new.sha256, *shapes, self.paired, self.new.external, self.new.ending, self.orders
        )

    def require(self, stated: NewModel) -> None:
        """Refuse, with `CertificateRejected`, what a certificate says of another second model."""
        self.new.require(stated.sha256, stated.external)
        self.new.require_ending(stated.ending)
        self.new.require_shapes(stated.inputs, stated.outputs)
        if stated.paired != self.paired:
            words = {True: "paired step by step", False: "beside each other"}
            raise CertificateRejected(
                f"the certificate is about the two networks {words[stated.paired]}, and they were "
                f"read {words[self.paired]}"
            )
        if stated.orders != self.orders:
            raise CertificateRejected(
                "the certificate pairs neurons of the second network in another order than they "
                "were read in"
            )
