"""Check the language of the code: how docstrings begin, and that names are nouns.

    python .ci/language.py [PATH...]    default: the packages and the tests

A docstring of a function begins with a verb ("Return", "Read", "Check"); no docstring begins with a
question word or a preposition. A participle or a pronoun alone ("found", "each") is not a name.
Exit code 1 where a docstring breaks its rule, or where more than LIMIT of all names break theirs.
"""

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PLACES = ("convert", "runtime", "serve", "benchmarks", "deploy", "tests", ".ci")
# first words that leave a sentence without its verb
HEADLESS = "what which whether how of by as where why when who whose"
# further first words that are no verb, of functions only: a class may be "A recipe: ..."
NO_VERB = (
    "the a an this that these it its one all each every any no not only both same such from to for "
    "in on at with without and or true false none"
)
NOT_NAMES = (
    "found given told kept wanted known each made taken tried seen judged drawn asked said held "
    "shown got brought sent meant chosen counted written"
)
LIMIT = 0.005  # share of all bindings that NOT_NAMES may be

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Finding:
    """A place that breaks a rule."""

    path: Path
    line: int
    text: str


def main() -> int:
    """Print the findings and the share of names; return the exit code."""
    parser = argparse.ArgumentParser(description="Check docstrings and names.")
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders (default: all)")
    parser.add_argument("--names", action="store_true", help="list every name that breaks the rule")
    options = parser.parse_args()
    docstrings: list[Finding] = []
    names: list[Finding] = []
    bindings = 0
    for path in _files(options.paths or [Path(place) for place in PLACES]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings += _docstrings(path, tree)
        bound = list(_bindings(tree))
        bindings += len(bound)
        names += [Finding(path, line, name) for name, line in bound if name in NOT_NAMES.split()]
    share = len(names) / max(bindings, 1)
    for finding in docstrings + (names if options.names else []):
        print(f"{finding.path}:{finding.line}: {finding.text}")
    common = ", ".join(
        f"{name} {count}" for name, count in Counter(n.text for n in names).most_common(8)
    )
    print(f"{len(docstrings)} docstrings to mend; {len(names)} of {bindings} names ", end="")
    print(f"({share:.2%}, allowed: {LIMIT:.1%}) are no nouns{f': {common}' if names else ''}")
    return 1 if docstrings or share > LIMIT else 0


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _docstrings(path: Path, tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if not isinstance(node, Documented):
            continue
        text = ast.get_docstring(node)
        if not text:
            continue
        word = text.split()[0].strip("`'\".,:;()").lower()
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if word in HEADLESS.split() or (is_function and word in NO_VERB.split()):
            line = node.body[0].lineno
            yield Finding(path, line, f"docstring begins with {word!r}: {text.splitlines()[0]}")


def _bindings(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield each name that the code binds, with its line: variables, fields, parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id.lstrip("_"), node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg.lstrip("_"), node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr.lstrip("_"), node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name.lstrip("_"), node.lineno


if __name__ == "__main__":
    sys.exit(main())
