"""Which settings of a listener go together."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from rookery.config import ConfigErrors, load
from rookery.config.listeners import Tls
from tests.support.config import problems

TLS = {"certificate": "c.pem", "private_key": "k.pem"}


def listener_problems(**fields: Any) -> dict[str, str]:
    found = problems({"listeners": [fields]})
    return {str(path[-1]): text for path, text in found}


class TestListeners:
    @pytest.mark.parametrize("kind", ["tls", "wss"])
    def test_a_secure_listener_needs_a_certificate_and_a_port(self, kind: str):
        assert set(listener_problems(type=kind)) == {"tls", "port"}

    @pytest.mark.parametrize(("kind", "better"), [("tcp", "tls"), ("ws", "wss"), ("unix", "tls")])
    def test_a_certificate_is_for_secure_listeners_only(self, kind: str, better: str):
        place = {"path": "/s"} if kind == "unix" else {"port": 1}
        found = listener_problems(type=kind, tls=TLS, **place)
        assert set(found) == {"tls"}
        assert found["tls"].endswith(better)

    def test_a_unix_listener_has_a_path_and_no_address(self):
        assert set(listener_problems(type="unix", host="::1", port=1)) == {"path", "host", "port"}
        assert "107 bytes" in listener_problems(type="unix", path="/" + "a" * 107)["path"]

    def test_a_port_is_shared_only_where_there_is_one(self):
        found = listener_problems(type="unix", path="/s", reuse_port=True)
        assert "one owner" in found["reuse_port"]
        assert "is 0" in listener_problems(type="tcp", port=0, reuse_port=True)["port"]

    def test_a_path_is_for_websocket_and_begins_with_a_slash(self):
        assert "not for a tcp" in listener_problems(type="tcp", path="/mqtt")["path"]
        assert '"/mqtt"' in listener_problems(type="ws", port=1, path="mqtt")["path"]

    def test_client_certificates_need_an_authority(self):
        with pytest.raises(ValidationError):
            Tls.model_validate({**TLS, "client_certificate": "required"})
        assert Tls.model_validate({**TLS, "client_certificate": "optional", "ca": "ca.pem"})

    def test_revocation_lists_need_client_certificates(self):
        with pytest.raises(ValidationError, match="clients are not asked for certificates"):
            Tls.model_validate({**TLS, "crl": "crl.pem"})
        asked = {"client_certificate": "optional", "ca": "ca.pem", "crl": "crl.pem"}
        assert Tls.model_validate({**TLS, **asked})

    def test_ciphers_select_at_least_one(self):
        given = (
            f"listeners={json.dumps([{'type': 'tls', 'port': 1, 'tls': TLS | {'ciphers': 'NO'}}])}"
        )
        with pytest.raises(ConfigErrors) as failed:
            load(None, {}, [given])
        assert "listeners.0.tls.ciphers: must be a list of ciphers as `openssl" in str(failed.value)
        assert Tls.model_validate({**TLS, "ciphers": "ECDHE+AESGCM:!AES128"})

    def test_further_certificates_have_hosts(self):
        more = [TLS | {"hosts": ["a.example", "*.b.example"]}]
        assert Tls.model_validate({**TLS, "certificates": more}).certificates[0].hosts == (
            "a.example",
            "*.b.example",
        )
        with pytest.raises(ValidationError):
            Tls.model_validate({**TLS, "certificates": [TLS | {"hosts": ["a.*.example"]}]})
