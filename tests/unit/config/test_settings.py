"""The engine's settings from the configuration."""

import dataclasses

from rookery.config.models import Config
from rookery.config.settings import to_rates, to_settings
from rookery.engine.settings import Protection, Rates


def test_every_limit_and_choice_arrives():
    data = {
        "broker": {"node_id": "n"},
        "limits": {"inflight_max": 5},
        "mqtt": {"share_strategy": "sticky", "server_reference": "other"},
    }
    config = Config.model_validate(data)
    settings = to_settings(config)
    limits = dataclasses.asdict(settings.limits)
    assert limits == config.limits.model_dump(include=limits.keys())
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


def test_what_bounds_clients_and_addresses_arrives():
    limits = {
        "client": {"messages_per_second_max": 5, "on_exceed": "disconnect"},
        "address": {"connects_per_second_max": 2, "bytes_per_second_max": 9, "burst_seconds": 3},
        "connections_per_address_max": 7,
        "connections_per_user_max": 8,
        "half_open_max": 6,
        "half_open_per_address_max": 4,
    }
    assert to_settings(Config.model_validate({"limits": limits})).protection == Protection(
        client=Rates(messages_per_second_max=5),
        client_exceeding_ends=True,
        address=Rates(connects_per_second_max=2, bytes_per_second_max=9, burst_seconds=3),
        connections_per_address_max=7,
        connections_per_user_max=8,
        half_open_max=6,
        half_open_per_address_max=4,
    )


def test_nothing_bounds_a_rate_unless_somebody_says_so():
    protection = to_settings(Config()).protection
    assert (protection.client, protection.address) == (None, None)
    assert to_rates(None) is None
