"""Names of the two topics of the log."""

from infra.settings import Settings


def feedback_topic(settings: Settings) -> str:
    """JSON arrays of `FeedbackEvent`."""
    return f"{settings.event_log.topic_prefix}.feedback"


def interactions_topic(settings: Settings) -> str:
    """msgpack arrays of `Interaction`."""
    return f"{settings.event_log.topic_prefix}.interactions"
