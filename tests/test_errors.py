"""The tree of errors: what they carry, and what is left of it between processes."""

from __future__ import annotations

import inspect
import pickle

import pytest

from sensverify import errors

_ALL = [each for _, each in inspect.getmembers(errors, inspect.isclass) if each is not errors.Self]


@pytest.mark.parametrize("kind", _ALL)
def test_every_error_carries_its_problem_and_its_remedy(
    kind: type[errors.SensverifyError],
) -> None:
    error = pickle.loads(pickle.dumps(kind("it is -1", "give `radius`")))
    assert isinstance(error, kind)
    assert (error.problem, error.remedy) == ("it is -1", "give `radius`")
    assert str(error) == "it is -1; give `radius`"
    assert str(kind("it is -1")) == "it is -1"


def test_what_an_error_is_about_is_a_part_of_its_problem() -> None:
    error = errors.BadBox("it is -1", "give `radius`").about("feature 3")
    assert isinstance(error, errors.BadBox)
    assert (error.problem, error.remedy) == ("feature 3: it is -1", "give `radius`")
