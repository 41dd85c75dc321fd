"""``python -m tests.abuse``: what abuse does to clients that behave. Ends with 1 where a target is missed."""

import argparse
import asyncio
import os
import sys

import rookery.mqtt.link
from tests.abuse.attacks import ATTACKS
from tests.abuse.node import pin
from tests.abuse.run import HEAD, Outcome, Plan, lines, run


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.abuse", description=__doc__)
    parser.add_argument("attacks", nargs="*", help=f"some of {', '.join(ATTACKS)}; all of them")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long each attack lasts")
    parser.add_argument("--clients", type=int, default=100, help="bystanders")
    parser.add_argument("--rate", type=float, default=1_000.0, help="their messages per second")
    parser.add_argument("--set", action="append", default=[], help="a setting of the node")
    given = parser.parse_args()
    unknown = set(given.attacks) - ATTACKS.keys()
    if unknown:
        parser.error(f"no attack {', '.join(sorted(unknown))}: choose from {', '.join(ATTACKS)}")
    pin(os.getpid(), 1)
    plan = Plan(
        tuple(given.attacks or ATTACKS),
        given.seconds,
        given.clients,
        given.rate,
        settings=tuple(given.set),
    )
    core = "interpreted" if str(rookery.mqtt.link.__file__).endswith(".py") else "compiled"
    print(f"{core} core, {plan.clients} bystanders, {plan.per_second:g} messages/s, QoS 1")
    print(HEAD, flush=True)

    def tell(outcome: Outcome) -> None:
        print("\n".join(lines(outcome)), flush=True)

    outcomes = asyncio.run(run(plan, tell))
    return 0 if all(outcome.verdict == "met" for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
