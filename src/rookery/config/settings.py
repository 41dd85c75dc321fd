"""The configuration as the engine wants it."""

from rookery.config.models import Config
from rookery.engine.settings import Behaviour, Denial, Limits, Settings


def to_settings(config: Config) -> Settings:
    """Copy what the engine needs; it never sees a model."""
    mqtt = config.mqtt.model_dump()
    # One bound for every session: a 3.x session lasts no longer than a 5.0 one could ask for.
    mqtt["persistent_session_expiry_seconds"] = min(
        config.mqtt.persistent_session_expiry_seconds, config.limits.session_expiry_seconds_max
    )
    return Settings(
        limits=Limits(**config.limits.model_dump()),
        behaviour=Behaviour(node_id=config.broker.node_id, **mqtt),
        denial=Denial(
            denied_v5_disconnects=config.authorization.denied.v5 == "disconnect",
            denied_v3_disconnects=config.authorization.denied.v3 == "disconnect",
        ),
    )
