"""What a topic is created with on Kafka."""

from infra.event_log.kafka.log import topic_configs
from infra.settings.infrastructure import EventLogSettings


def test_erasures_are_kept_for_ever_and_the_others_as_the_broker_says() -> None:
    settings = EventLogSettings(replication_factor=3, max_record_bytes=1_000_000)
    assert "retention.ms" not in topic_configs("plaudit.feedback", settings)
    kept = topic_configs("plaudit.erasures", settings)
    assert (kept["retention.ms"], kept["retention.bytes"]) == ("-1", "-1")
    assert kept["min.insync.replicas"] == "2"
    assert int(kept["max.message.bytes"]) > 1_000_000
