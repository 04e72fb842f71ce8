"""Tiny models for the tests of this room."""

from tests.models_fixtures import other_tiny_model_dir, tiny_loaded, tiny_model_dir

__all__ = ["other_tiny_model_dir", "tiny_loaded", "tiny_model_dir"]
