import torch

from policy_update.rewards.self_certainty import self_certainty


def test_equals_the_definition_on_whole_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 4, 5, generator=generator)
    head = torch.randn(11, 5, generator=generator)
    ids = torch.randint(0, 11, (3, 4), generator=generator)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    logits = (hidden @ head.t()).double()
    logprobs = logits.log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1)
    found = self_certainty(hidden, head, ids, logprobs, mask)
    certainty = logits.logsumexp(-1) - logits.mean(-1)
    expected = (certainty * mask).sum(1) / mask.sum(1)
    assert torch.allclose(found.double(), expected, atol=1e-5)
    # KL(uniform || p) = u - log V >= 0: never below that of a uniform distribution.
    assert (found >= torch.log(torch.tensor(11.0)) - 1e-5).all()


def test_uniform_is_the_least_certain() -> None:
    zeros = torch.zeros(1, 2, 5)
    uniform = -torch.log(torch.tensor(11.0)).expand(1, 2)
    found = self_certainty(zeros, torch.ones(11, 5), torch.zeros(1, 2, dtype=torch.long), uniform, torch.ones(1, 2))
    assert torch.allclose(found, torch.log(torch.tensor([11.0])))
