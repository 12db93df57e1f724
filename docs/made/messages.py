"""Every message of the package with its remedy, as a page: made from the source, so that none can be missing."""

from __future__ import annotations

import ast
import html
import re
from functools import lru_cache
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from templates import PACKAGE, Module, Scope, bound, called, dotted, has_words, modules, name_of, parameters, texts

Kind = Tuple[str, str]
# Kinds, each with the head of its part of the page and what is true of all.
ERROR, CALL, SYSTEM, VERDICT, REFUSAL, TARGET, WARNING, DEFECT = (
    ("Errors of the input", "The status is 2, and nothing is written."),
    (
        "Errors of a call from Python",
        "A TypeError or a ValueError: the argument is not what [the API](api.md) expects.",
    ),
    ("Failures of the system", "The status is 3, and existing files are as they were."),
    ("Results that are not safe", "The status is 1, and no model is written without `--force`."),
    (
        "Layers that are not folded",
        "The report lists each with its layer and its line; the status depends on what remains.",
    ),
    (
        "What a target does not take",
        "With `--target`, each with its layer and line; where no remedy is named, `fuse` "
        "changes the net, or nothing can. [Targets](targets.md) says which.",
    ),
    ("Warnings", "They do not change the status."),
    ("Defects of caffe-fuse", "The status is 3. They should not occur: please report one with the two files."),
)
# What makes a message: the kind, and the places of its text and of its remedy, by position or by keyword.
MAKERS: Mapping[str, Tuple[Kind, Tuple[int, str], Tuple[int, str]]] = {
    "InputError": (ERROR, (0, "what"), (9, "remedy")),
    "TextError": (ERROR, (0, "what"), (9, "remedy")),
    "MissingBottom": (ERROR, (0, "what"), (9, "remedy")),
    "SystemFailure": (SYSTEM, (0, "what"), (9, "remedy")),
    "TypeError": (CALL, (0, ""), (9, "")),
    "ValueError": (CALL, (0, ""), (9, "")),
    "UnsafeResult": (VERDICT, (0, "what"), (9, "remedy")),
    "Overrun": (ERROR, (9, "what"), (9, "remedy")),
    "_Problem": (ERROR, (1, "what"), (9, "remedy")),
    "InternalError": (DEFECT, (0, "what"), (9, "remedy")),
    "Refusal": (REFUSAL, (0, "reason"), (1, "remedy")),
    "Refused": (REFUSAL, (2, "reason"), (3, "remedy")),
    "Problem": (VERDICT, (0, "what"), (1, "remedies")),
    "Finding": (TARGET, (3, "what"), (4, "remedy")),
    "warn": (WARNING, (0, "message"), (9, "remedy")),
    "append": (WARNING, (0, ""), (9, "remedy")),
}
_CALLERS_DEEP = 2
ROOMS = {
    "": "All parts",
    "blobs": "Values of blobs",
    "cli": "The command line",
    "emit": "What is written",
    "execution": "Running a net",
    "files": "Output files",
    "folding": "Options and results of a fold",
    "generations": "Old forms of a net",
    "half": "Half precision",
    "judging": "Comparing nets, and half precision",
    "layers": "Layers",
    "many": "Many models",
    "net": "The net, and its weights",
    "passes": "Folds",
    "protobuf": "Reading prototxt and caffemodel",
    "ranges": "Ranges of activations",
    "report": "Reports",
    "page": "Pages",
    "schema": "Fields of Caffe",
    "targets": "Targets",
    "upgrading": "Upgrading",
    "weights": "Weight files",
}

# What to do where a message does not say it.
GENERAL = {
    (
        ERROR,
        "layers",
    ): "The message begins with the layer and its line. Caffe stops at such a layer as well: correct it in the "
    "prototxt. Where sizes are wrong, look at `--input-shape`, and whether the net and the weights belong together.",
    (
        ERROR,
        "protobuf",
    ): "The line of a prototxt follows, with a mark under the place. Correct it there; if the whole file looks "
    "strange, it is perhaps not the prototxt.",
    (ERROR, "net"): "The message begins with the line of the prototxt. Where no remedy follows, correct it there, or "
    "choose other layers by `--phase`, `--level` and `--stage`.",
    (ERROR, "execution"): "`caffe-fuse show NET WEIGHTS` lists the inputs and blobs with their shapes.",
    (
        REFUSAL,
        "layers",
    ): "Where no remedy follows the layer can stay: if it is a BatchNorm, it becomes a Scale, or `--allow-bn` accepts "
    "it. Sizes that are not known can be given by `--input-shape`.",
    (
        REFUSAL,
        "passes",
    ): "Where no remedy follows nothing can fold it exactly. A BatchNorm becomes a Scale, or `--allow-bn` accepts it.",
}


class Message(NamedTuple):
    """One text of a message. room: the folder of the package. place: module and line of what makes it."""

    kind: Kind
    text: str
    remedy: str
    room: str
    place: Tuple[str, int]


class Site(NamedTuple):
    """An expression that makes a message."""

    kind: Kind
    module: Module
    node: ast.expr
    text: Optional[ast.expr]
    remedy: Optional[ast.expr]

    @property
    def place(self) -> Tuple[str, int]:
        return (self.module.path.relative_to(PACKAGE.parent).as_posix(), self.node.lineno)


@lru_cache(maxsize=None)
def sites() -> Tuple[Site, ...]:
    return tuple(_sites())


def _sites() -> Iterator[Site]:
    """What makes messages: calls of MAKERS; warnings, which are texts that begin with a place and a colon; rows of a
    pattern, a text and a remedy; and why a blob has no values.
    """
    for module in modules().values():
        for node in ast.walk(module.tree) if module.path.name != "errors.py" else ():
            if isinstance(node, ast.Call) and name_of(node) in MAKERS:
                kind, text, remedy = MAKERS[name_of(node)]
                if name_of(node) != "append" or dotted(node.func) == "warnings.append":
                    yield Site(kind, module, node, _argument(node, *text), _argument(node, *remedy))
            elif (
                isinstance(node, ast.Tuple)
                and len(node.elts) == 3
                and [bytes, str] == [type(_value(each)) for each in node.elts][:2]
            ):
                yield Site(ERROR, module, node, node.elts[1], node.elts[2])
            elif isinstance(node, ast.keyword) and node.arg == "missing" and isinstance(node.value, ast.IfExp):
                yield Site(ERROR, module, node.value, node.value, None)
            elif isinstance(node, ast.JoinedStr) and _begins_with_a_place(node):
                yield Site(WARNING, module, node, ast.JoinedStr(node.values[1:]), None)


def _value(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _argument(call: ast.Call, position: int, name: str) -> Optional[ast.expr]:
    named = next((each.value for each in call.keywords if each.arg == name), None)
    return named if named is not None else (call.args[position] if len(call.args) > position else None)


def _begins_with_a_place(node: ast.JoinedStr) -> bool:
    """Whether it is, for example, f"{layer.where}: type {name} is not known"."""
    if len(node.values) < 2 or not isinstance(node.values[0], ast.FormattedValue):
        return False
    place, after = node.values[0].value, node.values[1]
    words = [getattr(each, "attr", getattr(each, "id", "")) for each in ast.walk(place)]
    is_place = not {"where", "path", "producer", "first"}.isdisjoint(words)
    return is_place and isinstance(after, ast.Constant) and re.match(r": (?!byte)", str(after.value)) is not None


def messages() -> List[Message]:
    """All messages, by kind and room, each text once."""
    found: Dict[Tuple[Kind, str, str], Message] = {}
    for site in sites():
        for message in messages_of(site):
            found.setdefault((message.kind, message.text, message.remedy), message)
    return list(found.values())


def messages_of(site: Site) -> Iterator[Message]:
    room = site.place[0].split("/")[1] if site.place[0].count("/") > 1 else ""
    for scope in _scopes(site.module, site.module.owners.get(site.node), (site.text, site.remedy), 0):
        remedies = [remedy for remedy in texts(site.remedy, scope) if has_words(remedy)] or [""]
        if site.kind == ERROR and not remedies[0]:
            remedies = [_remedy_of_all(site)]
        found = [text for text in texts(site.text, scope) if has_words(text)]
        whole = [text for text in found if not re.search(r" ([ ,]|$)", text)]  # nothing in it is empty
        for text in whole or found:
            yield Message(site.kind, text.lstrip(": "), "; or: ".join(remedies), room, site.place)


def _remedy_of_all(site: Site) -> str:
    """The remedy where the module raises what it has collected: InputError(problem.what, remedy=...)."""
    if not isinstance(site.node, ast.Call) or name_of(site.node) != "_Problem":
        return ""
    for other in sites():
        if other.module is site.module and other.text is not None and dotted(other.text) == "problem.what":
            return texts(other.remedy, Scope(site.module, site.module.owners.get(other.node)))[0]
    return ""


def _scopes(
    module: Module, function: Optional[ast.AST], asked: Tuple[Optional[ast.expr], ...], depth: int
) -> List[Scope]:
    """The scopes of a message: one for each call of its function if its text or its remedy is a parameter of it."""
    here = Scope(module, function)  # type: ignore[arg-type]
    needed = _used(asked, here) & set(parameters(here.function)) if here.function is not None else set()
    if here.function is None or depth > _CALLERS_DEEP or not needed:
        return [here]
    found: List[Scope] = []
    for caller, call in _calls().get(here.function.name, ()):
        given = bound(here.function, call, Scope(caller))
        if given is None or all(each is not here.function for _, each in _meant(call, caller)):
            continue
        arguments = tuple(given[name][0] for name in needed if name in given)
        for scope in _scopes(caller, caller.owners.get(call), arguments, depth + 1):
            found.append(here._replace(given=bound(here.function, call, scope) or {}))
    return found or [here]


def _meant(call: ast.Call, module: Module) -> List[Tuple[Module, ast.AST]]:
    known = called(call, module)
    if known or not isinstance(call.func, ast.Attribute):
        return list(known)
    return [(each, function) for each in modules().values() for function in each.functions.get(name_of(call), ())]


@lru_cache(maxsize=None)
def _calls() -> Mapping[str, List[Tuple[Module, ast.Call]]]:
    found: Dict[str, List[Tuple[Module, ast.Call]]] = {}
    for module in modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                found.setdefault(name_of(node), []).append((module, node))
    return found


def lists() -> str:
    """The lists of the page docs/messages.md."""
    found = messages()
    parts: List[str] = []
    for kind in (ERROR, VERDICT, REFUSAL, TARGET, WARNING, CALL, SYSTEM, DEFECT):
        parts.append(f"## {kind[0]}\n\n{kind[1]}\n")
        of_kind = [message for message in found if message.kind == kind]
        rooms = sorted({message.room for message in of_kind}, key=ROOMS.__getitem__)
        for room in rooms:
            if len(rooms) > 1:
                parts.append(f"### {kind[0]}: {ROOMS[room][:1].lower()}{ROOMS[room][1:]}\n")
            if (kind, room) in GENERAL:
                parts.append(f"{GENERAL[kind, room]}\n")
            parts.append("\n".join(map(_entry, (each for each in of_kind if each.room == room))) + "\n")
    return "\n".join(parts)


def _entry(message: Message) -> str:
    # Two backticks around it: a message may contain one.
    return f"* `` {message.text} ``" + (f"\n  → {html.escape(message.remedy, quote=False)}" if message.remedy else "")


def _used(asked: Tuple[Optional[ast.expr], ...], scope: Scope) -> Set[str]:
    """The names in expressions, and in what is assigned to those names."""
    used: Set[str] = set()
    todo: List[ast.AST] = [each for each in asked if each is not None]
    while todo:
        for node in ast.walk(todo.pop()):
            if isinstance(node, ast.Name) and node.id not in used:
                used.add(node.id)
                todo += [
                    each.value
                    for each in (ast.walk(scope.function) if scope.function is not None else ())
                    if isinstance(each, ast.Assign)
                    and any(isinstance(target, ast.Name) and target.id == node.id for target in each.targets)
                ]
    return used
