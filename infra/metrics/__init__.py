"""Metrics: one catalogue, prefix `plaudit_`."""

from infra.metrics.exposition import CONTENT_TYPE, exposition

__all__ = ["CONTENT_TYPE", "exposition"]
