from structlog.testing import capture_logs

from rookery.cluster.problems import PROBLEM_SECONDS, PROBLEMS_MAX, Problems


class Time:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def meet(
    problems: Problems, key: str = "n2", text: str = "no", reason: str = "wrong_secret"
) -> None:
    problems.met(key, text, reason, peer=key, address="a:1", event="refused")


def test_the_log_gets_a_problem_once_and_again_when_it_is_another():
    problems = Problems(Time())
    with capture_logs() as lines:
        for text in ("no", "no", "never", "never"):
            meet(problems, text=text)
    assert [(line["event"], line["detail"]) for line in lines] == [
        ("refused", "no"),
        ("refused", "never"),
    ]
    assert problems.list() == ["never"]


def test_what_is_over_or_met_no_more_is_no_problem():
    time = Time()
    problems = Problems(time)
    meet(problems, "n2")
    meet(problems, "n3", "other")
    problems.over("n2")
    assert problems.list() == ["other"]
    time.now += PROBLEM_SECONDS + 1
    assert problems.list() == []
    with capture_logs() as lines:
        meet(problems, "n3", "other")
    assert len(lines) == 1


def test_what_is_usual_while_nodes_come_is_no_warning():
    with capture_logs() as lines:
        meet(Problems(Time()), reason="not_expected")
        meet(Problems(Time()))
    assert [line["log_level"] for line in lines] == ["info", "warning"]


def test_strangers_cannot_fill_the_memory():
    problems = Problems(Time())
    for number in range(PROBLEMS_MAX + 5):
        meet(problems, f"n{number}", f"text {number}")
    assert len(problems.list()) == PROBLEMS_MAX
    assert "text 4" not in problems.list()
