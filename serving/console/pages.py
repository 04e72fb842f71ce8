"""Which page is shown where. Each view reads the store once and returns its template with what it shows."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from infra.runtime import Context
from serving.console.controls import confirm_view, controls_view
from serving.console.experiment import experiment_view
from serving.console.feedback import feedback_view, letter_view
from serving.console.loop import loop_view, run_view
from serving.console.models import adapter_view, models_view
from serving.console.rewards import rewards_view

PAGES: dict[str, Callable[[Context, Request], tuple[str, dict[str, Any]]]] = {
    "/": loop_view,
    "/runs/{run}": run_view,
    "/experiment": experiment_view,
    "/rewards": rewards_view,
    "/feedback": feedback_view,
    "/feedback/letters/{letter}": letter_view,
    "/models": models_view,
    "/models/{adapter}": adapter_view,
    "/controls": controls_view,
    "/controls/{act}": confirm_view,
    "/strip": lambda _context, _request: ("strip.html", {}),
}
