"""Torch's number of threads for a while."""

from __future__ import annotations

import pytest
import torch

from sensverify.bounds.threads import torch_threads


@pytest.mark.parametrize("count", [None, 1, 3])
def test_it_is_put_back_after_an_error_too(count: int | None) -> None:
    before = torch.get_num_threads()
    inside = []

    def work() -> None:
        with torch_threads(count):
            inside.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert inside == [before if count is None else count]
    assert torch.get_num_threads() == before
