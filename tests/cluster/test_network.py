"""Namespaces that can be cut, seen by packets that pass and do not."""

import os
import subprocess
import sys

import pytest

from tests.cluster import network

LACKING = network.missing()

PROBE = """
import socket, subprocess, sys
from tests.cluster.network import Namespaces

LISTEN = '''
import socket, sys
with socket.create_server(("0.0.0.0", 9)) as listening:
    print("there", flush=True)
    while True:
        sock, _ = listening.accept()
        sock.close()
'''
REACH = '''
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9), 0.3).close()
except TimeoutError:
    sys.exit(1)
'''

def reaches(place, sender, receiver):
    command = [*place.prefix(sender), sys.executable, "-c", REACH, place.host(receiver)]
    return subprocess.run(command, check=False).returncode == 0

with Namespaces() as place:
    listeners = []
    for node in ("n1", "n2", "n3"):
        place.add(node)
        command = [*place.prefix(node), sys.executable, "-c", LISTEN]
        listener = subprocess.Popen(command, stdout=subprocess.PIPE)
        listener.stdout.readline()
        listeners.append(listener)
    try:
        for node in ("n1", "n2", "n3"):
            socket.create_connection((place.host(node), 9), 1).close()
        pairs = [("n1", "n2"), ("n2", "n1"), ("n2", "n3")]
        print([reaches(place, *pair) for pair in pairs])
        place.cut(["n1"], ["n2"])
        print([reaches(place, *pair) for pair in pairs])
        socket.create_connection((place.host("n1"), 9), 1).close()
        place.heal()
        print([reaches(place, *pair) for pair in pairs])
        place.unplug("n1")
        try:
            socket.create_connection((place.host("n1"), 9), 0.3)
            print("still there")
        except TimeoutError:
            print("unplugged")
        place.heal()
        socket.create_connection((place.host("n1"), 9), 3).close()
    finally:
        for listener in listeners:
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
        "[True, True, True]",
        "[False, False, True]",
        "[True, True, True]",
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
