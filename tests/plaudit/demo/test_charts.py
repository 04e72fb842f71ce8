"""Charts: valid XML, data where it belongs, no script."""

from xml.etree import ElementTree

import pytest

from plaudit.demo.charts import Series, Spot, _ticks, bar_chart, front_chart, line_chart


def test_line_chart_is_valid_and_scaled() -> None:
    markup = line_chart(
        [Series("a<b", [(0, 0), (10, 5)], band=[(0, -1, 1), (10, 4, 6)])],
        x_label="x",
        y_label="y",
        rules=[(2, "limit")],
    )
    root = ElementTree.fromstring(markup)
    line = next(e for e in root.iter() if "line tone1" in e.get("class", ""))
    xs = [float(pair.split(",")[0]) for pair in line.get("points", "").split()]
    assert xs == [56.0, 628.0]
    assert "a&lt;b" in markup
    assert "script" not in markup


def test_empty_data_says_so() -> None:
    assert "no data" in line_chart([], x_label="x", y_label="y")
    assert "no data" in bar_chart([], label="y")


def test_bars() -> None:
    root = ElementTree.fromstring(bar_chart([("one", 10, "10"), ("half", 5, "5")], label="bars"))
    widths = [float(e.get("width", 0)) for e in root.iter() if e.get("class") == "bar"]
    assert widths == [330.0, 165.0]


@pytest.mark.parametrize(("low", "high", "first", "last"), [(0, 10, 0, 10), (0.13, 0.58, 0.2, 0.5), (-3, 3, -2, 2)])
def test_ticks_are_round_and_inside(low: float, high: float, first: float, last: float) -> None:
    ticks = _ticks(low, high)
    assert ticks[0] == pytest.approx(first)
    assert ticks[-1] == pytest.approx(last)
    assert 3 <= len(ticks) <= 8


def test_spots_lie_where_their_values_are_and_the_front_is_joined() -> None:
    spots = [
        Spot("a&b", (0.0, -1.0, 1.0), (2.0, 1.0, 3.0), front=True),
        Spot("worse", (0.5, 0.0, 1.0), (0.5, 0.0, 1.0)),
        Spot("far", (4.0, 3.0, 5.0), (1.0, 0.0, 2.0), front=True, tone=2),
    ]
    markup = front_chart(spots, x_label="love", y_label="relevance")
    root = ElementTree.fromstring(markup)
    places = [(float(e.get("cx", 0)), float(e.get("cy", 0))) for e in root.iter() if "spot" in e.get("class", "")]
    assert places[0][0] < places[1][0] < places[2][0]
    assert places[0][1] < places[2][1] < places[1][1], "higher is higher up"
    line = next(e for e in root.iter() if e.tag == "polyline").get("points", "").split()
    assert [tuple(map(float, point.split(","))) for point in line] == [places[0], places[2]]
    assert "a&amp;b" in markup
    assert "no data" in front_chart([], x_label="x", y_label="y")
