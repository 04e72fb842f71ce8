"""The value head: learns what it is shown, leaves the policy alone, and comes back from its state."""

import torch

from policy_update.critic import Critic


def test_it_learns_a_linear_value_and_gives_no_gradient_on() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(64, 16)
    wanted = hidden @ torch.randn(16) / 4 + 1
    critic = Critic(16, torch.device("cpu"), 0.1)
    assert critic(hidden).tolist() == [0.0] * 64
    for _ in range(300):
        (critic(hidden) - wanted).square().mean().backward()
        critic.step()
    assert float((critic(hidden) - wanted).abs().max().detach()) < 0.05


def test_a_state_is_gone_on_from_exactly() -> None:
    hidden = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    first = Critic(4, torch.device("cpu"), 0.1)

    def learn(critic: Critic) -> None:
        (critic(hidden) - 1).square().mean().backward()
        critic.step()

    learn(first)
    second = Critic(4, torch.device("cpu"), 0.1)
    second.load({name: value.clone() for name, value in first.state().items()})
    for critic in (first, second):
        learn(critic)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
