"""Settings of retention: what is kept how long. 0 keeps for ever."""

from pydantic import Field

from infra.settings.base import Section


class RetentionSettings(Section):
    """Ages at which the job `retention` removes what is no longer needed; 0: never."""

    every_seconds: float = Field(6 * 3600.0, gt=0)
    """How often the job runs."""
    interaction_seconds: float = Field(0.0, ge=0)
    """Age at which an interaction goes, with its prompt, answers and tokens. Labels and ledger stay; training sets as
    of an earlier instant then name it as missing."""
    feedback_text_seconds: float = Field(0.0, ge=0)
    """Age at which comments and edited texts are blanked; the signal itself stays."""
    label_seconds: float = Field(0.0, ge=0)
    """Age at which labels and pairs go, every version of them."""
    dead_letter_seconds: float = Field(0.0, ge=0)
    """Age at which dead letters go, whatever their status."""
    log_record_seconds: float = Field(0.0, ge=0)
    """Age at which records of the embedded log go, once every consumer group has applied them. Kafka keeps by its own
    `retention.ms`. The topic of erasures is never cut."""
    adapter_seconds: float = Field(0.0, ge=0)
    """Age at which the weights of adapters go that were refused, rejected or retired; never those of a champion or its
    predecessor, of an arm, pinned, or proven on some replica. Their rows stay."""
