"""`plaudit backup` and `plaudit restore`, as an operator types them."""

from pathlib import Path

from infra.contracts import ManualClock
from infra.runtime import open_context
from infra.settings import load_settings
from tests.ingest.erasure.town import live
from tests.plaudit.test_cli import plaudit


def test_backup_verify_restore_and_a_second_restore_is_refused(tmp_path: Path) -> None:
    context = open_context(load_settings(overrides={"data_dir": str(tmp_path / "old")}), ManualClock())
    live(context)
    context.close()
    old, new = ({"PLAUDIT_DATA_DIR": str(tmp_path / name)} for name in ("old", "new"))
    made = plaudit("backup", str(tmp_path / "kept"), **old)
    assert made.returncode == 0, made.stderr
    assert "MiB in" in made.stdout
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700
    verified = plaudit("restore", str(tmp_path / "kept"), "--verify", **new)
    assert (verified.returncode, (tmp_path / "new").exists()) == (0, False), verified.stderr
    restored = plaudit("restore", str(tmp_path / "kept"), **new)
    assert restored.returncode == 0, restored.stderr
    assert "restored into" in restored.stdout
    again = plaudit("restore", str(tmp_path / "kept"), **new)
    assert again.returncode == 2
    assert "restore_refused" in again.stderr
    assert "not empty" in again.stderr
    erased = plaudit("backup", str(tmp_path / "erased.json"), "--erasures-only", **old)
    assert erased.stdout.startswith("0 erasures")
