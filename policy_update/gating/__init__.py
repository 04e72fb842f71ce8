"""The offline gate: what an adapter must show on held-out prompts before it may meet people."""

from policy_update.gating.examination import Examined, examine
from policy_update.gating.samples import Check, Sampled, Verdict

__all__ = ["Check", "Examined", "Sampled", "Verdict", "examine"]
