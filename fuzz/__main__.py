"""``make fuzz``: run the fuzzer on the decoder until it finds something or is told to stop.

Options go to libFuzzer: ``make fuzz ARGS=-max_total_time=60``. Finds and what it learned lie in
``build/fuzz``. It needs the package ``atheris`` and runs the interpreted core, for only that can be
watched from inside.
"""

import importlib
import os
import sys
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "fuzz"


def main() -> int:
    """Fuzz; the exit code is libFuzzer's."""
    if atheris is None:
        sys.stdout.write(
            "NOT FUZZED: the package atheris is missing (.venv/bin/pip install atheris)\n"
        )
        return 0
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    with atheris.instrument_imports(include=["rookery.mqtt"]):
        target = importlib.import_module("fuzz.decode")
    corpus = FOLDER / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:04}").write_bytes(seed)
    arguments = [sys.argv[0], *sys.argv[1:], f"-artifact_prefix={FOLDER}{os.sep}", str(corpus)]
    atheris.Setup(arguments, target.one_input)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
