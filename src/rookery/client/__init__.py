"""A small asyncio MQTT client over ``rookery.mqtt``: one object is one connection."""

from rookery.client.client import Client
from rookery.client.errors import ClientError, ConnectionLost, ConnectionRefused, PublishRefused

__all__ = ["Client", "ClientError", "ConnectionLost", "ConnectionRefused", "PublishRefused"]
