"""The log on Apache Kafka. Only the factory imports this package, and only when the settings ask for it."""

import warnings

with warnings.catch_warnings():
    # kafka-python 3.0 reads its protocol schemas with importlib.resources.read_text, deprecated in Python 3.11.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka.admin
    import kafka.coordinator.assignors.cooperative_sticky  # noqa: F401
