"""Pure mathematics that more than one room needs: numpy and scipy, no clock, no I/O, no settings."""

from infra.statistics.asymptotic import AsymptoticDesign, AsymptoticState, asymptotic_e_process, asymptotic_path
from infra.statistics.best_arm import BestArm, decide_best_arm, pairwise_log_e, probability_best, top_two_allocation
from infra.statistics.betting import (
    Arms,
    BettingDesign,
    betting_e_process,
    gains,
    pair_of_arms,
    scores,
    two_arms,
    wealth,
)
from infra.statistics.betting_state import BettingState
from infra.statistics.bounded_means import (
    betting_interval,
    empirical_bernstein_sequence,
    mean_interval,
    mixture_concentration,
    rate_interval,
)
from infra.statistics.e_process import Design, EProcess, block_ids, excess_e_process
from infra.statistics.e_state import EState
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
from infra.statistics.off_policy_advice import OffPolicyAdvice, off_policy_advice
from infra.statistics.off_policy_intervals import (
    always_valid_doubly_robust,
    always_valid_interval,
    doubly_robust_scores,
    inverse_propensity_scores,
    off_policy_interval,
    self_normalised_scores,
    switch_scores,
)
from infra.statistics.online_fdr import (
    decide_stream,
    even_spending,
    next_log_threshold,
    power_spending,
    standard_spending,
)
from infra.statistics.planning import chance_to_reach, evidence_rate, fixed_sample_size, linearised, people_to_reach
from infra.statistics.sample_ratio import SampleRatioState, log_dirichlet_factor, sample_ratio_e_process
from infra.statistics.sequences import (
    ConfidenceSequence,
    asymptotic_margin,
    asymptotic_rho,
    augmented_scores,
    mean_confidence_sequence,
)
from infra.statistics.two_arm import InvalidStatisticsInput, log_block_factors, nearest_null_rate
from infra.statistics.two_arm_counts import block_counts, bounded_e_process, counts_e_process
from infra.statistics.two_arm_state import TwoArmState

__all__ = [
    "Arms",
    "AsymptoticDesign",
    "AsymptoticState",
    "BestArm",
    "BettingDesign",
    "BettingState",
    "ConfidenceSequence",
    "Design",
    "EProcess",
    "EState",
    "Estimate",
    "InvalidStatisticsInput",
    "OffPolicyAdvice",
    "OffPolicyEstimate",
    "SampleRatioState",
    "TwoArmState",
    "always_valid_doubly_robust",
    "always_valid_interval",
    "asymptotic_e_process",
    "asymptotic_margin",
    "asymptotic_path",
    "asymptotic_rho",
    "augmented_scores",
    "betting_e_process",
    "betting_interval",
    "block_counts",
    "block_ids",
    "bounded_e_process",
    "chance_to_reach",
    "clustered_bootstrap",
    "clustered_difference",
    "clustered_mean",
    "counts_e_process",
    "decide_best_arm",
    "decide_stream",
    "doubly_robust",
    "doubly_robust_scores",
    "effective_sample_size",
    "empirical_bernstein_sequence",
    "even_spending",
    "evidence_rate",
    "excess_e_process",
    "fixed_sample_size",
    "gains",
    "inverse_propensity",
    "inverse_propensity_scores",
    "linearised",
    "log_block_factors",
    "log_dirichlet_factor",
    "mean_confidence_sequence",
    "mean_interval",
    "mixture_concentration",
    "nearest_null_rate",
    "next_log_threshold",
    "off_policy_advice",
    "off_policy_interval",
    "pair_of_arms",
    "pairwise_log_e",
    "people_to_reach",
    "power_spending",
    "probability_best",
    "rate_interval",
    "sample_ratio_e_process",
    "scores",
    "self_normalised",
    "self_normalised_scores",
    "standard_spending",
    "switch_scores",
    "top_two_allocation",
    "two_arms",
    "wealth",
    "wilson_interval",
]
