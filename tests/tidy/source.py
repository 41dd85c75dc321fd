"""The repository as the tidy tests see it: files, modules and their imports."""

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
PACKAGE = SRC / "rookery"


@dataclass(frozen=True)
class Module:
    """One source file: ``name`` as it is imported, ``path`` where it lies."""

    name: str
    path: Path
    tree: ast.Module


def module(name: str, path: Path, text: str) -> Module:
    """A module from its text."""
    return Module(name, path, ast.parse(text))


def modules() -> list[Module]:
    """Every module under ``src`` that a person writes."""
    found = []
    for path in sorted(SRC.rglob("*.py")):
        if path.stem.endswith(("_pb2", "_pb2_grpc")):
            continue
        parts = list(path.relative_to(SRC).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found.append(module(".".join(parts), path, path.read_text()))
    return found


def imported(found: Module) -> set[str]:
    """The names a module imports, wherever in it: of modules, and of what they may hold."""
    names: set[str] = set()
    for node in ast.walk(found.tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def tracked_texts() -> list[Path]:
    """The text files a person edits."""
    folders = ("src", "tests", "benches", "fuzz", "docs", "scripts", ".ci")
    suffixes = (".py", ".md", ".toml", ".yaml", ".yml", ".mjs", ".js", ".sh", "")
    found = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in folders:
        found += [
            path
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and not {"node_modules", "__pycache__", "corpus"} & set(path.parts)
        ]
    return sorted(
        path
        for path in found
        # What a run with coverage leaves has no suffix either, and is no text.
        if path.suffix in suffixes and not path.name.startswith(("LICENSE", ".coverage"))
    )
