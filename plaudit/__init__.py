"""Plaudit closes the loop between an LLM and the people who use it.

This package is the command line, the embedded all-in-one system, the demo and the replay of recorded judgments.
"""
