"""`python -m tests.benchmarks.console_screenshots docs/images/console`: every page of the console over the recorded
store, in a headless Chromium, light and dark."""

import base64
import io
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import select
from starlette.applications import Starlette

from infra.contracts import ManualClock
from infra.db import Database, migrate
from infra.db.tables import experiments
from infra.event_log import open_event_log
from infra.runtime import Context
from infra.settings import Settings, console_password
from infra.settings.infrastructure import EventLogSettings
from serving.console.app import console_routes
from tests.fixtures.browser import started
from tests.fixtures.helpers import free_port, wait_until
from tests.fixtures.recorded_store import PROJECT, adopt, load
from tests.serving.console.test_browser import scheme, sign_in

PAGES = {
    "loop": "/", "experiment": "/experiment", "rewards": "/rewards", "feedback": "/feedback", "models": "/models",
    "controls": "/controls", "confirm": "/controls/roll-back",
}  # fmt: skip
DARK = ("loop", "experiment", "rewards")
WIDTH, MOST_HEIGHT = 1240, 2400


def recorded_context(folder: Path) -> Context:
    """The recorded store in `folder`, a few seconds after it was recorded."""
    settings = Settings(project=PROJECT, data_dir=folder, event_log=EventLogSettings(replication_factor=1))
    migrate(settings.store_url)
    database = Database.open(settings.store_url)
    recorded_at = load(database)
    clock = ManualClock(recorded_at + 5.0)
    context = Context(settings, clock, database, open_event_log(settings, clock))
    adopt(context, recorded_at)
    return context


def promoted(context: Context) -> str:
    """The first experiment that ended in a promotion: it has a whole course."""
    columns = experiments.c
    with context.database.reading() as connection:
        query = select(columns.experiment_id).where(columns.status == "promoted").order_by(columns.started_at)
        return str(connection.execute(query).scalars().first())


def shoot(chrome: Any, url: str, target: Path) -> None:
    """The whole page as a picture of at most 256 colours, which is a third of the bytes."""
    from PIL import Image

    chrome.set_window_size(WIDTH, 900)
    chrome.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    chrome.get(url)
    wait_until(lambda: chrome.execute_script("return document.readyState") == "complete")
    height = min(MOST_HEIGHT, int(chrome.execute_script("return document.documentElement.scrollHeight")))
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
    shot = chrome.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    picture.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def main(target: Path) -> None:
    """Serve, sign in, shoot."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        context = recorded_context(Path(place))
        port = free_port()
        app = Starlette(routes=console_routes(context))
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        url = f"http://127.0.0.1:{port}/console"
        with started(Path(place) / "profile") as chrome:
            assert console_password(context.settings)
            sign_in(chrome, url, context)
            pages = {**PAGES, "experiment": f"/experiment?id={promoted(context)}"}
            for name, path in pages.items():
                for tone in ("light", "dark") if name in DARK else ("light",):
                    scheme(chrome, tone)
                    shoot(chrome, url + path, target / f"{name}-{tone}.png")
        server.should_exit = True
        thread.join(10)
        context.close()
    print(*sorted(f"{file.stat().st_size // 1024:5d} KiB {file.name}" for file in target.glob("*.png")), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images/console"))
