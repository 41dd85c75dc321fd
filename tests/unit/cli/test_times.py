from datetime import UTC, datetime

import pytest
import typer

from rookery.cli.times import seconds_of, since_of, wall_of, written


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("2h", 7_200), ("7d", 604_800), ("1w", 604_800), ("1.5h", 5_400)],
)
def test_durations(text: str, seconds: float):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "0s", "-5m", "m", "10y", "1h30m", "99999999999s"])
def test_no_durations(text: str):
    with pytest.raises(typer.BadParameter, match="no duration"):
        seconds_of(text)


def test_times():
    moment = datetime(2026, 1, 31, 12, 0, tzinfo=UTC).timestamp()
    assert wall_of("2026-01-31T13:00+01:00") == moment
    assert wall_of("2026-01-31") == datetime(2026, 1, 31).astimezone().timestamp()
    assert written(moment) == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "0001-01-01T00:00"])
def test_no_times(text: str):
    with pytest.raises(typer.BadParameter, match="no time"):
        wall_of(text)


def test_a_time_or_a_while_ago():
    assert since_of("10m", 1_000.0) == 400.0
    assert since_of("2026-01-31T12:00+00:00", 5.0) == wall_of("2026-01-31T12:00+00:00")
