"""The configuration as the engine wants it."""

from dataclasses import fields

from rookery.config.limits import AddressRates, MessageRates
from rookery.config.models import Config
from rookery.engine.settings import Behaviour, Denial, Limits, Protection, Rates, Settings


def to_settings(config: Config) -> Settings:
    """Copy what the engine needs; it never sees a model."""
    mqtt = config.mqtt.model_dump()
    # One bound for every session: a 3.x session lasts no longer than a 5.0 one could ask for.
    mqtt["persistent_session_expiry_seconds"] = min(
        config.mqtt.persistent_session_expiry_seconds, config.limits.session_expiry_seconds_max
    )
    names = {field.name for field in fields(Limits)}
    return Settings(
        limits=Limits(**config.limits.model_dump(include=names)),
        behaviour=Behaviour(node_id=config.broker.node_id, **mqtt),
        denial=Denial(
            denied_v5_disconnects=config.authorization.denied.v5 == "disconnect",
            denied_v3_disconnects=config.authorization.denied.v3 == "disconnect",
        ),
        protection=_protection(config),
    )


def _protection(config: Config) -> Protection:
    limits = config.limits
    return Protection(
        client=to_rates(limits.client),
        client_exceeding_ends=limits.client is not None and limits.client.on_exceed == "disconnect",
        address=to_rates(limits.address),
        connections_per_address_max=limits.connections_per_address_max,
        connections_per_user_max=limits.connections_per_user_max,
        half_open_max=limits.half_open_max,
        half_open_per_address_max=limits.half_open_per_address_max,
    )


def to_rates(model: MessageRates | None) -> Rates | None:
    """Rates as the engine wants them; ``None`` where nothing is bounded."""
    if model is None:
        return None
    connects = model.connects_per_second_max if isinstance(model, AddressRates) else None
    return Rates(
        connects, model.messages_per_second_max, model.bytes_per_second_max, model.burst_seconds
    )
