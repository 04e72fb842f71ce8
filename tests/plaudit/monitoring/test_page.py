from pathlib import Path

from plaudit.monitoring.names import catalogued
from plaudit.monitoring.page import metrics_page

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_in_the_repository_is_what_the_command_prints() -> None:
    assert PAGE.read_text(encoding="utf-8") == metrics_page(), "write it anew: plaudit config metrics > docs/metrics.md"


def test_every_metric_stands_on_it_once_with_its_meaning() -> None:
    page = metrics_page()
    for name, metric in catalogued().items():
        assert page.count(f"| `{name}` |") == 1
        assert metric._documentation in page
