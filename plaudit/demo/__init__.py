"""The closed loop, shown: simulated people against the real system, and a report."""
