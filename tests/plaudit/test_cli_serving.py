"""`plaudit serving status`: what an operator sees of proofs."""

import time
from pathlib import Path

from typer.testing import CliRunner

from infra.db.tables import adapter_proofs, serving_state
from infra.runtime import open_context
from infra.settings import load_settings
from plaudit.cli import app


def ask(file: Path) -> str:
    done = CliRunner().invoke(app, ["--config", str(file), "serving", "status"], env={"COLUMNS": "200"})
    if done.exit_code:
        raise done.exception or AssertionError(done.output)
    return done.output


def test_status_names_adapter_replica_margin_age_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "plaudit.toml"
    file.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    assert "no replica has tried" in ask(file)
    context = open_context(load_settings(file))
    rows = [
        ("gw/vllm-0", "style@2", "proven", {"distance": 0.0123, "margin": 41.6, "reason": "as trained"}, 7200.0),
        ("gw/vllm-1", "style@2", "refused", {"code": "adapter_mismatch", "reason": "[speaks] as another"}, 3.0),
    ]
    with context.database.transaction() as connection:
        state = {"champion": "style@2", "last_proven": "style@1", "decision_id": "d", "updated_at": 1.0}
        connection.execute(serving_state.delete())
        connection.execute(serving_state.insert().values(project="default", **state))
        for replica, adapter, status, detail, age in rows:
            values = {"replica": replica, "adapter": adapter, "status": status, "detail": detail}
            connection.execute(adapter_proofs.insert().values(project="default", proved_at=time.time() - age, **values))
    context.close()
    told = [line.split() for line in ask(file).splitlines()]
    assert told[0] == ["champion", "style@2,", "before", "it", "style@1"]
    assert told[2] == ["style@2", "champion", "gw/vllm-0", "proven", "0.0123", "nats", "42", "x", "noise", "2", "h"]
    assert told[3][:4] == ["style@2", "champion", "gw/vllm-1", "refused"]
    assert " ".join(told[3][-3:]) == "[speaks] as another"
