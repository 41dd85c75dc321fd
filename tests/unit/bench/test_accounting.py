import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rookery_bench.accounting import (
    Usage,
    cpu_ns,
    peak_resident_bytes,
    resident_bytes,
    settled_resident_bytes,
    stat_cpu_ns,
)

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

WORKER = """
import sys, threading, time
def burn():
    while time.thread_time() < 0.05: pass
for line in sys.stdin:
    threads = [threading.Thread(target=burn) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    memory = bytearray(b"x" * int(line))
    print("done", flush=True)
"""


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def work(worker: "subprocess.Popen[str]", memory_bytes: int) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{memory_bytes}\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "done\n"


def test_threads_that_ended_are_counted(worker: "subprocess.Popen[str]") -> None:
    before = cpu_ns(worker.pid)
    work(worker, 0)
    assert cpu_ns(worker.pid) - before >= 100_000_000


def test_both_accounts_of_the_kernel_agree(worker: "subprocess.Popen[str]") -> None:
    work(worker, 0)
    # The worker is asleep now, so both readings are of the same moment.
    assert abs(cpu_ns(worker.pid) - stat_cpu_ns(worker.pid)) <= 2 * TICK_NS


def test_resident_memory_grows_with_what_is_used(worker: "subprocess.Popen[str]") -> None:
    work(worker, 0)
    before = resident_bytes(worker.pid)
    work(worker, 50_000_000)
    assert 45_000_000 < resident_bytes(worker.pid) - before < 110_000_000


def test_the_peak_stays_when_the_memory_is_given_back(worker: "subprocess.Popen[str]") -> None:
    work(worker, 50_000_000)
    work(worker, 0)
    assert peak_resident_bytes(worker.pid) > resident_bytes(worker.pid) + 30_000_000


def test_memory_settles_where_nothing_happens(worker: "subprocess.Popen[str]") -> None:
    work(worker, 0)
    assert settled_resident_bytes(worker.pid) == resident_bytes(worker.pid)


def test_usage_counts_from_its_start(worker: "subprocess.Popen[str]") -> None:
    work(worker, 0)
    usage = Usage(worker.pid)
    assert usage.read()[0] < 50_000_000
    work(worker, 0)
    broker_ns, own_ns, wall_ns = usage.read()
    assert broker_ns >= 100_000_000
    assert 0 < own_ns < wall_ns
    usage.restart()
    assert usage.read()[0] < 50_000_000


def test_a_process_that_ended_has_no_account() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    with pytest.raises(ProcessLookupError):
        cpu_ns(ended.pid)
