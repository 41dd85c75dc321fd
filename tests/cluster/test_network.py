"""Namespaces that can be cut, seen by packets that pass and do not."""

import os
import subprocess
import sys

import pytest

from tests.cluster import network

LACKING = network.missing()

PROBE = """
import socket, subprocess, sys, time
from tests.cluster.network import Namespaces

LISTEN = '''
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("0.0.0.0", 9))
    print("there", flush=True)
    while True:
        print(sock.recv(100).decode(), flush=True)
'''
SEND = '''
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.sendto(b"passed", (sys.argv[1], 9))
'''

with Namespaces() as place, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    nodes = ("n1", "n2", "n3")
    listeners = {}
    for node in nodes:
        place.add(node)
        command = [*place.prefix(node), sys.executable, "-c", LISTEN]
        listeners[node] = subprocess.Popen(command, stdout=subprocess.PIPE)
        listeners[node].stdout.readline()

    def passes(sender, receiver):
        command = [*place.prefix(sender), sys.executable, "-c", SEND, place.host(receiver)]
        subprocess.run(command, check=True)
        client.sendto(b"end", (place.host(receiver), 9))
        said = listeners[receiver].stdout.readline()
        if said != b"end\\n":
            assert listeners[receiver].stdout.readline() == b"end\\n"
        return said == b"passed\\n"

    def show():
        print(*(f"{a}{b}" for a in nodes for b in nodes if a != b and passes(a, b)))

    try:
        show()
        place.cut(["n1"], ["n2"])
        show()
        place.heal()
        place.cut_one_way("n3", "n1")
        show()
        place.heal()
        show()
        place.unplug("n1")
        with socket.socket() as sock:
            sock.settimeout(0.3)
            try:
                sock.connect((place.host("n1"), 9))
            except TimeoutError:
                print("unplugged")
        place.heal()
    finally:
        for listener in listeners.values():
            listener.kill()
            listener.communicate()
"""


@pytest.mark.skipif(bool(LACKING), reason=f"NAMESPACES NOT TESTED: {LACKING}")
def test_what_is_cut_does_not_pass_and_what_is_healed_does():
    done = subprocess.run(
        [*network.unshare(), sys.executable, "-c", PROBE],
        check=False,
        capture_output=True,
        env={**os.environ, network.INSIDE: "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == [
        "n1n2 n1n3 n2n1 n2n3 n3n1 n3n2",
        "n1n3 n2n3 n3n1 n3n2",
        "n1n2 n1n3 n2n1 n2n3 n3n2",
        "n1n2 n1n3 n2n1 n2n3 n3n1 n3n2",
        "unplugged",
    ]


def test_ports_on_the_loopback_interface_differ():
    place = network.Loopback()
    for node in ("n1", "n2"):
        place.add(node)
    ports = [*place.ports("n1").values(), *place.ports("n2").values()]
    assert len(set(ports)) == 2 * len(network.PORTS)
    assert place.prefix("n1") == []


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(network, "_path", lambda: "/nowhere")
    assert network.missing() == "needs the packages iproute2, nftables, util-linux"
