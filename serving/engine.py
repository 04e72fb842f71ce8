"""The local engine and what engines refuse with, under the names that others import."""

from serving.engine_errors import AdapterNotLoaded, AnswerTooLarge, EngineBusy, EngineFailed
from serving.local.engine import LocalEngine
from serving.local.waiting import Again

__all__ = ["AdapterNotLoaded", "Again", "AnswerTooLarge", "EngineBusy", "EngineFailed", "LocalEngine"]
