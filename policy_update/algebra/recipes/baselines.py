"""Recipes that need no group: their baseline is the batch, a greedy answer or a critic."""

from policy_update.algebra import aggregation, credit, estimators, policy_terms, regularizers, scalarization, whitening
from policy_update.algebra.recipe import Recipe

RECIPES = (
    Recipe(
        "reinforce",
        "Williams 1992",
        "No baseline but the batch's mean, no ratio: one update a rollout. Whitened as verl and OpenRLHF do.",
        scalarization=scalarization.each_then_sum,
        estimator=estimators.as_given,
        scaling=whitening.batch_whitened,
        term=policy_terms.score,
        aggregation=aggregation.sequence_sum,
    ),
    Recipe(
        "remax",
        "2310.10505",
        "The greedy answer's reward is the baseline, one answer more a prompt; KL by k1 in the reward of each token.",
        scalarization=scalarization.each_then_sum,
        estimator=estimators.above_greedy,
        credit=credit.reward_to_go,
        term=policy_terms.score,
        regularizer=regularizers.no_penalty,
        aggregation=aggregation.sequence_sum,
    ),
    Recipe(
        "reinforce_pp",
        "2501.03262",
        "KL by k1 in the reward of each token, then whitened over all tokens of the batch; needs no group.",
        scalarization=scalarization.each_then_sum,
        estimator=estimators.as_given,
        credit=credit.reward_to_go,
        whitening=whitening.token_whitened,
        regularizer=regularizers.no_penalty,
        numbers={"reward_kl": 0.01},
    ),
    Recipe(
        "reinforce_pp_baseline",
        "2501.03262",
        "The group's mean off, then whitened over the batch; KL by k2 in the loss as the paper says (ms-swift puts it "
        "into the reward). TRL's nearest is RLOO with normalised advantages.",
        scalarization=scalarization.each_then_sum,
        estimator=estimators.centre_only,
        whitening=whitening.token_whitened,
        regularizer=regularizers.k2,
    ),
    Recipe(
        "ppo",
        "1707.06347",
        "A critic and GAE (lambda 0.95; verl, OpenRLHF and slime set 1), KL by k1 in the reward of each token, "
        "whitened by token.",
        scalarization=scalarization.each_then_sum,
        estimator=estimators.as_given,
        credit=credit.gae,
        whitening=whitening.token_whitened,
        regularizer=regularizers.no_penalty,
        critic=regularizers.clipped_value,
    ),
    Recipe(
        "vapo",
        "2504.05118",
        "PPO with lambda = 1 - 1 / (alpha length) for the policy and 1 for the critic, clip-higher, no KL. The paper's "
        "likelihood term on correct answers is left out: graded rewards name no correct ones.",
        scalarization=scalarization.each_then_sum,
        estimator=estimators.as_given,
        credit=credit.length_adaptive_gae,
        whitening=whitening.token_whitened,
        regularizer=regularizers.no_penalty,
        critic=regularizers.clipped_value,
        numbers={"clip_high": 0.28},
    ),
)
