"""Tests of the fine-tuned reward model, on tiny random language models."""
