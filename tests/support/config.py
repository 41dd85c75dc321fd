"""What a configuration is refused for."""

from typing import Any

import pytest
from pydantic import ValidationError

from rookery.config.models import Config


def problems(data: dict[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    """Where and how the settings do not go together."""
    with pytest.raises(ValidationError) as refused:
        Config.model_validate(data)
    return [
        ((*error["loc"], *path), text)
        for error in refused.value.errors()
        for path, text in error["ctx"]["problems"]
    ]
