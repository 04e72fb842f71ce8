"""Pure mathematics that more than one room needs: numpy and scipy, no clock, no I/O, no settings."""

from infra.statistics.e_process import Design, EProcess, block_ids, excess_e_process
from infra.statistics.intervals import (
    Estimate,
    clustered_bootstrap,
    clustered_difference,
    clustered_mean,
    wilson_interval,
)
from infra.statistics.off_policy import (
    OffPolicyEstimate,
    doubly_robust,
    effective_sample_size,
    inverse_propensity,
    self_normalised,
)
from infra.statistics.off_policy_intervals import (
    always_valid_interval,
    doubly_robust_scores,
    inverse_propensity_scores,
    off_policy_interval,
    self_normalised_scores,
    switch_scores,
)
from infra.statistics.sample_ratio import log_dirichlet_factor, sample_ratio_e_process
from infra.statistics.sequences import (
    ConfidenceSequence,
    asymptotic_margin,
    asymptotic_rho,
    augmented_scores,
    mean_confidence_sequence,
)
from infra.statistics.two_arm import InvalidStatisticsInput, log_block_factors, nearest_null_rate

__all__ = [
    "ConfidenceSequence",
    "Design",
    "EProcess",
    "Estimate",
    "InvalidStatisticsInput",
    "OffPolicyEstimate",
    "always_valid_interval",
    "asymptotic_margin",
    "asymptotic_rho",
    "augmented_scores",
    "block_ids",
    "clustered_bootstrap",
    "clustered_difference",
    "clustered_mean",
    "doubly_robust",
    "doubly_robust_scores",
    "effective_sample_size",
    "excess_e_process",
    "inverse_propensity",
    "inverse_propensity_scores",
    "log_block_factors",
    "log_dirichlet_factor",
    "mean_confidence_sequence",
    "nearest_null_rate",
    "off_policy_interval",
    "sample_ratio_e_process",
    "self_normalised",
    "self_normalised_scores",
    "switch_scores",
    "wilson_interval",
]
