"""A linear head freed of length: what follows length is taken out along a second head, which is thrown away. Pure.

With features x, log-length l, both centred within prompts, and the length head h that predicts l from x by ridge
regression, the quality head is

    q = w - (cov(x w, l) / cov(x h, l)) h,

so that cov(x q, l) = 0 within prompts: the explicit regressor of `length`, written into the head's weights, where
scoring needs no length to apply it.
"""

import torch
from torch import Tensor

_RIDGE = 1e-3
"""Relative to the mean square of the features: enough to keep the length head finite."""


def without_length(parameters: Tensor, features: Tensor, log_length: Tensor, groups: Tensor) -> Tensor:
    """parameters [E, R] with the length taken out of each; features [N, R] float64, log_length [N], groups [N] (equal
    for answers to one prompt, numbered from 0). Where no prompt has answers of two lengths, all answers are one group;
    where length does not vary at all, nothing changes."""
    x, length = _within(features, groups), _within(log_length[:, None], groups)[:, 0]
    if not float(length.square().sum()) > 1e-9:
        x, length = features - features.mean(0), log_length - log_length.mean()
    if not float(length.square().sum()) > 1e-9:
        return parameters
    gram = x.T @ x
    ridge = _RIDGE * float(gram.diagonal().mean()) + 1e-12
    follows = x.T @ length
    head = torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), follows)
    share = float(head @ follows)
    if not share > 1e-12:
        return parameters
    cleaned: Tensor = parameters - torch.outer(parameters @ follows / share, head)
    return cleaned


def _within(values: Tensor, groups: Tensor) -> Tensor:
    count = int(groups.max()) + 1
    sums = torch.zeros(count, values.shape[1], dtype=values.dtype).index_add_(0, groups, values)
    sizes = torch.bincount(groups, minlength=count).clamp_min(1)[:, None]
    return values - (sums / sizes)[groups]
