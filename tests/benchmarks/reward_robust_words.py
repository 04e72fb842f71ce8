"""The words of the page docs/benchmarks/robust-losses.md; its figures come from `reward_robust_report`."""

INTRODUCTION = """# Robust losses, measured

What each loss of the reward model loses to raters who err, and what it wins back. Made by

    make bench-reward-model

on {machine}; {date}; {minutes} minutes, features of the backbones read before.

## What is done

Pairs are real: `hh-rlhf` (1,624 pairs in 1,558 groups by first question) and `finegrained-rlhf` (2,087 pairs, 388
questions, four answers each). The recorded preference counts as the truth. Features are frozen: MiniLM's pooled states
and SmolLM2's (layers 16 and 24), 48 principal directions of their differences.

Raters are simulated. Each pair is judged by 3 of 60 raters with names, whose records are wrong with a mean rate of 0 to
40 %:

- random: all raters alike.
- person: each rater has a rate of his own, uniform between 0 and twice the mean.
- length: the rate is multiplied by 1 + .9 tanh(1.5 d), d the standardised log-length by which the *wrong* answer leads.
- coordinated: some accounts always vote against the truth; the others err in 5 %.

{runs} runs a cell: seeds (raters, errors, folds) times five outer folds by group. In each run the penalty and the
loss's own parameter are chosen in three inner folds by the likelihood of the corrupted records of unseen pairs, the
same way for every loss. Accuracy is that of the order of clean held-out pairs. Intervals are 95 %, paired with plain
Bradley-Terry, over resampled groups; gains are in points of accuracy. `told` is the same loss with the true chance of
error of every record, the most that knowing the noise can bring."""

MAIN = """`huber_bt` estimates the noise, `told` knows it. In bold: the interval is above zero. "Won back" is the share
of what the told loss wins over plain Bradley-Terry, given where the told loss wins measurably.

"""

RATES = """Estimated from the corrupted records of the training side alone: agreement of raters, and margins of models
that had not seen the pair. Realised is the share of records that are wrong.

"""

ATTACK = """340 people judge 10 pairs each (10 % flips on top of honest doubt), 20 accounts judge 30 pairs each; every
pair is judged once; 20 features, linear taste. `inverted` accounts vote against the better answer of ordinary pairs,
`extreme` ones plant pairs that all point the same way. `fit_utility_head` is called as in production. Accuracy of 5,000
unseen pairs; AUROC: how well low reliability singles out the accounts.

"""

EVERY = """Accuracy of `bt`, then gains in points with half the width of the interval. Bold: above zero; italic: below.
All losses but the last two take records one by one (`repo_em` with a reliability for each rater, from EM); `bt on
majorities` takes each pair's majority for the truth. `vrpo` is missing: it needs answers sampled from a serving policy.

"""

PRODUCT = """The table above batches thousands of fits. Here `fit_utility_head` itself gets the records of one run (seed
0, first fold): the same noise model, its own choice of penalty and threshold, intervals over groups.

"""

READING = """## How to read this, and where the information runs out

- Where all raters err alike (`random`), there is little to win: the told loss wins measurably in one of eight cells
  (hh-rlhf at 40 %, about one point), so a share won back has a meaning there alone. Three votes a pair, weighed
  linearly as Bradley-Terry does, keep nearly all of the information that the best weighing of the same votes has.
- What can be won lies in who errs and in which direction. Raters who differ are told apart by whom they agree with;
  accounts that always lie are worth as much as those that never do, once known; errors towards length are told from a
  taste for length because raters of one pair err independently given its truth, and tastes do not.
- Of the bounded losses alone, phuber, ropo, gce and Huber of the loss stay within half a point of Bradley-Terry on a
  linear head over frozen features: margins are small, so hardly any record lies where they bend. Those that bend early,
  sigmoid and truncated hinge, move by up to two and a half points, more often down.
- What these figures are not: raters are simulated, and the noise model knows the family of their errors (a rate for
  each rater, a habit of length). Errors that all raters share and that no covariate shows look like truth to it, as to
  any method. The sets are small; an interval of a point is as fine as they resolve.
- With one judgment a pair and named people (the attack above) the flip rate rests on the model's margins, and is too
  high in level; the ranking of people is not touched by that.
"""
