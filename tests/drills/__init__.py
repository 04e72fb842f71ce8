"""Fault drills of ingest: real processes, real faults, and a clean run over the same events to compare with."""
