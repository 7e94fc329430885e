"""The words of the project: docstrings begin as readers expect, and riddles have no place anywhere.

``python tests/test_words.py PATH...`` lists what is wrong below some paths.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

RIDDLES = ("What", "Who", "Whose", "Whether", "How", "Where", "Which", "When", "Why")
"""A clause stands where English has a noun or a verb."""

NOT_VERBS = {
    "Always",
    "As",
    "Does",
    "Has",
    "Is",
    "Its",
    "Less",
    "Results",
    "This",
    "Trials",
    "Values",
    "Weights",
}

BANNED = {
    r"nobody": "no ..., none",
    r"whoever": "any process that, the user",
    r"somebody": "the user, another process",
    r"told": "reported, shown, receives, distinguished",
    r"hears|heard": "receives, polls",
    r"gravest|gravely|graver": "most severe",
    r"likeliest": "most likely",
    r"(is|are|was|were|be|been|not|had|has|have|just|already|newly) begun": "started",
    r"goes on|go on|went on|going on|gone on": "resumes, continues",
    r"beg[aiu]ns? (again|anew)": "restarts",
    r"(is|are|was) no numbers?|no numbers? (any more|from)": "NaN or infinite",
    r"heeds?|heeded": "handles",
    r"desks?": "command handler",
    r"(give|gives|given|giving|gave) up": "pruned; stops waiting",
    r"crews?": "population",
    r"moody": "mode-dependent",
    r"telling columns?": "leaking columns",
    r"peculiarity|peculiarities|quiet word": "info finding",
    r"the author": "the user",
    r"of one's own|of your own loop|loop of my own": "your own training loop",
    r"mend|mends|mended|mending": "fix",
    r"cures?|cured": "fix",
    r"by hand": "by the user; hand-written",
    r"(what|where) (it|they) (lies|lie|stands|stand)": "position, content",
    r"so (many|long) (rows|steps|epochs|trials|examples|points|seconds|lines|names)": "this many",
}
"""Pattern -> what to write instead. Whole words, in any case."""

_BANNED = {re.compile(rf"\b({pattern})\b", re.IGNORECASE): better for pattern, better in BANNED.items()}


def docstrings(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yields line, kind, dotted name and docstring of everything in a Python file that has one."""

    def walk(node: ast.AST, above: str) -> Iterator[tuple[int, str, str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{above}.{child.name}".lstrip(".")
                if text := ast.get_docstring(child):
                    decorators = [ast.unparse(one) for one in child.decorator_list]
                    is_value = any("property" in one or "fixture" in one for one in decorators)
                    is_command = any(".command" in one or ".callback" in one for one in decorators)
                    kind = "class" if isinstance(child, ast.ClassDef) or is_value else "function"
                    yield child.lineno, "command" if is_command else kind, name, text
                yield from walk(child, name)
            else:
                yield from walk(child, above)

    tree = ast.parse(path.read_text())
    if text := ast.get_docstring(tree):
        yield 1, "module", "", text
    yield from walk(tree, "")


def begins_wrongly(kind: str, text: str) -> bool:
    """Tells whether a docstring begins with a clause, or that of a function with anything but a verb."""
    match = re.match(r"[\W_]*([\w'-]+)", text)
    word = match[1] if match else ""
    if kind == "function":
        return not re.fullmatch(r"[A-Z][a-z-]+s", word) or word in NOT_VERBS
    return word in RIDDLES


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines of a file that people read: comments and texts of Python, all of other files."""
    if path.suffix != ".py":
        fenced = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            fenced ^= line.lstrip().startswith("```")
            if not fenced:
                yield number, line
        return
    kinds = {tokenize.COMMENT, tokenize.STRING} | {getattr(tokenize, "FSTRING_MIDDLE", tokenize.COMMENT)}
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in kinds:
                for offset, line in enumerate(token.string.splitlines()):
                    yield token.start[0] + offset, line


def banned_words(path: Path) -> Iterator[str]:
    """Yields a line for every banned word of a file."""
    for number, line in prose(path):
        for pattern, better in _BANNED.items():
            if match := pattern.search(line):
                yield f"{path}:{number}: {match[0]!r} -> {better}: {line.strip()[:90]}"


def wrong_beginnings(path: Path) -> Iterator[str]:
    """Yields a line for every docstring of a file that begins wrongly."""
    for line, kind, name, text in docstrings(path):
        if begins_wrongly(kind, text):
            yield f"{path}:{line}: {kind} {name}: {text.splitlines()[0][:100]}"


def sources() -> list[Path]:
    """Lists the Python files of the package."""
    return sorted((ROOT / "src").rglob("*.py"))


def pages() -> list[Path]:
    """Lists templates, scripts and documents: whatever people read beside Python."""
    found = [*(ROOT / "src").rglob("*.j2"), *(ROOT / "src").rglob("*.js"), *(ROOT / "docs").rglob("*.md")]
    return sorted([*found, ROOT / "README.md"])


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_docstrings_begin_with_a_verb_or_a_noun(path: Path) -> None:
    assert not list(wrong_beginnings(path))


@pytest.mark.parametrize("path", [*sources(), *pages()], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_word_is_a_riddle(path: Path) -> None:
    assert not list(banned_words(path))


@pytest.mark.parametrize(
    ("kind", "text", "wrong"),
    [
        ("function", "Returns the loss.", False),
        ("function", "Where the loss is.", True),
        ("function", "The loss.", True),
        ("class", "The loss.", False),
        ("module", "What a step left behind.", True),
    ],
)
def test_a_wrong_beginning_is_seen(kind: str, text: str, wrong: bool) -> None:
    assert begins_wrongly(kind, text) is wrong


def test_a_riddle_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "riddle.py"
    file.write_text('"""A loop."""\nCREWS = 1  # nobody asks\nprint("trial was begun")\n')
    assert [line.split(": ")[1] for line in banned_words(file)] == [
        "'nobody' -> no ..., none",
        "'was begun' -> started",
    ]


if __name__ == "__main__":
    for place in map(Path, sys.argv[1:]):
        for each in [place] if place.is_file() else sorted(place.rglob("*.*")):
            if each.suffix == ".py":
                print(*wrong_beginnings(each), *banned_words(each), sep="\n")
            elif each.suffix in {".md", ".j2", ".js"}:
                print(*banned_words(each), sep="\n")
