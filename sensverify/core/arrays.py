"""The arrays that boxes and results hold, by name, for whoever reads or checks types.

At run time this module knows neither numpy nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor as Tensor
    from typing_extensions import TypeVar

    Kind = TypeVar("Kind", covariant=True, default=Any)
    """Kind of the arrays of a box: of numpy, or of torch."""
else:
    from typing import TypeVar

    Kind = TypeVar("Kind", covariant=True)

Given = TypeVar("Given")
"""Kind of the arrays that a function is given."""

Array: TypeAlias = Any
"""A numpy array or a torch tensor, where either goes in and the same comes out."""
