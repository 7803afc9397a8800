"""Jacobian norms against closed forms, and the estimate against what it estimates."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sensverify.errors import BadSetting
from sensverify.measures import jacobian_norms, projected_norms


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def small_net() -> nn.Sequential:
    """Smooth, so that finite differences see no kink."""
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=number))
    return net


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_linear_map_has_the_norm_of_its_matrix(dtype: torch.dtype) -> None:
    weight = drawn(3, 5).to(dtype)
    norms = jacobian_norms(lambda x: x @ weight.T + 1, drawn(4, 5, seed=1).to(dtype))
    torch.testing.assert_close(norms, weight.norm().expand(4))
    assert norms.dtype == dtype
    assert not norms.requires_grad


def test_diagonal_weights_have_the_root_of_the_sum_of_their_squares() -> None:
    weight = torch.diag(torch.tensor([3.0, -4.0, 12.0]))
    norms = jacobian_norms(lambda x: x @ weight, torch.zeros(2, 3))
    assert norms.tolist() == [13.0, 13.0]


def test_every_sample_has_a_jacobian_of_its_own() -> None:
    x = drawn(5, 2, 3)
    norms = jacobian_norms(lambda x: x.square(), x)
    torch.testing.assert_close(norms, (2 * x).flatten(1).norm(dim=1))


def test_the_jacobian_that_torch_computes_entry_by_entry() -> None:
    net, x = small_net(), drawn(3, 4, seed=9)
    whole = torch.autograd.functional.jacobian(net, x)
    expected = torch.stack([whole[i, :, i].norm() for i in range(3)])
    torch.testing.assert_close(jacobian_norms(net, x), expected)


def test_a_factor_on_the_outputs_is_a_factor_on_the_norm() -> None:
    net, x = small_net(), drawn(3, 4, seed=9)
    torch.testing.assert_close(jacobian_norms(lambda x: -7 * net(x), x), 7 * jacobian_norms(net, x))


def test_gradients_in_weights_and_inputs_are_those_of_finite_differences() -> None:
    net, x = small_net(), drawn(2, 4, seed=9).requires_grad_()
    names = [name for name, _ in net.named_parameters()]

    def norms(x: Tensor, *values: Tensor) -> Tensor:
        def function(x: Tensor) -> Tensor:
            return torch.func.functional_call(net, dict(zip(names, values, strict=True)), x)

        return jacobian_norms(function, x, create_graph=True)

    values = [p.detach().clone().requires_grad_() for p in net.parameters()]
    assert torch.autograd.gradcheck(norms, (x, *values))


def test_the_gradient_of_a_projected_norm_is_that_of_finite_differences() -> None:
    weight = drawn(3, 4).requires_grad_()
    x = drawn(2, 4, seed=1)

    def squares(weight: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return projected_norms(
            lambda x: (x @ weight.T).sin(),
            x,
            projections=2,
            generator=generator,
            create_graph=True,
        )

    assert torch.autograd.gradcheck(squares, (weight,))


@pytest.mark.parametrize("weight", [torch.zeros(3, 4), torch.full((3, 4), 1e-30)])
def test_a_jacobian_of_zero_has_a_finite_gradient(weight: Tensor) -> None:
    weight = weight.clone().requires_grad_()
    norms = jacobian_norms(lambda x: x @ weight.T, torch.ones(2, 4), create_graph=True)
    assert norms.tolist() == [0.0, 0.0]
    norms.sum().backward()
    assert weight.grad is not None
    assert bool(torch.isfinite(weight.grad).all())


def test_a_function_that_does_not_look_at_its_input_has_a_jacobian_of_zero() -> None:
    x = torch.ones(2, 4)
    parameter = torch.ones(2, 3, requires_grad=True)
    for function in (lambda x: torch.ones(2, 3), lambda x: 2 * parameter):
        assert jacobian_norms(function, x).tolist() == [0.0, 0.0]


def test_the_caller_s_input_and_gradient_mode_stay_as_they_are() -> None:
    net, x = small_net(), drawn(3, 4)
    with torch.no_grad():
        norms = jacobian_norms(net, x)
        assert not torch.is_grad_enabled()
    assert not x.requires_grad
    assert not norms.requires_grad
    assert all(p.grad is None for p in net.parameters())


def test_the_projected_norm_is_unbiased() -> None:
    """The mean of 40,000 draws, of a network's Jacobian, within four standard errors."""
    net, count = small_net(), 20_000
    x = drawn(1, 4, seed=9)
    exact = float(jacobian_norms(net, x).square())
    draws = projected_norms(
        net, x.expand(count, -1), projections=2, generator=torch.Generator().manual_seed(5)
    )
    error = float(draws.std()) / count**0.5
    assert 0 < error < 0.02 * exact
    assert abs(float(draws.mean()) - exact) < 4 * error


def test_more_projections_vary_less() -> None:
    net, x = small_net(), drawn(1, 4, seed=9).expand(4000, -1)

    def spread(projections: int) -> float:
        generator = torch.Generator().manual_seed(1)
        squares = projected_norms(net, x, projections=projections, generator=generator)
        return float(squares.std())

    assert spread(16) < 0.35 * spread(1)


def test_orthogonal_rows_of_one_length_need_one_projection() -> None:
    """Every direction of the outputs then has the same norm: the estimate is exact."""
    weight = 3 * torch.eye(4, dtype=torch.float64)
    squares = projected_norms(
        lambda x: x @ weight, drawn(5, 4), projections=1, generator=torch.Generator()
    )
    torch.testing.assert_close(squares, torch.full((5,), 36.0, dtype=torch.float64))


def test_projections_come_from_the_generator_alone() -> None:
    net, x = small_net(), drawn(3, 4)

    def once(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return projected_norms(net, x, projections=1, generator=generator)

    before = torch.random.get_rng_state()
    assert torch.equal(once(3), once(3))
    assert not torch.equal(once(3), once(4))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_no_projections_are_refused() -> None:
    with pytest.raises(BadSetting, match="at least 1"):
        projected_norms(small_net(), drawn(1, 4), projections=0, generator=torch.Generator())
