"""The engine's settings from the configuration."""

import dataclasses

from rookery.config.models import Config
from rookery.config.settings import to_settings


def test_every_limit_and_choice_arrives():
    data = {
        "broker": {"node_id": "n"},
        "limits": {"inflight_max": 5},
        "mqtt": {"share_strategy": "sticky", "server_reference": "other"},
    }
    config = Config.model_validate(data)
    settings = to_settings(config)
    assert dataclasses.asdict(settings.limits) == config.limits.model_dump()
    assert dataclasses.asdict(settings.behaviour) == {**config.mqtt.model_dump(), "node_id": "n"}


def test_what_becomes_of_who_does_what_it_may_not_do():
    denial = to_settings(Config()).denial
    assert not denial.denied_v5_disconnects
    assert not denial.denied_v3_disconnects
    data = {"authorization": {"denied": {"v5": "disconnect", "v3": "disconnect"}}}
    denial = to_settings(Config.model_validate(data)).denial
    assert denial.denied_v5_disconnects
    assert denial.denied_v3_disconnects


def test_no_session_outlives_the_limit():
    limited = Config.model_validate({"limits": {"session_expiry_seconds_max": 60}})
    assert to_settings(limited).behaviour.persistent_session_expiry_seconds == 60
    assert to_settings(Config()).behaviour.persistent_session_expiry_seconds == 604_800
