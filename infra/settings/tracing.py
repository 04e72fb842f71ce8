"""Settings of traces."""

from pydantic import Field

from infra.settings.base import Section


class TracingSettings(Section):
    """OpenTelemetry traces of answers: completion, feedback, its application, the label. They hold ids, never texts."""

    enabled: bool = False
    """Make traces. Needs `opentelemetry-sdk`, and `plaudit[tracing]` to send them."""
    endpoint: str = ""
    """Collector that takes OTLP over HTTP, `http://collector:4318/v1/traces`. Empty: $OTEL_EXPORTER_OTLP_ENDPOINT, else
    that port of this machine."""
    sample_ratio: float = Field(0.01, ge=0, le=1)
    """Share of answers that are traced. Chosen by the answer's id: all processes choose the same ones."""
