"""A wait that a signal ends."""

import os
import signal
import subprocess
import sys
import time

from rookery.cli.cluster.signals import STOPPING, Signals

LONG_SECONDS = 30.0


def test_each_of_them_ends_a_wait_and_is_counted():
    began = time.monotonic()
    with Signals() as signals:
        for count, signum in enumerate(STOPPING, start=1):
            os.kill(os.getpid(), signum)
            signals.wait(LONG_SECONDS)
            assert signals.stops == count
    assert time.monotonic() - began < LONG_SECONDS


def test_a_hangup_may_be_one_to_reload():
    with Signals(reloads_on_hangup=True) as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        signals.wait(LONG_SECONDS)
        assert (signals.stops, signals.reloads) == (0, 1)


def test_the_end_of_a_child_ends_a_wait_too():
    with Signals() as signals:
        began = time.monotonic()
        child = subprocess.Popen([sys.executable, "-c", ""])
        signals.wait(LONG_SECONDS)
        assert time.monotonic() - began < LONG_SECONDS
        assert signals.stops == 0
        child.wait()


def test_without_a_signal_it_lasts():
    with Signals() as signals:
        began = time.monotonic()
        signals.wait(0.05)
        assert time.monotonic() - began >= 0.05


def test_afterwards_all_is_as_before():
    before = [signal.getsignal(signum) for signum in (*STOPPING, signal.SIGCHLD)]
    with Signals():
        pass
    assert [signal.getsignal(signum) for signum in (*STOPPING, signal.SIGCHLD)] == before
    assert signal.set_wakeup_fd(-1) == -1
