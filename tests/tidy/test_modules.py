"""No module is dead, and each has the test file of its name."""

import ast
import tomllib
from pathlib import Path

from tests.tidy.source import ROOT, SRC, Module, imported, module, modules


def dead(found: list[Module], roots: set[str]) -> set[str]:
    """The modules that nothing reachable from the roots imports."""
    by_name = {each.name: each for each in found}
    alive: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in alive or not name:
            continue
        alive.add(name)
        if name in by_name:
            waiting += imported(by_name[name])
        waiting.append(
            name.rpartition(".")[0]
        )  # Also of a generated module, which is not ours to read.
    return set(by_name) - alive


def only_declares(tree: ast.AST) -> bool:
    """Whether a module holds names, fields and signatures alone, and nothing that could go wrong."""
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return all(is_declaration(statement) for function in functions for statement in function.body)


def is_declaration(statement: ast.stmt) -> bool:
    """A docstring, a field that takes over an argument, or a method left to who inherits."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        return isinstance(statement.value, ast.Name | ast.Constant)
    if isinstance(statement, ast.Raise):
        return isinstance(statement.exc, ast.Name) and statement.exc.id == "NotImplementedError"
    if isinstance(statement, ast.Return):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass)


def mirror_of(path: Path) -> Path:
    """Where the tests of a source file belong; a second package has the folder of its last name."""
    package, *inside = path.relative_to(SRC).parts
    folder = Path(package.removeprefix("rookery").removeprefix("_"), *inside[:-1])
    return ROOT / "tests" / "unit" / folder / f"test_{path.name}"


def test_no_module_is_dead():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    roots = {target.partition(":")[0] for target in scripts.values()}
    found = modules()
    roots |= {each.name for each in found if each.path.name == "__main__.py"}
    assert roots <= {each.name for each in found}, "a console script names no module"
    assert dead(found, roots) == set()


def test_every_module_has_its_tests():
    missing = [
        str(mirror_of(each.path).relative_to(ROOT))
        for each in modules()
        if not only_declares(each.tree) and not mirror_of(each.path).exists()
    ]
    assert missing == []


def test_every_unit_test_has_its_module():
    expected = {mirror_of(each.path) for each in modules()}
    strays = set((ROOT / "tests" / "unit").rglob("test_*.py")) - expected
    assert sorted(str(path.relative_to(ROOT)) for path in strays) == []


class TestTheRulesThemselves:
    def test_the_mirror_of_a_module(self):
        unit = ROOT / "tests" / "unit"
        assert mirror_of(SRC / "rookery" / "mqtt" / "link.py") == unit / "mqtt" / "test_link.py"
        assert mirror_of(SRC / "rookery" / "ports.py") == unit / "test_ports.py"
        assert mirror_of(SRC / "rookery_bench" / "wire.py") == unit / "bench" / "test_wire.py"

    def test_a_module_nobody_imports_is_dead(self):
        a = module("r.a", Path("a.py"), "from r import b")
        b = module("r.b", Path("b.py"), "def f():\n    import r.c")
        c = module("r.c", Path("c.py"), "")
        d = module("r.d", Path("d.py"), "import r.a")
        assert dead([a, b, c, d], {"r.a"}) == {"r.d"}

    def test_fields_and_protocols_only_declare(self):
        text = "class A:\n    def __init__(self, x):\n        self.x = x\n    def f(self):\n        'd'"
        assert only_declares(ast.parse(text))

    def test_what_is_left_to_others_declares(self):
        assert only_declares(ast.parse("def f(x):\n    raise NotImplementedError"))
        assert not only_declares(ast.parse("def f(x):\n    raise ValueError"))

    def test_a_call_can_go_wrong(self):
        assert not only_declares(ast.parse("def f(x):\n    return x + 1"))
