"""Losses on the margin z = u(preferred) - u(other) of a preference pair, a registry by name. Pure.

All take `z` (any shape, float tensor) and `NoiseParameters`, and return the loss of each element (same shape, nats
unless said otherwise). s is the logistic sigmoid; `e` in [0, 0.5) is the probability that a recorded preference is
flipped; `t` > 1 is a threshold. `mean_loss` checks rows and takes the weighted mean; `REGULARISERS` pin the level.
"""

from reward_model.losses.bounded import gce, huber_of_loss, modified_huber, ropo, sigmoid, truncated_hinge
from reward_model.losses.em import e_step, m_step, repo_em
from reward_model.losses.limits import GradientLimits, gradient_limits
from reward_model.losses.logistic import bt, label_smoothed, rdpo, soft_bce
from reward_model.losses.mixed import (
    forward_corrected,
    huber_bt,
    huber_bt_gradient_bound,
    log_mixed_probability,
    phuber,
)
from reward_model.losses.parameters import Auxiliary, InvalidLoss, NoiseParameters, PairLoss
from reward_model.losses.reduction import InvalidMargin, check_margins, check_soft, check_weights, mean_loss
from reward_model.losses.registry import LOSSES, GradedLoss, graded_loss, pair_loss
from reward_model.losses.regularisers import REGULARISERS, batch_sum, centring, regulariser
from reward_model.losses.ties import fit_tie_ratio, rao_kupper, rao_kupper_tie
from reward_model.losses.variance_reduced import auxiliary_of, vrpo

__all__ = [
    "LOSSES",
    "REGULARISERS",
    "Auxiliary",
    "GradedLoss",
    "GradientLimits",
    "InvalidLoss",
    "InvalidMargin",
    "NoiseParameters",
    "PairLoss",
    "auxiliary_of",
    "batch_sum",
    "bt",
    "centring",
    "check_margins",
    "check_soft",
    "check_weights",
    "e_step",
    "fit_tie_ratio",
    "forward_corrected",
    "gce",
    "graded_loss",
    "gradient_limits",
    "huber_bt",
    "huber_bt_gradient_bound",
    "huber_of_loss",
    "label_smoothed",
    "log_mixed_probability",
    "m_step",
    "mean_loss",
    "modified_huber",
    "pair_loss",
    "phuber",
    "rao_kupper",
    "rao_kupper_tie",
    "rdpo",
    "regulariser",
    "repo_em",
    "ropo",
    "sigmoid",
    "soft_bce",
    "truncated_hinge",
    "vrpo",
]
