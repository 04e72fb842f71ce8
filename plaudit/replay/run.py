"""Send, wait for the consumer, train, cross-validate, report."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from infra.contracts import PlauditError
from infra.runtime import Context, configure_logging, open_context
from infra.settings import Settings
from plaudit.replay.client import Sent, send
from plaudit.replay.embedded import embedded_api
from plaudit.replay.formats import read_recording
from plaudit.replay.recording import Recording
from plaudit.replay.report import ReplayReport, print_report, print_sent

if TYPE_CHECKING:
    from reward_model.data import TrainingSet

_APPLY_SECONDS = 120.0


class JudgmentsNotVisible(PlauditError):
    """The store of this configuration does not hold what was sent."""

    code = "judgments_not_visible"
    status = 503


@dataclass(frozen=True)
class ReplayOptions:
    """`url`: an API that runs elsewhere; empty: one in this process. `folder`: its data folder; None: `replay` in the
    data folder. `send_only`: end after sending. `folds` of the cross-validation. `report`: a JSON file to write."""

    url: str = ""
    folder: Path | None = None
    send_only: bool = False
    folds: int = 10
    report: Path | None = None


def replay(settings: Settings, file: Path, form: str, options: ReplayOptions) -> int:
    """Replay one file and print what was learned; returns the exit code. Raises PlauditError."""
    console = Console(soft_wrap=True, highlight=False)
    started = time.perf_counter()
    recording = read_recording(file, form)
    if not options.url:
        settings = embedded_settings(settings, recording, options.folder)
    configure_logging(settings.model_copy(update={"logging": settings.logging.model_copy(update={"level": "warning"})}))
    with _progress(console) as progress:
        if options.url and options.send_only:
            print_sent(console, recording, *_send(recording, options.url, progress))
            return 0
        context = open_context(settings)
        try:
            sent = _deliver(context, recording, options, progress)
            if options.send_only:
                print_sent(console, recording, *sent)
                return 0
            report = _learn(context, recording, options, progress)
        finally:
            context.close()
    print_sent(console, recording, *sent)
    print_report(console, report, time.perf_counter() - started)
    if options.report is not None:
        options.report.write_text(json.dumps(report.document(), indent=2), encoding="utf-8")
    return 0


def embedded_settings(settings: Settings, recording: Recording, folder: Path | None) -> Settings:
    """A data folder of its own with SQLite and the embedded log, and a project for each recording: replaying two of
    them mixes nothing, replaying one again counts nothing twice, and features are computed once."""
    return settings.model_copy(
        update={
            "project": f"replay-{recording.name}-{recording.digest}",
            "data_dir": folder or settings.data_dir / "replay",
            "store": type(settings.store)(),
            "event_log": type(settings.event_log)(),
            # What people made of these answers is all there: their windows close at once.
            "ingest": settings.ingest.model_copy(update={"window_seconds": 0.5, "allowed_lateness_seconds": 0.0}),
        }
    )


def _send(recording: Recording, url: str, progress: Progress) -> tuple[Sent, Sent]:
    task = progress.add_task("sending", total=len(recording.interactions) + len(recording.events))
    return send(recording, url, lambda items: progress.advance(task, items))


def _deliver(context: Context, recording: Recording, options: ReplayOptions, progress: Progress) -> tuple[Sent, Sent]:
    """Send, and wait until the store of `context` holds the accepted judgments."""
    if options.url:
        sent = _send(recording, options.url, progress)
        if not options.send_only:
            _wait_applied(context, recording, sent[1], options.url)
        return sent
    from infra.runtime import JobContext
    from ingest.consumer import FeedbackConsumer
    from ingest.jobs import run_label

    with embedded_api(context) as url:
        sent = _send(recording, url, progress)
    task = progress.add_task("applying", total=None)
    consumer = FeedbackConsumer(context)
    try:
        consumer.drain(_APPLY_SECONDS)
        if recording.votes:
            time.sleep(2.0 * context.settings.ingest.window_seconds)
            consumer.drain(_APPLY_SECONDS)  # nothing is left to read: this moves the watermark past the windows
            run_label(JobContext(context))
    finally:
        consumer.close()
    progress.update(task, total=1, completed=1)
    return sent


def _wait_applied(context: Context, recording: Recording, sent: Sent, url: str) -> None:
    from plaudit.replay.repository import events_present

    ids = [event["event_id"] for event in recording.events]
    deadline = time.monotonic() + _APPLY_SECONDS
    while True:
        with context.database.reading() as connection:
            present = events_present(connection, context.settings.project, ids)
        if present >= sent.accepted:
            return
        if time.monotonic() > deadline:
            raise JudgmentsNotVisible(
                f"{url} accepted {sent.accepted} events, the store of this configuration shows {present} of them in "
                f"project {context.settings.project!r}: use that server's configuration (--config), check that "
                "`plaudit ingest consume` runs, or add --send-only and train there (`plaudit reward-model train`)"
            )
        time.sleep(0.5)


def _learn(context: Context, recording: Recording, options: ReplayOptions, progress: Progress) -> ReplayReport:
    """Train and register as the job does, then cross-validate on the same features."""
    from infra.models.loading import load_base
    from reward_model.cross_validation import cross_validate_pairs
    from reward_model.features import cached_features
    from reward_model.pipeline import cache_of, recipe_of
    from reward_model.service import load_training_set, train

    training = progress.add_task("training", total=1.0)
    outcome = train(context, lambda share, text: progress.update(training, completed=share, description=text))
    progress.update(training, completed=1.0, description="trained" if outcome.ref else "not trained anew")
    data: TrainingSet = load_training_set(context, context.clock.now())
    validated = None
    if len(data.pairs) >= 2 * options.folds:
        task = progress.add_task("cross-validation", total=1.0)
        loaded = load_base(context.settings)
        recipe = recipe_of(context.settings, loaded)
        features = cached_features(
            loaded,
            recipe,
            [answer.messages for answer in data.answers],
            [answer.text for answer in data.answers],
            [answer.content_key for answer in data.answers],
            cache=cache_of(context.settings, recipe, loaded),
            batch_size=context.settings.reward_model.batch_size,
            progress=lambda _share, _text: None,
        )
        validated = cross_validate_pairs(
            data,
            features,
            context.settings.reward_model,
            folds=options.folds,
            progress=lambda share, text: progress.update(task, completed=share, description=text),
        )
    return ReplayReport(recording, outcome, data.card, validated, options.folds)


def _progress(console: Console) -> Progress:
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    return Progress(*columns, console=console, transient=True)
