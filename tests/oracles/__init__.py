"""Comparisons with libraries that compute the same, run by `make test-oracles` in an environment of their own."""
