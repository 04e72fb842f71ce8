"""Serving, measured: `make bench-serving`, or `python -m tests.benchmarks.bench_serving [--quick] [--no-page]
[--only gateway|engine]`.

Runs what `bench_serving_gateway` and `bench_serving_engine` measure, one after the other, and writes
docs/benchmarks/serving.md: tables between two marks, the words around them are people's. Run it alone on the machine.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "serving.md"
BEGIN = "<!-- written by make bench-serving; words before and after stay -->"
END = "<!-- end of what make bench-serving writes -->"
PARTS = {
    "The gateway over an engine that answers at once": "tests.benchmarks.bench_serving_gateway",
    "The local engine": "tests.benchmarks.bench_serving_engine",
}
"""Heading -> module with `measure(quick=False) -> dict` and `table(result) -> str`."""
_LIBRARIES = ("uvicorn", "uvloop", "httptools", "msgspec", "transformers", "peft", "torch")
_INTRODUCTION = f"""# Serving, measured

Made by `make bench-serving`. What is measured, and how, stands at the head of
`tests/benchmarks/bench_serving_gateway.py` and `tests/benchmarks/bench_serving_engine.py`.

{BEGIN}
{END}
"""


def _short(module: str) -> str:
    return module.rpartition("_")[2]


def render(results: dict[str, dict[str, Any]], quick: bool) -> str:
    """The measured part of the page."""
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    when = datetime.datetime.now(datetime.UTC).date().isoformat()
    note = " Small sizes, to see that it runs: no figures to rely on." if quick else ""
    lines = [
        f"{when}, {os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, {libraries}. Load "
        f"average when it ended: {os.getloadavg()[0]:.1f}.{note}"
    ]
    for heading, module in PARTS.items():
        if module in results:
            lines += ["", f"## {heading}", "", importlib.import_module(module).table(results[module])]
    return "\n".join(lines)


def write(text: str, page: Path = PAGE) -> None:
    """Put the measured part into the page."""
    whole = page.read_text(encoding="utf-8") if page.exists() else _INTRODUCTION
    before, after = whole.partition(BEGIN)[0], whole.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--no-page", action="store_true", help="leave docs/benchmarks alone")
    parser.add_argument("--only", choices=[_short(module) for module in PARTS.values()], help="measure one part again")
    options = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    if options.only:
        results = json.loads(PAGE.with_suffix(".json").read_text(encoding="utf-8"))
    for module in PARTS.values():
        if options.only and _short(module) != options.only:
            continue
        results[module] = importlib.import_module(module).measure(quick=options.quick)
        text = render(results, options.quick)
        print(text, flush=True)
        if not options.no_page:  # after each part: what is measured is kept, whatever becomes of the next
            write(text)
            PAGE.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
