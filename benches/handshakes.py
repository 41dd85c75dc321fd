"""A storm of TLS handshakes beside steady traffic: how late the messages of others become.

    python benches/handshakes.py [CLIENTS] [KEY]        KEY: ec (default), rsa:2048, rsa:4096

Starts a node in a process of its own, with a plain and a TLS listener. One client publishes to another
over the plain one, a message every 5 ms; then CLIENTS others, in another process, begin a TLS handshake all
at once and connect. Prints how long messages took before the storm and in it, and how long the storm
took. All share the machine: on two cores the storm's own side costs as much as the node's.
"""

import asyncio
import multiprocessing
import os
import re
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BEAT_SECONDS = 0.005
QUIET_SECONDS = 3.0
CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"
SUBSCRIBE = b"\x82\x06\x00\x01\x00\x01t\x00"


def make_certificate(folder: Path, key: str) -> None:
    kind = (
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        if key == "ec"
        else ["-newkey", key]
    )
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    out = ["-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem")]
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", *kind, *names, *out]
    subprocess.run(command, check=True, capture_output=True)


def start(folder: Path) -> tuple[subprocess.Popen[str], int, int]:
    """The node, its plain port and its TLS port."""
    tls = f"{{certificate: {folder}/c.pem, private_key: {folder}/k.pem}}"
    local = "host: 127.0.0.1, port: 0"
    listeners = f"listeners=[{{type: tcp, {local}}}, {{type: tls, {local}, tls: {tls}}}]"
    settings = [listeners, "metrics.enabled=false", "store.durability=memory", "log.level=error"]
    options = [word for setting in settings for word in ("--set", setting)]
    process = subprocess.Popen(
        [sys.executable, "-m", "rookery", "start", *options], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    ports: dict[str, int] = {}
    for line in process.stdout:
        if found := re.search(r"listening on (\w+)://127\.0\.0\.1:(\d+)", line):
            ports[found[1]] = int(found[2])
        if line.startswith("Rookery"):
            print(line.strip())
        if "configured by" in line:
            break
    return process, ports["tcp"], ports["tls"]


async def connect(port: int, context: ssl.SSLContext | None = None):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(CONNECT)
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
    return reader, writer


def storm(port: int, count: int, done) -> None:
    """All at once, from a process of its own."""

    async def main() -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        began = time.monotonic()
        results = await asyncio.gather(
            *(connect(port, context) for _ in range(count)), return_exceptions=True
        )
        failed = sum(isinstance(result, BaseException) for result in results)
        done.put((time.monotonic() - began, failed))

    asyncio.run(main())


async def measure(plain: int, tls: int, count: int) -> None:
    reader, writer = await connect(plain)
    writer.write(SUBSCRIBE)
    await reader.readexactly(5)
    _, publisher = await connect(plain)
    latencies: list[float] = []

    async def read() -> None:
        while True:
            packet = await reader.readexactly(13)
            latencies.append(time.monotonic() - int.from_bytes(packet[5:13]) / 1e9)

    async def publish() -> None:
        while True:
            publisher.write(b"\x30\x0b\x00\x01t" + time.monotonic_ns().to_bytes(8))
            await asyncio.sleep(BEAT_SECONDS)

    tasks = [asyncio.create_task(read()), asyncio.create_task(publish())]
    await asyncio.sleep(QUIET_SECONDS)
    report("quiet", latencies)
    latencies.clear()
    done = multiprocessing.Queue()
    process = multiprocessing.Process(target=storm, args=(tls, count, done))
    process.start()
    seconds, failed = await asyncio.to_thread(done.get)
    report("storm", latencies)
    print(f"{count} handshakes in {seconds:.2f} s, {failed} failed")
    process.join()
    for task in tasks:
        task.cancel()


def report(name: str, latencies: list[float]) -> None:
    ordered = sorted(latencies)
    marks = {f"p{mark}": ordered[len(ordered) * mark // 100] for mark in (50, 90, 99)}
    marks["worst"] = ordered[-1]
    text = ", ".join(f"{mark} {seconds * 1e3:.2f} ms" for mark, seconds in marks.items())
    print(f"{name}: {len(ordered)} messages, {text}")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    key = sys.argv[2] if len(sys.argv) > 2 else "ec"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(folder, key)
        os.environ.pop("ROOKERY_CONFIG", None)
        process, plain, tls = start(folder)
        try:
            asyncio.run(measure(plain, tls, count))
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
