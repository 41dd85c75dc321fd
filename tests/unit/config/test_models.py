"""What the models take, what they derive and what they refuse."""

from rookery.config.listeners import Listener
from rookery.config.models import Broker, Config
from tests.support.config import problems

TLS = {"certificate": "c.pem", "private_key": "k.pem"}


class TestDefaults:
    def test_the_ports_are_the_predecessors(self):
        broker = Config().broker
        assert (broker.mqtt_port, broker.grpc_port) == (1883, 8081)
        assert (broker.metrics_port, broker.dashboard_port) == (8082, 18083)

    def test_everything_listens_on_one_tcp_listener(self):
        (listener,) = Config().active_listeners
        assert (listener.type, listener.name) == ("tcp", "tcp")
        assert (listener.host, listener.port) == ("0.0.0.0", 1883)

    def test_two_nodes_with_other_ports_have_other_names(self):
        assert Broker().node_id == "rookery-1883"
        assert Broker(mqtt_port=1884).node_id == "rookery-1884"
        assert Broker(mqtt_port=1884, node_id="n").node_id == "n"

    def test_no_two_nodes_share_anything_when_their_ports_differ(self):
        """All that is fixed on a machine (addresses and the name) follows the ports."""
        ports = {"mqtt_port": 1, "grpc_port": 2, "metrics_port": 3, "dashboard_port": 4}
        one, other = Config(), Config(broker=Broker.model_validate(ports))
        assert not _taken(one) & _taken(other)


def _taken(config: Config) -> set[object]:
    broker = config.broker
    ports = {broker.mqtt_port, broker.grpc_port, broker.metrics_port, broker.dashboard_port}
    return {broker.node_id, *ports, *(each.port for each in config.active_listeners)}


class TestAddresses:
    def clash(self, *listeners: dict[str, object], **broker: object) -> list[str]:
        data = {"broker": broker, "listeners": list(listeners)}
        return [".".join(map(str, path)) for path, _ in problems(data)]

    def test_two_listeners_on_one_address(self):
        assert self.clash({"type": "tcp"}, {"type": "tcp"}) == ["listeners.1.port"]
        one, other = {"type": "tcp", "port": 5, "host": "::1"}, {"type": "ws", "port": 5}
        assert self.clash(one, other) == ["listeners.1.port"]

    def test_the_metrics_on_a_listeners_port(self):
        assert self.clash(mqtt_port=8082) == ["broker.metrics_port"]

    def test_other_hosts_port_0_and_no_metrics_do_not_clash(self):
        first = Listener(type="tcp", host="127.0.0.1", port=5)
        assert Config(listeners=(first, Listener(type="tcp", host="127.0.0.2", port=5)))
        assert Config(listeners=(Listener(type="tcp", port=0), Listener(type="tcp", port=0)))
        assert Config.model_validate({"broker": {"mqtt_port": 8082}, "metrics": {"enabled": False}})


class TestActiveListeners:
    def test_what_is_left_out_is_filled_in(self):
        data = {
            "broker": {"mqtt_port": 1884},
            "listeners": [
                {"type": "tcp"},
                {"type": "wss", "port": 8084, "tls": TLS},
                {"type": "ws", "port": 8083, "path": "/ws", "host": "::1", "name": "web"},
                {"type": "unix", "path": "/run/rookery.sock"},
            ],
        }
        active = Config.model_validate(data).active_listeners
        assert [(each.name, each.host, each.port, each.path) for each in active] == [
            ("tcp-0", "0.0.0.0", 1884, None),
            ("wss-1", "0.0.0.0", 8084, "/mqtt"),
            ("web", "::1", 8083, "/ws"),
            ("unix-3", None, None, "/run/rookery.sock"),
        ]

    def test_a_name_belongs_to_one_listener(self):
        first, second = {"type": "tcp", "name": "tcp-1"}, {"type": "tcp", "port": 1884}
        ((path, text),) = problems({"listeners": [first, second]})
        assert path == ("listeners", 1, "name")
        assert text == "tcp-1 is the name of listeners.0 already"
