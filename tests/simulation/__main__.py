"""``python -m tests.simulation --seeds 1-200 --steps 300``: run seeds, show the first failing one."""

import argparse
import logging
import sys
import traceback

import structlog

from tests.simulation.script import script
from tests.simulation.shrink import failure, shrink


def main() -> int:
    """Run the seeds asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", default="1-200", help="from-to, or one")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--all", action="store_true", help="go on after a failure, scripts untold")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    first, _, last = asked.seeds.partition("-")
    failed = 0
    for seed in range(int(first), int(last or first) + 1):
        events = script(seed, asked.steps)
        error = failure(events)
        if error is None:
            continue
        failed += 1
        if asked.all:
            print(f"seed {seed}: {type(error).__name__}: {error}")
            continue
        shorter = shrink(events)
        for event in shorter:
            print(" ", event)
        error = failure(shorter)
        assert error is not None
        traceback.print_exception(error)
        print(f"seed {seed}, {asked.steps} steps, cut down to {len(shorter)}")
        return 1
    print(f"{failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
