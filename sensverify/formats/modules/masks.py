"""Boolean masks as indices, settled while a module is traced."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

_INDEXING = (Tensor.__getitem__, Tensor.__setitem__)

_AUGMENTED = re.compile(r"__i(add|and|div|floordiv|lshift|mod|mul|or|pow|rshift|sub|truediv|xor)__")

_FIXED = re.compile(
    r"__(and|eq|ge|getitem|gt|invert|le|lt|ne|or|xor)__|bitwise_\w+|logical_\w+"
    r"|(full|ones|zeros)_like|abs|arange|as_tensor|bool|clone|detach|eq|expand|eye|flatten|flip"
    r"|float|full|ge|gt|isin|le|linspace|long|lt|ne|ones|remainder|repeat|reshape|squeeze|tensor"
    r"|to|tril|triu|unsqueeze|view|zeros"
)
"""Functions that masks are made with: each gives the same whenever it is called."""


class SettledMasks(TorchFunctionMode):
    """Puts the positions in the place of every mask of constants that a tensor is indexed with.

    In a trace, the buffers of a module have no values, so that the size of ``x[:, mask]`` would
    stay open, and most operators do not take it. Here the values are worked out aside: of buffers,
    of tensors that the module keeps or writes down, and of what it computes from these alone.

    Parameters
    ----------
    module : torch.nn.Module
        Before it is traced.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = module
        self._buffers = dict(module.named_buffers())
        self._made: dict[int, tuple[Tensor, Callable[..., Any], Any, Any]] = {}
        self._open = True

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function, its index settled where it is one."""
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if func in _INDEXING:
            args = (args[0], self._settled(args[1]), *args[2:])
        result = func(*args, **kwargs)
        if func is Tensor.__setitem__ or "out" in kwargs or _in_place(name):
            # A mask that may have been written to is left alone.
            self._open = self._open and not self._constant([args, kwargs])
        elif isinstance(result, Tensor) and _is_fixed(name) and self._constant([args, kwargs]):
            self._made[id(result)] = (result, func, args, kwargs)
        return result

    def _settled(self, index: Any) -> Any:
        if isinstance(index, tuple):
            return tuple(part for each in index for part in self._positions(each))
        positions = self._positions(index)
        return positions[0] if len(positions) == 1 else positions

    def _positions(self, index: Any) -> tuple[Any, ...]:
        """An index, or the positions along every axis of a mask."""
        mask = isinstance(index, Tensor) and index.dtype == torch.bool and index.ndim > 0
        if not mask or not self._open or not self._constant(index):
            return (index,)
        with torch._C.DisableTorchFunction(), _disable_current_modes():
            return tuple(self._value(index).nonzero().cpu().unbind(1))

    def _constant(self, value: Any) -> bool:
        """True where all tensors in an argument have values that are known, and stay."""
        found = [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
        return all(
            id(leaf) in self._made or self._buffer(leaf) is not None or type(leaf) is Tensor
            for leaf in found
        )

    def _value(self, tensor: Tensor) -> Tensor:
        if id(tensor) in self._made:
            _, func, args, kwargs = self._made[id(tensor)]
            args, kwargs = tree_map_only(Tensor, self._value, (args, kwargs))
            return func(*args, **kwargs)
        buffer = self._buffer(tensor)
        return tensor if buffer is None else buffer

    def _buffer(self, tensor: Tensor) -> Tensor | None:
        """The values of what is a buffer in the module while it is traced."""
        if not isinstance(tensor, FakeTensor):
            return None
        names = (name for name, each in self._module.named_buffers() if each is tensor)
        return self._buffers.get(next(names, ""))


# A trace calls thousands of functions, of few names.
@cache
def _is_fixed(name: str) -> bool:
    return bool(_FIXED.fullmatch(name))


@cache
def _in_place(name: str) -> bool:
    return bool(_AUGMENTED.fullmatch(name)) or (name.endswith("_") and not name.endswith("__"))
