"""Pure mathematics that more than one room needs: e-processes and intervals."""

from infra.statistics.intervals import Estimate, clustered_difference, clustered_mean

__all__ = ["Estimate", "clustered_difference", "clustered_mean"]
