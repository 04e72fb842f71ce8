"""One thing changed in GRPO: importance weights, rewards, where KL goes, entropy, length."""

from policy_update.algebra import aggregation, estimators, importance, regularizers, shaping, whitening
from policy_update.algebra.recipe import Recipe

RECIPES = (
    Recipe(
        "tis",
        "Yao et al. 2025",
        "GRPO whose tokens weigh min(pi_old / pi_sampler, 2): verl's cap (TRL 3, OpenRLHF 5). Every recipe does, "
        "unless `importance` says otherwise.",
        aggregation=aggregation.sequence_mean,
        importance=importance.truncated_importance,
    ),
    Recipe(
        "masked_importance",
        "2510.18855",
        "As tis, but a token outside [0.5, 5] teaches nothing (IcePop).",
        aggregation=aggregation.sequence_mean,
        importance=importance.masked_importance,
    ),
    Recipe(
        "unlikeliness",
        "2506.02355",
        "GRPO in which the likeliest of the good answers is worth a quarter less.",
        shaping=(shaping.drop_saturated, shaping.unlikely_first),
        aggregation=aggregation.sequence_mean,
    ),
    Recipe(
        "pass_at_k",
        "2505.15201",
        "An answer is worth what it adds to the best of k; at k = G the lead over the second best (2503.19595, verl's "
        "grpo_passk).",
        estimator=estimators.best_of_k,
        scaling=whitening.batch_scaled,
    ),
    Recipe(
        "grpo_kl_in_reward",
        "2402.03300",
        "GRPO with KL in the reward of the answer instead of the loss; `shaping` k1_in_reward, k2_in_reward or "
        "k3_in_reward, `regularizer` k1, k2 or k3 for the loss, in any recipe.",
        shaping=(shaping.drop_saturated, shaping.k1_in_reward),
        regularizer=regularizers.no_penalty,
        aggregation=aggregation.sequence_mean,
    ),
    Recipe(
        "grpo_entropy",
        "2402.03300",
        "GRPO with an entropy bonus, aggregated as the policy term; TRL's is a mean over tokens whatever the loss.",
        bonus=regularizers.entropy_bonus,
        aggregation=aggregation.sequence_mean,
    ),
    Recipe(
        "l1_exact",
        "2503.04697",
        "Length control: the distance to a target length is an objective of its own.",
        shaping=(shaping.drop_saturated, shaping.length_exact),
    ),
    Recipe(
        "l1_max",
        "2503.04697",
        "Length control: shorter than the target is better; the paper multiplies with a verdict, here it is added.",
        shaping=(shaping.drop_saturated, shaping.length_at_most),
    ),
)
