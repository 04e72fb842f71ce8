"""Clients that people already have, unchanged, against a real gateway."""
