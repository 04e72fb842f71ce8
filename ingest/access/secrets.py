"""Rotating the secret behind user keys, with an entry in the audit trail."""

from infra.contracts import PlauditError
from infra.runtime import Context
from infra.settings import rotate_user_secret
from ingest.access import audit
from ingest.access.repository import experiment_running


class SecretIsASetting(PlauditError):
    """The secret is given from outside and must be rotated there."""

    code = "secret_is_a_setting"
    status = 409


class ExperimentRunning(PlauditError):
    """People would change arms in the middle of an experiment."""

    code = "experiment_running"
    status = 409


def rotate_secret(context: Context, *, force: bool = False, actor: str = "") -> None:
    """Make a new secret in the data folder, keep the former one beside it. Services read it when they start.

    Raises SecretIsASetting, and ExperimentRunning unless `force`.
    """
    if context.settings.user_key_secret.get_secret_value():
        raise SecretIsASetting(
            "user_key_secret is set: put its present value at the front of previous_user_key_secrets, give "
            "user_key_secret a new one, and restart the services",
            field="user_key_secret",
        )
    with context.database.transaction() as connection:
        running = experiment_running(connection, context.settings.project)
        if running is not None and not force:
            raise ExperimentRunning(
                f"experiment {running} is running, and everybody's arm is drawn from the user key: wait for its end, "
                "or use --force"
            )
        rotate_user_secret(context.settings)
        detail = {"experiment": running}
        audit.record(
            connection,
            actor or audit.operator(),
            "user_secret.rotated",
            detail,
            project=context.settings.project,
            at=context.clock.now(),
        )
