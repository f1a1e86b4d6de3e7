"""The import law as a checker: reads source files, names every line that breaks the law. It imports none of them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {
    "lifecycle": {"lifecycle"},
    "service": {"service", "lifecycle"},
    "monitoring": {"monitoring", "lifecycle"},
    "retrain": {"retrain", "lifecycle"},
    "evenkeel": {"evenkeel", "service", "monitoring", "retrain", "lifecycle"},
}
ONE_FILE = {"evidently": "monitoring/evidently_adapter.py", "bentoml": "service/app.py"}
ROOTS = ("__main__", "app")
WIRING = "lifecycle.project"
FRONT_DOOR = "lifecycle/feature_log/__init__.py"
"""What a notebook calls, with the folder of a project alone; it wires when it is called."""
LOADED_BY_A_FRAMEWORK = ("lifecycle/ledger/migrations/", "service/app.py")
"""Alembic and BentoML run these files to configure themselves; nothing else imports them."""


@dataclass(frozen=True)
class Import:
    """One imported module, absolute, and where."""

    module: str
    line: int


def violations(root: Path) -> list[str]:
    """Every broken rule under `root`, as `file:line sentence`."""
    found: list[str] = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{name}:{line} {sentence}" for line, sentence in _file(package, name, tree)]
    return found


def imports(name: str, tree: ast.Module) -> list[Import]:
    """What the file `name` (relative to the root) imports, anywhere in it, dynamic imports of constants included."""
    here = name.removesuffix(".py").split("/")
    found: list[Import] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [Import(alias.name, node.lineno) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                base = [*here[: len(here) - level], *([module] if module else [])] if level else [module or ""]
                found += [Import(".".join([*base, alias.name]), node.lineno) for alias in names]
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                found.append(Import(module, node.lineno))
    return found


def _file(package: str, name: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for item in imports(name, tree):
        top = item.module.split(".")[0]
        if top in PACKAGES and top not in PACKAGES[package]:
            yield item.line, f"{package} must not import {top}"
        if top in ONE_FILE and name != ONE_FILE[top]:
            yield item.line, f"only {ONE_FILE[top]} imports {top}"
        if package != "evenkeel" and Path(name).stem not in ROOTS:
            if _within(item.module, WIRING) and name != FRONT_DOOR:
                yield item.line, f"only composition roots ({', '.join(ROOTS)}, evenkeel) import {WIRING}"
            if any(_within(item.module, f"{package}.{module}") for module in ROOTS):
                yield item.line, f"a composition root is imported: {item.module}"
    if not name.startswith(LOADED_BY_A_FRAMEWORK):
        yield from _work_at_import(tree)


def _within(module: str, parent: str) -> bool:
    return module == parent or module.startswith(parent + ".")


def _work_at_import(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for statement in tree.body:
        match statement:
            case ast.Expr(value=ast.Constant(value=str())):
                continue
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() | ast.Import() | ast.ImportFrom():
                pass
            case ast.Assign() | ast.AnnAssign():
                pass
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="app")))):
                pass  # a command is added to its application object: a declaration
            case _:
                yield statement.lineno, f"something happens at import: {ast.unparse(statement).splitlines()[0]}"
        yield from _environment_reads(statement)


def _environment_reads(statement: ast.stmt) -> Iterator[tuple[int, str]]:
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            pending += node.args.defaults
            continue
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
            yield node.lineno, "the environment is read at import"
        pending += ast.iter_child_nodes(node)
