"""The texts that an expression of the package may yield, read from its source: what varies is a word in capitals.

`f"blob {name} cannot be computed: {reason}"` yields "blob NAME cannot be computed: REASON". A parameter is what its
callers give, a local variable what is assigned to it, so that one message may have several texts.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

PACKAGE = Path(__file__).resolve().parents[2] / "caffe_fuse"
Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]
_MOST_TEXTS = 16  # of one expression
_DEEPEST = 8  # assignments and calls that are followed
# Attributes that say nothing about what has them.
_NAMES = {"name": "", "path": "FILE", "what": "REASON", "strerror": "REASON", "title": "", "origin": ""}
# Calls that only print their argument.
_PRINTERS = {
    "str",
    "text",
    "list",
    "few",
    "sorted",
    "tuple",
    "shown",
    "excerpt",
    "repr",
    "join",
    "map",
    "_list",
    "_name",
}


class Module:
    """A module of the package: its constants, its functions, and where imported names come from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tree = ast.parse(path.read_text(encoding="utf-8"))
        self.constants: Dict[str, ast.expr] = {}
        self.functions: Dict[str, List[Function]] = {}
        self.imports: Dict[str, Tuple[Path, str]] = {}
        self.owners: Dict[ast.AST, Optional[Function]] = {}
        for node in self.tree.body:
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    self._constant(target, node.value)
        self._walk(self.tree, None)

    def _constant(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.constants[target.id] = value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for each, one in zip(target.elts, value.elts):
                self._constant(each, one)

    def _walk(self, node: ast.AST, owner: Optional[Function]) -> None:
        for child in ast.iter_child_nodes(node):
            self.owners[child] = owner
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.functions.setdefault(child.name, []).append(child)
                self._walk(child, child)
                continue
            if isinstance(child, ast.ImportFrom) and child.level:
                base = self.path.parents[child.level - 1].joinpath(*(child.module or "").split("."))
                for alias in child.names:
                    self.imports[alias.asname or alias.name] = (base, alias.name)
            self._walk(child, owner)


@lru_cache(maxsize=None)
def modules() -> Mapping[Path, Module]:
    return {path: Module(path) for path in sorted(PACKAGE.rglob("*.py"))}


def module_at(base: Path, name: str = "") -> Optional[Module]:
    """The module that `from base import name` means: a module of this name, or the one that has the name."""
    places = [base / name] if name else []
    for place in (*places, base):
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path in modules():
                return modules()[path]
    return None


class Scope(NamedTuple):
    """Where an expression stands. given: the parameters of its function at one call, each in the scope of the call."""

    module: Module
    function: Optional[Function] = None
    given: Mapping[str, Tuple[ast.expr, Scope]] = {}


def parameters(function: Function) -> List[str]:
    arguments = function.args
    return [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def bound(function: Function, call: ast.Call, scope: Scope) -> Optional[Mapping[str, Tuple[ast.expr, Scope]]]:
    """The arguments of a call by parameter; None if the call does not fit the function."""
    names = [name for name in parameters(function) if name not in ("self", "cls")]
    if len(call.args) > len(names) or any(isinstance(each, ast.Starred) for each in call.args):
        return None
    given = {name: (value, scope) for name, value in zip(names, call.args)}
    for keyword in call.keywords:
        if keyword.arg not in names:
            return None
        given[keyword.arg or ""] = (keyword.value, scope)
    keyword_only = zip(function.args.kwonlyargs, function.args.kw_defaults)
    ordered = zip(reversed(function.args.args), reversed(function.args.defaults))
    defaults = {each.arg: value for each, value in (*ordered, *keyword_only) if value is not None}
    if any(name not in given and name not in defaults for name in names):
        return None
    # Other defaults stand for any value.
    absent = {name: value for name, value in defaults.items() if getattr(value, "value", "") is None}
    return {**{name: (value, Scope(scope.module)) for name, value in absent.items()}, **given}


def texts(node: Optional[ast.expr], scope: Scope, depth: int = 0) -> List[str]:
    """The texts that an expression may yield; "" for None."""
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return [""]
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if depth > _DEEPEST:
        return [placeholder(node)]
    found = list(dict.fromkeys(_texts(node, scope, depth + 1)))
    return found[:_MOST_TEXTS] or [placeholder(node)]


def _texts(node: ast.expr, scope: Scope, depth: int) -> List[str]:
    if isinstance(node, ast.JoinedStr):
        return _joined([texts(part, scope, depth) for part in node.values])
    if isinstance(node, ast.FormattedValue):
        found = [] if node.format_spec is not None else texts(node.value, scope, depth)
        return [placeholder(node)] if found in ([], [""]) else found
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and _is_text(node):
        return _joined([texts(node.left, scope, depth), texts(node.right, scope, depth)])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.left, ast.Constant):
        return [str(node.left.value)]  # a plural
    if isinstance(node, ast.IfExp):
        return [*texts(node.body, scope, depth), *texts(node.orelse, scope, depth)]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in texts(value, scope, depth)]
    if isinstance(node, ast.Tuple):
        each = [texts(one, scope, depth) for one in node.elts if not isinstance(one, ast.Starred)]
        return ["; or ".join(filter(has_words, one)) for one in product(*each)]
    if isinstance(node, ast.Name):
        return _of_name(node, scope, depth)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        origin = scope.module.imports.get(node.value.id)
        module = module_at(*origin) if origin else None
        if module is not None and node.attr in module.constants:
            return texts(module.constants[node.attr], Scope(module), depth)
    if isinstance(node, ast.Call):
        return _of_call(node, scope, depth)
    return [placeholder(node)]


def _joined(parts: List[List[str]]) -> List[str]:
    found = [""]
    for part in parts:
        found = [before + after for before in found for after in part][:_MOST_TEXTS]
    return found


def _is_text(node: ast.AST) -> bool:
    return any(
        isinstance(each, ast.JoinedStr) or (isinstance(each, ast.Constant) and isinstance(each.value, str))
        for each in ast.walk(node)
    )


def _of_name(node: ast.Name, scope: Scope, depth: int) -> List[str]:
    if node.id in scope.given:
        return _or_name(texts(*scope.given[node.id], depth), node)
    assigned = _assigned(node.id, scope.function)
    if assigned or (scope.function is not None and node.id in parameters(scope.function)):
        return _or_name([text for value in assigned for text in texts(value, scope, depth)], node)
    if node.id in scope.module.constants:
        return texts(scope.module.constants[node.id], Scope(scope.module), depth)
    base, name = scope.module.imports.get(node.id, (None, ""))
    module = module_at(base) if base else None
    if module is not None and name in module.constants:
        return texts(module.constants[name], Scope(module), depth)
    return [placeholder(node)]


def _or_name(found: List[str], node: ast.Name) -> List[str]:
    """The texts, with the name of the variable for those that have no words of their own."""
    return [text if has_words(text) or not text else placeholder(node) for text in found] or [placeholder(node)]


def _assigned(name: str, function: Optional[Function]) -> Iterator[ast.expr]:
    found: List[ast.expr] = []
    for node in ast.walk(function) if function is not None else ():
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts))
                found += [value for each, value in pairs if isinstance(each, ast.Name) and each.id == name]
    return found  # type: ignore[return-value]


def _of_call(node: ast.Call, scope: Scope, depth: int) -> List[str]:
    name = name_of(node)
    if name == "counted":
        return [f"N {noun}s" for noun in texts(node.args[1], scope, depth)]
    if name == "Remedy":
        command = node.args[1] if len(node.args) > 1 else None
        words = [texts(word, scope, depth)[0] for word in getattr(command, "elts", [])]
        typed = f": caffe-fuse {words[0]} NET WEIGHTS {' '.join(words[1:])}".rstrip() if words else ""
        return [text + typed for text in texts(node.args[0], scope, depth)]
    if name in _PRINTERS:
        return [placeholder(node)]
    found: List[str] = []
    for module, function in called(node, scope.module):
        given = bound(function, node, scope)
        if given is not None:
            inner = Scope(module, function, given)
            returns = (each.value for each in ast.walk(function) if isinstance(each, ast.Return) and each.value)
            found += [text for value in returns for text in texts(value, inner, depth + 1)]
    return (
        [text for text in found if has_words(text) or not text] if any(map(has_words, found)) else [placeholder(node)]
    )


def called(node: ast.Call, module: Module) -> List[Tuple[Module, Function]]:
    """The functions of the package that a call may mean: by their names alone where it is that of a method."""
    function, name = node.func, name_of(node)
    if isinstance(function, ast.Name):
        if name in module.functions:
            return [(module, each) for each in module.functions[name]]
        base, original = module.imports.get(name, (None, ""))
        origin = module_at(base) if base else None
        return [(origin, each) for each in origin.functions.get(original, ())] if origin else []
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        imported = module.imports.get(function.value.id)
        origin = module_at(*imported) if imported else None
        if origin is not None and name in origin.functions:
            return [(origin, each) for each in origin.functions[name]]
        if function.value.id == "self" and name in module.functions:
            return [(module, each) for each in module.functions[name]]
    return []


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def dotted(node: ast.AST) -> str:
    """A name with its attributes, such as "problem.what"; "" for any other expression."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return getattr(node, "id", "")


def has_words(text: str) -> bool:
    """Whether a text says something besides its placeholders."""
    return bool(re.search(r"[a-z]{2}", text))


def placeholder(node: ast.AST) -> str:
    """A word in capitals for what an expression yields."""
    if isinstance(node, ast.Name):
        return node.id.strip("_").upper()
    if isinstance(node, ast.Attribute):
        return _NAMES.get(node.attr, node.attr.strip("_").upper()) or placeholder(node.value)
    if isinstance(node, ast.Call):
        if name_of(node) == "len":
            return "N"
        return (
            placeholder(node.args[-1]) if name_of(node) in _PRINTERS and node.args else name_of(node).strip("_").upper()
        )
    if isinstance(node, (ast.Subscript, ast.Starred, ast.FormattedValue)):
        return placeholder(node.value)
    if isinstance(node, (ast.GeneratorExp, ast.ListComp)):
        return placeholder(node.elt)
    if isinstance(node, ast.IfExp):
        return placeholder(node.body)
    return "N" if isinstance(node, ast.BinOp) else "..."
