"""Settings of trust: how far each voter is believed (`ingest.trust`)."""

from pydantic import Field

from infra.settings.base import Section

DAY_SECONDS = 86400.0


class TrustSettings(Section):
    """Caps, reliability, and what counts as acting together."""

    prior_weight: float = Field(1.0, ge=0, le=1)
    """Weight of a person about whom nothing is estimated yet."""
    evidence_seconds: float = Field(28 * DAY_SECONDS, gt=0)
    """How far back votes count as evidence about the person who gave them. Older than this, a quarantine ends."""
    settle_seconds: float = Field(60.0, ge=0)
    """How far behind the watermark the votes end that an estimate uses, so that it can be made again exactly."""
    max_votes: int = Field(500_000, ge=1000)
    """The newest signals used in one estimate."""
    max_texts: int = Field(20_000, ge=0)
    """Answers, those with most voters first, whose texts are read for features and near-duplicates."""
    min_votes: int = Field(200, ge=1)
    """Opinions the project needs before anything is estimated; the job is skipped and says how many are missing."""

    cap_votes: float = Field(30.0, gt=0)
    """Most weight one person may have in a cap window; n votes beyond it weigh `cap_votes / n` each."""
    cap_window_seconds: float = Field(7 * DAY_SECONDS, gt=0)
    """Length of the cap window; the busiest one within the evidence counts."""

    max_tastes: int = Field(4, ge=1, le=12)
    """Most groups of taste looked for; fewer are used unless more predict held-out people better."""
    folds: int = Field(5, ge=2, le=20)
    """Folds of people: nobody's reliability is measured against predictions made from their own votes."""
    feature_dimensions: int = Field(16, ge=0, le=256)
    """Directions of the answers' texts (TF-IDF, truncated SVD) in which tastes may differ."""
    seed: int = 0
    """Seed of folds and first guesses: the same votes give the same trust."""

    duplicate_similarity: float = Field(0.8, gt=0, le=1)
    """Jaccard similarity of shingles from which two answers to like prompts share their votes."""
    honeypot_accuracy: float = Field(0.95, gt=0.5, lt=1)
    """How often an attentive person, of whatever taste, names the known better answer of a honeypot."""
    honeypot_rate: float = Field(0.01, ge=0, le=1)
    """Share of requests in which a honeypot is shown as a duel."""

    ring_level: float = Field(0.01, gt=0, lt=1)
    """False discovery rate at which pairs of people count as voting together more than popularity explains."""
    ring_min_members: int = Field(3, ge=2)
    """Smallest group that is called a ring."""
    ring_min_shared: int = Field(5, ge=2)
    """Fewest answers two people must both have voted on, alike, to be linked."""
    ring_unanimity: float = Field(0.35, gt=0, le=1)
    """How much of the disagreement that outsiders' votes predict inside a group must be missing to call it a ring.
    Colleagues who see the same answers vote on the same answers, but not with one voice."""
    burst_slot_seconds: float = Field(600.0, gt=0)
    """Votes on one answer within this time count as simultaneous."""
    burst_level: float = Field(1e-3, gt=0, lt=1)
    """Probability of one false burst in a whole estimate."""
    burst_share: float = Field(0.5, gt=0, le=1)
    """Share of a person's votes within one-sided bursts from which the person is quarantined."""
