"""The text a Prometheus server scrapes."""

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from infra.metrics.catalogue import REGISTRY

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def exposition() -> bytes:
    """All metrics of this process in the text format, to be sent as CONTENT_TYPE."""
    return generate_latest(REGISTRY)
