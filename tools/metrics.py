"""Print the figures of the layout: sizes, ancestors, helpers, functions, cycles.

python tools/metrics.py

Lines of code have no blank lines, comments and docstrings; generated modules are left out.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import grimp
import networkx as nx

PACKAGE = Path(__file__).parents[1] / "src" / "nshtrainer"
GENERATED = {"pytorch_optimizer.py", "index.py"}
NO_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstring_lines(tree: ast.AST) -> set[int]:
    """Return the lines of docstrings, those of fields included."""
    found: set[int] = set()
    for node in ast.walk(tree):
        children = [] if isinstance(node, ast.Lambda | ast.IfExp) else getattr(node, "body", [])
        for child in children:
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                found.update(range(child.lineno, (child.end_lineno or child.lineno) + 1))
    return found


def code_lines(text: str, tree: ast.AST) -> set[int]:
    """Return the lines with code."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = (range(t.start[0], t.end[0] + 1) for t in tokens if t.type not in NO_CODE)
    return {line for each in lines for line in each} - docstring_lines(tree)


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield the functions and methods."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def own_ancestors() -> dict[str, int]:
    """Return the number of classes of this package above each public config."""
    from nshtrainer import configs

    classes = [getattr(configs, name) for name in dir(configs)]
    return {
        cls.__name__: sum(each.__module__.startswith("nshtrainer") for each in cls.__mro__[1:])
        for cls in classes
        if isinstance(cls, type)
    }


def cycles() -> int:
    """Return the number of cycles among the modules, imports for types included."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    imports = grimp.build_graph("nshtrainer", cache_dir=None)
    for module in imports.modules:
        graph.add_edges_from(
            (module, other) for other in imports.find_modules_directly_imported_by(module)
        )
    return sum(len(part) > 1 for part in nx.strongly_connected_components(graph))


def main() -> None:
    """Print a line for each figure."""
    paths = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in GENERATED)
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    code = {path: code_lines(texts[path], trees[path]) for path in paths}
    sizes = [
        len(code[path] & set(range(f.lineno, (f.end_lineno or f.lineno) + 1)))
        for path in paths
        for f in functions(trees[path])
    ]
    private = [
        (path, f.name)
        for path in paths
        for f in trees[path].body
        if isinstance(f, Function) and f.name.startswith("_") and not f.name.startswith("__")
    ]
    once = sum(len(re.findall(rf"\b{name}\b", texts[path])) == 2 for path, name in private)
    folders = Counter(path.parent for path in paths if path.name != "__init__.py")
    largest, modules = max(
        ((folder, n) for folder, n in folders.items() if folder != PACKAGE),
        key=lambda each: each[1],
    )
    ancestors = own_ancestors()
    most = max(ancestors, key=lambda name: ancestors[name])
    rows = {
        "lines of code": sum(map(len, code.values())),
        "lines": sum(text.count("\n") for text in texts.values()),
        "files": len(paths),
        "modules in the largest folder": f"{modules} ({largest.relative_to(PACKAGE)})",
        "modules at the root": folders[PACKAGE],
        "most ancestors of a config": f"{ancestors[most]} ({most})",
        "ancestors of AdamWConfig": ancestors["AdamWConfig"],
        "private functions used once": f"{once / len(private):.0%} of {len(private)}",
        "lines of code of a function": f"median {median(sizes):g}, most {max(sizes)}",
        "import cycles": cycles(),
    }
    for name, value in rows.items():
        sys.stdout.write(f"{name:32}{value}\n")


if __name__ == "__main__":
    main()
