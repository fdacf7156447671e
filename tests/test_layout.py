"""The layout of the repository and its vocabulary: packages, sizes and names of files, identifiers, messages."""

import ast
import io
import re
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parent.parent
LIBRARY: Final = ("mann", "data", "episodes")
CODE: Final = (*LIBRARY, "scripts", "tests")
LONGEST: Final = 400  # lines

FORBIDDEN_WORDS: Final = frozenset(
    {"carried", "contestant", "contestants", "heed", "lane", "lanes", "left_end", "noted", "pace", "team", "turned"}
    | {"way_back", "way_there"}
)
"""Words that no identifier contains: each stood for a term of the field, such as shard, gain, transposed or rotated."""

FORBIDDEN_NAMES: Final = frozenset({"chains", "follower", "resident", "sink", "sinks"})
"""Names that no identifier has, apart from underscores in front of it and capitals."""

PAGE_WORDS: Final = frozenset({"drawing", "drawings", "shown"})
"""Words for what a page or a report shows: elsewhere in the library an image is presented."""

SHOWING: Final = ("mann/page/", "mann/reporting/")
COMMANDS: Final = ("mann/cli/", "mann/papers/commands.py", "mann/reporting/papers_page.py")
"""Where command lines are read, and where they are written beside the results that they reproduce."""

OPTION: Final = re.compile(r"(?<![\w-])--[a-z]")


def files(*suffixes: str, folders: tuple[str, ...] = CODE) -> list[Path]:
    """Return the source files of folders, relative to the repository."""
    return sorted(
        path.relative_to(REPOSITORY)
        for folder in folders
        for suffix in suffixes
        for path in (REPOSITORY / folder).rglob(f"*{suffix}")
    )


def read(path: Path) -> str:
    """Return the text of a file of the repository."""
    return (REPOSITORY / path).read_text(encoding="utf-8")


def packages() -> list[Path]:
    """Return the folders of all packages of the library."""
    return [path.parent for path in files("__init__.py", folders=LIBRARY)]


def in_words(identifier: str) -> str:
    """Return an identifier as lower-case words between underscores.

    >>> in_words("ProcessGroup.rank_0")
    '_process_group_rank_'
    """
    return "_" + "_".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)).lower() + "_"


def wrong_words(identifier: str, forbidden: frozenset[str] = FORBIDDEN_WORDS) -> list[str]:
    """Return the forbidden words of an identifier, or its forbidden name."""
    words = in_words(identifier)
    return sorted({word for word in forbidden if f"_{word}_" in words} | {words.strip("_")} & FORBIDDEN_NAMES)


def python_identifiers(text: str) -> set[str]:
    """Return the names in Python code, without comments and strings."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def c_identifiers(text: str) -> set[str]:
    """Return the names in C++ or JavaScript code, without comments and strings."""
    code = re.sub(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", " ", text, flags=re.DOTALL)
    return set(re.findall(r"[A-Za-z_]\w*", code))


def identifiers(path: Path) -> set[str]:
    """Return the names in a source file."""
    return (python_identifiers if path.suffix == ".py" else c_identifiers)(read(path))


def literals(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and value of the string literals of a module, without its docstring and arguments for git."""
    module = ast.parse(text)
    skipped = {id(node.value) for node in module.body[:1] if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.List) and node.elts and ast.unparse(node.elts[0]) == "'git'":
            skipped |= {id(element) for element in node.elts}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.lineno, node.value


def command_words(text: str) -> list[str]:
    """Return the mentions of command-line options and of scripts in the string literals of a module."""
    return [
        f"line {line}: {literal.strip()[:60]!r}"
        for line, literal in literals(text)
        if OPTION.search(literal) or "scripts/" in literal
    ]


def sources(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that Python has not made: a package that was moved away leaves its byte code."""
    return (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")


def test_only_packages_are_directly_in_the_library() -> None:
    allowed = {"__init__.py", "__main__.py", "py.typed", "__pycache__"}
    others = [
        path.name
        for path in (REPOSITORY / "mann").iterdir()
        if path.name not in allowed and not (path / "__init__.py").is_file() and (path.is_file() or any(sources(path)))
    ]
    assert not others, f"mann/ holds {sorted(others)}: move modules into a package"


def test_no_file_is_too_long() -> None:
    lengths = {str(path): len(read(path).splitlines()) for path in files(".py", ".js")}
    too_long = {path: length for path, length in lengths.items() if length > LONGEST}
    assert len(lengths) > 100
    assert not too_long, f"files of more than {LONGEST} lines: {too_long}"


def test_no_two_modules_share_a_name() -> None:
    counts = Counter(path.name for path in files(".py", folders=LIBRARY) if path.name != "__init__.py")
    shared = {name: [str(path) for path in files(name, folders=LIBRARY)] for name, n in counts.items() if n > 1}
    assert not shared, f"modules that share a name: {shared}"


@pytest.mark.parametrize("package", packages(), ids=str)
def test_a_package_lists_its_modules(package: Path) -> None:
    folder = REPOSITORY / package
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    modules |= {path.parent.name for path in folder.glob("*/__init__.py")}
    contents = ast.get_docstring(ast.parse(read(package / "__init__.py"))) or ""
    missing = [name for name in sorted(modules) if not re.search(rf"^\s*{name}/?:", contents, re.MULTILINE)]
    assert not missing, f'the docstring of {package}/__init__.py has no line "NAME: ..." for {missing}'


def test_every_package_has_its_place_in_the_layers_and_in_the_wheel() -> None:
    project = tomllib.loads(read(Path("pyproject.toml")))["tool"]
    (layers,) = (
        contract["layers"] for contract in project["importlinter"]["contracts"] if contract["type"] == "layers"
    )
    names = {".".join(package.parts) for package in packages()}
    assert set(project["setuptools"]["packages"]) - {"data.splits"} == names  # a folder of JSON files
    assert set(layers) == {name for name in names if name.count(".") == 1 and name.startswith("mann.")} | {
        "data",
        "episodes",
    }


def test_messages_of_the_library_name_parameters_and_no_options() -> None:
    library = [path for path in files(".py", folders=LIBRARY) if not str(path).startswith(COMMANDS)]
    found = {str(path): words for path in library if (words := command_words(read(path)))}
    assert not found, f"command-line options or scripts in string literals: {found}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('"""Run with --seed."""', False),
        ('def f():\n    """Run with --seed."""', True),
        ('raise ValueError(f"{x}: lower --batch")', True),
        ('print("python scripts/train.py")', True),
        ('run(["git", "describe", "--always"])', False),
        ('"a well--known dash", "`batch` 3: at most 2", "---"', False),
    ],
)
def test_options_in_messages_are_found(text: str, found: bool) -> None:
    assert bool(command_words(text)) is found


def test_identifiers_use_the_terms_of_the_field() -> None:
    found = {}
    for path in files(".py", ".js", ".cpp", ".h"):
        of_library = path.parts[0] in LIBRARY and not str(path).startswith(SHOWING)
        forbidden = FORBIDDEN_WORDS | PAGE_WORDS if of_library else FORBIDDEN_WORDS
        names = sorted(name for name in identifiers(path) if wrong_words(name, forbidden))
        if names:
            found[str(path)] = names
    assert not found, "identifiers with words that stand for a term of the field:\n" + "\n".join(
        f"{path}: {', '.join(names)}" for path, names in found.items()
    )


@pytest.mark.parametrize(
    ("identifier", "wrong"),
    [
        ("lane_count", ["lane"]),
        ("LaneRows", ["lane"]),
        ("_Team", ["team"]),
        ("the_way_back", ["way_back"]),
        ("Follower", ["follower"]),
        ("followers", []),
        ("plane", []),
        ("itertools", []),
        ("resident_set_size", []),
    ],
)
def test_forbidden_words_are_found(identifier: str, wrong: list[str]) -> None:
    assert wrong_words(identifier) == wrong


def test_comments_and_strings_are_no_identifiers() -> None:
    assert python_identifiers('# lane\nteam = "pace"  # noted\n') == {"team"}
    assert c_identifiers('/* lane\n */ int team = f(\'"\', "pace \\" noted"); // turned') == {"int", "team", "f"}
