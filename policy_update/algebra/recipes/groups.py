"""Recipes that compare the answers of a group, by one weighted sum of the objectives unless they are linear anyway."""

from policy_update.algebra import (
    aggregation,
    covariance,
    entropy_credit,
    estimators,
    filters,
    policy_terms,
    regularizers,
    scalarization,
    sequence_terms,
    shaping,
)
from policy_update.algebra.recipe import Recipe

RECIPES = (
    Recipe(
        "grpo",
        "2402.03300",
        "Normalises the weighted sum; mean over an answer's tokens, then over answers. Spread with G, not G - 1 as in "
        "TRL, verl and OpenRLHF; plain k3, which TRL 1.16 multiplies by the ratio unless told not to.",
        aggregation=aggregation.sequence_mean,
    ),
    Recipe(
        "dr_grpo",
        "2503.20783",
        "Neither the group's spread nor an answer's length divides anything: sum / (answers * limit), as TRL; verl "
        "before August 2026 divided by the padded length only.",
        scalarization=scalarization.each_then_sum,
        estimator=estimators.centre_only,
        aggregation=aggregation.constant_length,
    ),
    Recipe(
        "rloo",
        "2402.14740",
        "The others' mean is the baseline; the answer is one action with one ratio (a product over tokens, GSPO takes "
        "the geometric mean) and KL by k1 is in its reward, as TRL; verl clips by token.",
        shaping=(shaping.drop_saturated, shaping.k1_in_reward),
        scalarization=scalarization.each_then_sum,
        estimator=estimators.leave_one_out,
        term=sequence_terms.sequence_clipped,
        regularizer=regularizers.no_penalty,
        aggregation=aggregation.sequence_mean,
    ),
    Recipe(
        "dapo",
        "2503.14476",
        "Clip-higher, every token of the batch weighs the same, truncated answers are left out, long ones punished, "
        "groups without contrast drawn anew; no KL.",
        shaping=(shaping.drop_saturated, shaping.soft_overlong),
        filter=filters.untruncated,
        regularizer=regularizers.no_penalty,
        numbers={"clip_high": 0.28},
        dynamic_sampling=True,
    ),
    Recipe(
        "lite_ppo",
        "2508.08221",
        "The group's mean, the batch's spread, token mean, no KL: two tricks instead of many.",
        estimator=estimators.batch_normalized,
        regularizer=regularizers.no_penalty,
    ),
    Recipe(
        "gspo",
        "2507.18071",
        "The ratio is the geometric mean over the answer and is clipped as one, within 3e-4 and 4e-4.",
        term=sequence_terms.geometric_clipped,
        regularizer=regularizers.no_penalty,
        aggregation=aggregation.sequence_mean,
    ),
    Recipe(
        "gspo_token",
        "2507.18071",
        "GSPO's value with a gradient of its own for each token; what verl calls gspo, and not in TRL 1.16.",
        term=sequence_terms.geometric_by_token,
        regularizer=regularizers.no_penalty,
        aggregation=aggregation.sequence_mean,
    ),
    Recipe(
        "gmpo",
        "2507.20673",
        "A geometric mean of ratios, each clipped in log space by 0.4 from the side its advantage pushes to, as TRL; "
        "verl falls back to 0.2.",
        term=sequence_terms.geometric_of_clipped,
        regularizer=regularizers.no_penalty,
        aggregation=aggregation.sequence_mean,
    ),
    Recipe(
        "cispo",
        "2506.13585",
        "The ratio is a bounded weight without gradient, so every token keeps one. The bound is absolute (TRL, "
        "ScaleRL: 5.0); verl and slime write it as 1 + delta and add a lower one.",
        term=policy_terms.weighted_score,
        regularizer=regularizers.no_penalty,
    ),
    Recipe(
        "gfpo",
        "2508.09726",
        "Of a large group only the shortest half is compared, the rest gets advantage 0; neither TRL, verl, OpenRLHF, "
        "slime nor prime-rl has it.",
        shaping=(shaping.drop_saturated, shaping.keep_shortest),
        numbers={"clip_high": 0.28},
    ),
    Recipe(
        "gppo",
        "2508.07629",
        "PPO's value, but a clipped token keeps the gradient of the bound.",
        term=policy_terms.gradient_preserving,
        regularizer=regularizers.no_penalty,
        numbers={"clip_high": 0.28},
    ),
    Recipe(
        "clip_cov",
        "2505.22617",
        "Tokens drawn from a band of high covariance get no gradient, so that entropy lasts; chosen once a rollout "
        "(verl: in every micro-batch).",
        choice=covariance.random_in_band,
        term=policy_terms.clipped_by_covariance,
        regularizer=regularizers.no_penalty,
    ),
    Recipe(
        "kl_cov",
        "2505.22617",
        "Tokens of the highest covariance are held to the old policy, weight 1 as the paper (verl's configuration "
        "0.1); no clip. Acts from the second update of a rollout on.",
        choice=covariance.largest,
        term=policy_terms.held_by_covariance,
        regularizer=regularizers.no_penalty,
    ),
    Recipe(
        "gtpo",
        "2508.04349",
        "Tokens where the policy was undecided earn more in right answers and lose less in wrong ones. The weight "
        "multiplies the graded advantage; the paper normalises right and wrong apart.",
        credit=entropy_credit.by_token_entropy,
        regularizer=regularizers.no_penalty,
    ),
    Recipe(
        "grpo_s",
        "2508.04349",
        "GTPO's weight by the mean entropy of the answer, one an answer.",
        credit=entropy_credit.by_answer_entropy,
        regularizer=regularizers.no_penalty,
        aggregation=aggregation.sequence_mean,
    ),
)
