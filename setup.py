"""Builds the package: the hot modules are compiled with mypyc, the same files run interpreted.

``ROOKERY_PURE=1``, or the absence of a working C compiler, gives the interpreted package. Whichever
it was, one line says so, on standard output and in ``build/core`` (pip hides the former).
"""

import os
import tempfile
from pathlib import Path
from sysconfig import get_path

from setuptools import Extension, setup
from setuptools._distutils.ccompiler import new_compiler
from setuptools._distutils.errors import CCompilerError, DistutilsError
from setuptools._distutils.sysconfig import customize_compiler

PACKAGE = Path("src/rookery")

WHOLE_PACKAGES = ("mqtt", "session", "routing", "actors")
SINGLE_MODULES = (
    "message",
    "records",
    "records_wire",
    "auth/anonymous",
    "auth/chain",
    "auth/users",
    "auth/verifier",
    "engine/addresses",
    "engine/admission",
    "engine/backlog_reader",
    "engine/ban_review",
    "engine/broker",
    "engine/bucket",
    "engine/client_link",
    "engine/committer",
    "engine/elsewhere",
    "engine/gate",
    "engine/held_output",
    "engine/last_words",
    "engine/leaving",
    "engine/link_handle",
    "engine/mountpoints",
    "engine/overload",
    "engine/own_messages",
    "engine/pace",
    "engine/pacing",
    "engine/peers/claims",
    "engine/peers/departed",
    "engine/peers/hub",
    "engine/peers/items",
    "engine/peers/marks",
    "engine/peers/plain",
    "engine/peers/receiving",
    "engine/peers/relay",
    "engine/peers/relay_entry",
    "engine/peers/relay_handle",
    "engine/peers/relay_items",
    "engine/peers/remote_node",
    "engine/peers/routes",
    "engine/peers/shared",
    "engine/peers/slices",
    "engine/peers/stamps",
    "engine/peers/switches",
    "engine/peers/syncing",
    "engine/publishing",
    "engine/recovery",
    "engine/references",
    "engine/registry",
    "engine/retained_stream",
    "engine/review",
    "engine/session_actor",
    "engine/settings",
    "engine/stats",
    "engine/subscribing",
    "engine/trimming",
    "net/acceptor",
    "net/handshakes",
    "net/link_io",
    "net/pollable",
    "net/poller",
)
"""What of the layers above runs for every packet, and what inherits from it.

Nothing that awaits in ``finally``: compiled, the error that led there is raised again by whatever comes next.
"""


def compiled_modules() -> list[str]:
    """The files to compile: whole packages without their ``__init__``, and single modules."""
    found = [path for name in WHOLE_PACKAGES for path in (PACKAGE / name).glob("*.py")]
    found += [path for name in SINGLE_MODULES for path in PACKAGE.glob(f"{name}.py")]
    return sorted(str(path) for path in found if path.name != "__init__.py")


def compiler_works() -> bool:
    """Whether a C compiler is here that finds Python's headers: compile and link to know."""
    compiler = new_compiler()
    customize_compiler(compiler)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "trial.c")
        source.write_text("#include <Python.h>\nint trial(void) { return PY_MAJOR_VERSION; }\n")
        try:
            objects = compiler.compile(
                [str(source)],
                output_dir=folder,
                include_dirs=[get_path("include"), get_path("platinclude")],
            )
            compiler.link_shared_object(objects, str(Path(folder, "trial.so")))
        except (CCompilerError, DistutilsError, OSError):
            return False
    return True


def extensions() -> list[Extension]:
    """The compiled core, or nothing, having said which and why."""
    if os.environ.get("ROOKERY_PURE") == "1":
        say("interpreted, as ROOKERY_PURE=1 asks")
        return []
    if not compiler_works():
        say(
            "interpreted, as no working C compiler with Python's headers was found "
            "(install gcc and python3-dev, then `make clean setup`)"
        )
        return []
    from mypyc.build import mypycify

    modules = compiled_modules()
    say(f"compiled, {len(modules)} modules")
    # The build asks for types, not for style: its own flags in place of the project's strict ones.
    return mypycify(
        ["--config-file=", "--ignore-missing-imports", "--follow-imports=silent", *modules],
        opt_level="3",
        debug_level="0",
        group_name="rookery",
    )


def say(kind: str) -> None:
    """Tell which core was built."""
    line = f"rookery's core is {kind}"
    print(line)
    Path("build").mkdir(exist_ok=True)
    Path("build/core").write_text(line + "\n")


setup(ext_modules=extensions())
