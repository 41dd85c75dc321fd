"""What all models of the configuration are made of: the section they inherit from, and their types."""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from rookery.config.errors import Path
from rookery.mqtt.topics import SHARE_PREFIX, TOPIC_BYTES_MAX, validate_topic_filter

ANY_HOSTS = frozenset({"0.0.0.0", "::", ""})  # Addresses that stand for every interface.

Problem = tuple[Path, str]
"""Settings that do not go together: the path below the model, and what would be right."""

TOLERATE_PROBLEMS: Final = "tolerate problems"
"""As the context of a validation: let settings pass that do not go together, to ask ``problems`` after."""


@dataclass(frozen=True)
class Expected:
    """Says in words what a setting takes, where its type and bounds do not say it well."""

    text: str


def _port(value: object) -> object:
    """Take ``":1883"`` and ``"1883"`` for 1883, as the predecessor did."""
    if isinstance(value, str) and value.removeprefix(":").isdecimal() and len(value) <= 6:
        return int(value.removeprefix(":"))
    return value


def comma_list(value: object) -> object:
    """Take ``"a, b"`` for ``["a", "b"]``."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def is_loopback(host: str) -> bool:
    """Whether only this machine is meant."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _mqtt_text(value: str) -> str:
    if "\x00" in value or len(value.encode()) > 65535:
        raise ValueError("not to be written in a packet")
    return value


def topic_filter_text(value: str) -> str:
    """Take a topic filter without a share group; raises ``ValueError``."""
    # An authorizer sees topic filters without their share group.
    if value.startswith(SHARE_PREFIX) or not validate_topic_filter(value, TOPIC_BYTES_MAX):
        raise ValueError("no topic filter")
    return value


Port = Annotated[
    int,
    BeforeValidator(_port),
    Field(ge=0, le=65535),
    Expected('a port from 0 to 65535, as 1883 or ":1883" (0 lets the system choose one)'),
]
MqttText = Annotated[
    str,
    AfterValidator(_mqtt_text),
    Field(min_length=1),
    Expected("a text of 1 to 65535 bytes in UTF-8 without U+0000"),
]
Host = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._:%-]+$", max_length=255),
    Expected("an IP address or a host name, without a port"),
]
FilePath = Annotated[
    str,
    Field(pattern=r"^[^\x00]+$", max_length=4096),
    Expected("the path of a file"),
]
NodeId = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:-]*$", max_length=128),
    Expected("a name of 1 to 128 letters, digits and . _ @ : - that begins with a letter or digit"),
]
Peer = Annotated[
    str,
    Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$", max_length=255),
    Expected("host or host:port"),
]
Peers = Annotated[tuple[Peer, ...], BeforeValidator(comma_list), Strict(False)]


class Section(BaseModel):
    """What all models have in common: no unknown keys, no change, no silent conversions."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    def _problems(self) -> Iterable[Problem]:
        """The settings here that are right each by itself but not together."""
        return ()

    def problems(self) -> Iterator[Problem]:
        """The settings here and below that do not go together; of a valid model there are none."""
        yield from self._problems()
        for name in type(self).model_fields:
            value = getattr(self, name)
            below = enumerate(value) if isinstance(value, tuple) else [(None, value)]
            for index, section in below:
                if isinstance(section, Section):
                    place = (name,) if index is None else (name, index)
                    yield from (((*place, *path), text) for path, text in section.problems())

    @model_validator(mode="after")
    def _settings_go_together(self, info: ValidationInfo) -> Self:
        if info.context is TOLERATE_PROBLEMS:
            return self
        problems = list(self._problems())
        if problems:
            text = "; ".join(text for _, text in problems)
            raise PydanticCustomError("problems", "{text}", {"text": text, "problems": problems})
        return self
