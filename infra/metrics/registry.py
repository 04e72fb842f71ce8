"""The registry of our metrics."""

from prometheus_client import CollectorRegistry

REGISTRY = CollectorRegistry(auto_describe=True)
"""Our own registry: nothing gets in because a library was imported."""
