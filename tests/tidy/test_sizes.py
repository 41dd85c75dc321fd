"""Functions fit on a screen and modules in a sitting."""

import ast

from tests.tidy.source import ROOT, modules

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600


def is_text(statement: ast.stmt) -> bool:
    """A docstring, of the function or of a field."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def long_functions(tree: ast.AST) -> dict[str, int]:
    """The functions above the limit, by name, docstrings not counted.

    A list of fields has no logic to follow and may be as long as it is.
    """
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if all(isinstance(each, ast.Assign | ast.AnnAssign) or is_text(each) for each in node.body):
            continue
        texts = [each for each in ast.walk(node) if isinstance(each, ast.stmt) and is_text(each)]
        lines = node.end_lineno - node.lineno + 1
        lines -= sum(each.end_lineno - each.lineno + 1 for each in texts)
        if lines > FUNCTION_LINES_MAX:
            found[node.name] = lines
    return found


def test_no_function_is_too_long():
    found = {str(each.path.relative_to(ROOT)): long_functions(each.tree) for each in modules()}
    assert {path: functions for path, functions in found.items() if functions} == {}


def test_no_module_is_too_long():
    lengths = {
        str(each.path.relative_to(ROOT)): len(each.path.read_text().splitlines())
        for each in modules()
    }
    assert {path: lines for path, lines in lengths.items() if lines > MODULE_LINES_MAX} == {}


class TestTheRuleItself:
    def test_counts_from_def_to_end(self):
        body = "    f()\n" * 70
        assert long_functions(ast.parse(f"def f():\n{body}")) == {"f": 71}
        assert long_functions(ast.parse(f"def f():\n    'd'\n{body[8:]}")) == {}

    def test_a_list_of_fields_may_be_long(self):
        assert long_functions(ast.parse("def f():\n" + "    a.x = 0\n" * 200)) == {}
