"""A team's own back end in forty lines: it shows an answer that its own model produced, with Plaudit's feedback.

    uvicorn app:app --port 8100        # beside `plaudit ingest api`, which listens on 127.0.0.1:8001

The page gets a token for this one answer and this one person; the API key, if keys are required, stays here. With
Plaudit's gateway there is nothing to ask for: the token is the header `x-plaudit-feedback-token` of every answer.
"""

import html
import os
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

PLAUDIT = os.environ.get("PLAUDIT_URL", "http://127.0.0.1:8001")
HEADERS = {"Authorization": f"Bearer {key}"} if (key := os.environ.get("PLAUDIT_API_KEY")) else {}
PAGE = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
QUESTION = "Why are there two tides a day?"
ANSWER = (
    "The moon pulls the water on its side of the Earth more strongly than the Earth's centre, and the centre more "
    "strongly than the water on the far side. That stretches the oceans into two bulges, one towards the moon and one "
    "away from it. The Earth turns under both of them once a day, so most coasts see two high tides."
)


async def show(request: Request) -> HTMLResponse:
    """The page for one person, with a token for the answer on it."""
    user, response_id = request.query_params.get("user", "alice"), request.query_params.get("response", "answer-1")
    wanted = {"response_id": response_id, "user": user}
    async with httpx.AsyncClient(base_url=PLAUDIT, headers=HEADERS) as plaudit:
        answer = await plaudit.post("/v1/feedback/tokens", json=wanted)
        answer.raise_for_status()
    return HTMLResponse(page(PLAUDIT, response_id, answer.json()["token"]))


def page(plaudit: str, response_id: str, token: str) -> str:
    """The page with its blanks filled in."""
    blanks = {
        "plaudit": plaudit,
        "response_id": response_id,
        "token": token,
        "question": QUESTION,
        "answer": ANSWER,
    }
    filled = PAGE
    for name, text in blanks.items():
        filled = filled.replace("{{" + name + "}}", html.escape(text))
    return filled


app = Starlette(routes=[Route("/", show)])
