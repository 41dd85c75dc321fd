"""The faults, each with what it may cost. ``SCENARIOS`` is what the command line knows."""

from typing import Final

from tests.cluster import checks
from tests.cluster.history import Fault
from tests.cluster.load import Plan
from tests.cluster.stage import Scenario, Stage

STEADY_SECONDS: Final = 5.0
"""How long the load runs before a fault and after the recovery from it."""
ACK_GAP_SECONDS_MAX: Final = 1.0
RESUME_P99_SECONDS_MAX: Final = 5.0
CONVERGE_SECONDS_MAX: Final = 10.0
REJOIN_SECONDS_MAX: Final = 30.0
"""How long a cluster may take that had lost its majority: its servers elect anew, which takes 4 to 9 s each time."""
WAKE_SECONDS_MAX: Final = 20.0
"""How long it may take after a machine stood still: its NATS server makes the others elect anew when it wakes."""
FENCED_SECONDS: Final = 3.0
"""When a node without a majority has noticed for sure: its lease ends 2.0 s after it was last renewed."""


async def steady(stage: Stage) -> None:
    """Nothing happens."""
    await stage.wait(stage.fault_seconds)


async def node_kill(stage: Stage) -> None:
    """A machine dies with its disk, and comes back empty."""
    await stage.wait(STEADY_SECONDS)
    clients = stage.clients_at(stage.victim)
    fault = stage.begin_fault("kill", stage.victim)
    stage.cluster.kill(stage.victim)
    stage.victims_died([stage.victim], fault.began_at)
    stage.cluster.wipe(stage.victim)
    await stage.wait(stage.fault_seconds)
    stage.silence_of_survivors(fault, stage.others, ACK_GAP_SECONDS_MAX)
    stage.resumed(clients, fault, RESUME_P99_SECONDS_MAX)
    stage.cluster.start(stage.victim)
    await stage.cluster.ready(stage.victim)
    stage.end_fault(fault)
    stage.measure(
        "the empty node is ready again", stage.now() - fault.began_at - stage.fault_seconds, "s"
    )
    await stage.converge(fault, CONVERGE_SECONDS_MAX)
    await stage.wait(STEADY_SECONDS)


async def node_restart(stage: Stage) -> None:
    """A node is killed and started again at once, with its disk."""
    await stage.wait(STEADY_SECONDS)
    clients = stage.clients_at(stage.victim)
    fault = stage.begin_fault("restart", stage.victim)
    stage.cluster.kill(stage.victim)
    stage.victims_died([stage.victim], fault.began_at)
    stage.cluster.start(stage.victim)
    await stage.cluster.ready(stage.victim)
    stage.end_fault(fault)
    await stage.converge(fault, CONVERGE_SECONDS_MAX)
    stage.resumed(clients, fault, None)
    await stage.wait(stage.fault_seconds)


async def two_killed(stage: Stage) -> None:
    """Two of three die at once, and come back: the third may promise nothing alone."""
    await stage.wait(STEADY_SECONDS)
    survivor, dead = stage.victim, stage.others
    fault = stage.begin_fault("kill two", *dead)
    stage.cluster.kill_many(dead)
    # What their clients' wills do depends on who is first back; the survivor's clients may be sent away as well.
    stage.victims_died([*dead, survivor], fault.began_at, surely=False)
    await stage.wait(stage.fault_seconds)
    _minority(stage, fault, [survivor], stage.now())
    for name in dead:
        stage.cluster.start(name)
    stage.end_fault(fault)
    await stage.converge(fault, REJOIN_SECONDS_MAX)
    await stage.wait(STEADY_SECONDS)


async def all_killed(stage: Stage) -> None:
    """The power fails for all at once, and comes back."""
    await stage.wait(STEADY_SECONDS)
    fault = stage.begin_fault("kill all", *stage.cluster.nodes)
    stage.cluster.kill_many(list(stage.cluster.nodes))
    stage.victims_died(stage.cluster.nodes, fault.began_at, surely=False)
    await stage.wait(1.0)
    for name in stage.cluster.nodes:
        stage.cluster.start(name)
    stage.end_fault(fault)
    await stage.converge(fault, REJOIN_SECONDS_MAX)
    await stage.wait(STEADY_SECONDS)


async def partition(stage: Stage) -> None:
    """One node is cut off from the two others; clients reach all three."""
    await stage.wait(STEADY_SECONDS)
    clients = stage.clients_at(stage.victim)
    fault = stage.begin_fault("partition", stage.victim)
    stage.place.cut([stage.victim], stage.others)
    stage.victims_died([stage.victim], fault.began_at)
    await stage.wait(stage.fault_seconds)
    _minority(stage, fault, [stage.victim], stage.now())
    stage.silence_of_survivors(fault, stage.others, ACK_GAP_SECONDS_MAX)
    stage.resumed(clients, fault, None)
    stage.place.heal()
    stage.end_fault(fault)
    await stage.converge(fault, CONVERGE_SECONDS_MAX)
    await stage.wait(STEADY_SECONDS)


async def one_way(stage: Stage) -> None:
    """What one node sends does not arrive at the others; what they send arrives."""
    await stage.wait(STEADY_SECONDS)
    fault = stage.begin_fault("one-way cut", stage.victim)
    for other in stage.others:
        stage.place.cut_one_way(stage.victim, other)
    stage.victims_died([stage.victim], fault.began_at)
    await stage.wait(stage.fault_seconds)
    _minority(stage, fault, [stage.victim], stage.now())
    stage.silence_of_survivors(fault, stage.others, ACK_GAP_SECONDS_MAX)
    stage.place.heal()
    stage.end_fault(fault)
    await stage.converge(fault, CONVERGE_SECONDS_MAX)
    await stage.wait(STEADY_SECONDS)


async def freeze(stage: Stage) -> None:
    """A machine stands still, is given up, and wakes up believing that nothing happened."""
    await stage.wait(STEADY_SECONDS)
    clients = stage.clients_at(stage.victim)
    fault = stage.begin_fault("freeze", stage.victim)
    stage.cluster.freeze(stage.victim)
    stage.victims_died([stage.victim], fault.began_at)
    await stage.wait(stage.fault_seconds)
    stage.silence_of_survivors(fault, stage.others, ACK_GAP_SECONDS_MAX)
    stage.resumed([name for name in clients if not name.startswith("i")], fault, None)
    stage.cluster.thaw(stage.victim)
    stage.end_fault(fault)
    await stage.converge(fault, WAKE_SECONDS_MAX)
    stage.silence_after(fault)
    await stage.wait(STEADY_SECONDS)


async def nats_kill(stage: Stage) -> None:
    """The NATS server beside a living node dies."""
    await stage.wait(STEADY_SECONDS)
    clients = stage.clients_at(stage.victim)
    fault = stage.begin_fault("NATS kill", stage.victim)
    stage.cluster.kill_nats(stage.victim)
    # Whether the node goes on or gives its clients up is its own affair, so their wills are as well.
    stage.victims_died([stage.victim], fault.began_at, surely=False)
    stage.end_fault(fault)
    await stage.wait(stage.fault_seconds)
    stage.silence_of_survivors(fault, stage.others, ACK_GAP_SECONDS_MAX)
    lost = [name for name in clients if stage.history.lives_of(name)[-1].opened_at > fault.began_at]
    stage.measure("clients that had to come again", len(lost))
    stage.resumed(lost, fault, None)
    await stage.converge(fault, REJOIN_SECONDS_MAX)
    await stage.wait(STEADY_SECONDS)


async def slow_disk(stage: Stage) -> None:
    """Every sync takes 0.2 s longer in the node, and its NATS server stands still for half of the time."""
    await stage.wait(STEADY_SECONDS)
    fault = stage.begin_fault("slow disk", stage.victim)
    shim, nats = stage.victim_node.shim, stage.cluster.nats_pid(stage.victim)
    assert shim is not None
    shim.set_sync(0.2)
    if nats is not None:
        await stage.cluster.stutter(nats, stage.fault_seconds)
    else:
        await stage.wait(stage.fault_seconds)
    shim.set_sync(0.0)
    stage.end_fault(fault)
    stage.silence_of_survivors(fault, stage.others, ACK_GAP_SECONDS_MAX)
    await stage.converge(fault, CONVERGE_SECONDS_MAX)
    await stage.wait(STEADY_SECONDS)


async def clock(stage: Stage) -> None:
    """The wall clock of one node jumps 5 minutes ahead, then 5 minutes back, while publishers move about."""
    await stage.wait(STEADY_SECONDS)
    shim = stage.victim_node.shim
    assert shim is not None
    before = {client.name: client.wire for client in stage.load.readers}
    for offset in (300.0, -300.0, 0.0):
        fault = stage.begin_fault(f"clock {offset:+.0f} s", stage.victim)
        shim.set_clock(offset)
        for _ in range(3):
            await stage.wait(stage.fault_seconds / 3)
            for publisher in stage.load.publishers:
                nodes = [name for name in stage.cluster.nodes if name != publisher.node]
                publisher.move(stage.chance.choice(nodes))
        stage.end_fault(fault)
        fault.settled_at = fault.ended_at
    dropped = [
        name
        for name, client in ((each.name, each) for each in stage.load.readers)
        if client.wire is not before[name]
    ]
    stage.measure("readers that lost their link", len(dropped), "", 0)
    await stage.wait(STEADY_SECONDS)


async def takeover_storm(stage: Stage) -> None:
    """Client ids that programs at all nodes fight for, without a pause worth the name."""
    await stage.wait(stage.fault_seconds)
    takeovers = sum(twin.takeovers for twin in stage.load.twins)
    stage.measure("links that were let in", takeovers)
    stage.measure("signs of an owner", len(stage.history.signs))
    names = {twin.name for twin in stage.load.twins}
    least = min(sum(each.client == name for each in stage.history.lives) for name in names)
    stage.measure("of the client id with fewest", least)


async def join(stage: Stage) -> None:
    """A fourth node joins while everybody is served."""
    await stage.wait(STEADY_SECONDS)
    fault = stage.begin_fault("join", "n4")
    stage.cluster.add("n4")
    stage.cluster.start("n4")
    await stage.cluster.ready("n4")
    stage.measure("the new node is ready", stage.now() - fault.began_at, "s")
    stage.world.addresses["n4"] = stage.cluster.nodes["n4"].address
    stage.load.add_node("n4")
    stage.end_fault(fault)
    moved = stage.chance.sample(stage.load.lasting, len(stage.load.lasting) // 4)
    for client in moved:
        client.move("n4")
    await stage.converge(fault, CONVERGE_SECONDS_MAX)
    stage.silence_of_survivors(fault, ("n1", "n2", "n3"), ACK_GAP_SECONDS_MAX)
    stage.measure("clients at the new node", len(stage.clients_at("n4")))
    await stage.wait(STEADY_SECONDS)


def _minority(stage: Stage, fault: Fault, nodes: list[str], end: float) -> None:
    """What nodes without a majority did once they must have noticed; all of it is wrong."""
    begin = fault.began_at + FENCED_SECONDS
    stage.outcome.violations += checks.minority(stage.history, nodes, begin, end)
    stage.measure("time without a majority", end - begin, "s")


SCENARIOS: Final = {
    each.name: each
    for each in (
        Scenario("steady", "no fault at all", steady, 15.0),
        Scenario(
            "node_kill",
            "SIGKILL of a node and its NATS server, disk wiped, under load",
            node_kill,
            15.0,
            Plan(sessions=2_000),
            at_victim=True,
        ),
        Scenario("node_restart", "SIGKILL of a node, started again at once", node_restart, 5.0),
        Scenario("two_killed", "SIGKILL of two of three, started again", two_killed, 6.0),
        Scenario("all_killed", "SIGKILL of all three at once, started again", all_killed),
        Scenario(
            "partition", "one node cut off from the two others", partition, 30.0, isolated=True
        ),
        Scenario("freeze", "SIGSTOP of a node and its NATS server", freeze, 20.0),
        Scenario("one_way", "nothing that one node sends arrives", one_way, 20.0, isolated=True),
        Scenario("nats_kill", "the NATS server beside a living node dies", nats_kill, 15.0),
        Scenario("slow_disk", "one node's disk is slow", slow_disk, 15.0, shim=True),
        Scenario("clock", "one node's wall clock jumps 5 minutes", clock, 9.0, shim=True),
        Scenario(
            "takeover_storm",
            "client ids contended for at all nodes",
            takeover_storm,
            15.0,
            Plan(twins=10, twin_pause_seconds=0.05),
        ),
        Scenario("join", "a fourth node joins under load", join),
    )
}
