#!/usr/bin/env python3
"""The rules of ARCHITECTURE.md and CONTRIBUTING.md that a compiler does not check.

usage: lint.py ROOT      prints one line per breach: FILE:LINE: what is wrong
"""

import re
import sys
from pathlib import Path

# What each layer may include besides itself.
LAYERS = {
    "base": set(),
    "compress": {"base"},
    "pool": {"base"},
    "reclaim": {"base"},
    "store": {"base", "compress", "pool", "reclaim"},
    "fs": {"base", "compress", "pool", "reclaim", "store"},
    "fuse": {"base", "compress", "pool", "reclaim", "store", "fs"},
    "daemon": {"base", "compress", "pool", "reclaim", "store", "fs", "fuse"},
    "ctl": {"base", "compress", "pool"},
}
# The layers that may include a third-party header, by how its name begins. The first match counts.
THIRD_PARTY = [
    (re.compile(r"lz4|zstd|zdict"), {"compress"}),
    (re.compile(r"fuse3?/|fuse|linux/fuse"), {"fuse"}),
    (re.compile(r"boost/(asio|beast|json)"), {"daemon", "ctl"}),
    (re.compile(r"boost/(unordered|container|intrusive)"), set(LAYERS)),
    (re.compile(r"boost/"), set()),
    (re.compile(r"CLI/|CLI11|toml\+\+/|toml"), {"daemon", "ctl"}),
    (re.compile(r"xxhash|xxh3"), {"base", "store", "fs", "ctl"}),
    (re.compile(r"spdlog/|fmt/"), {"base"}),
]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
LINE_COLUMNS_MAX = 120
EXCUSE = "// lint: long because "
BAD_NAME = re.compile(r"util|common|misc|manager|helper", re.IGNORECASE)
BAD_WORD = re.compile(r"\b(" + "TO" + r"DO|FIX" + r"ME)\b")
DECLARATION = re.compile(r"^\s*(?:class|struct|enum(?: class)?|union|namespace)\s+(?:[A-Z_]+(?:\([^)]*\))?\s+)?(\w+)")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SOURCE_SUFFIXES = {".h", ".cc"}
TEXT_SUFFIXES = SOURCE_SUFFIXES | {".py", ".cmake", ".txt", ".md", ".sh", ".in", ".service", ".toml", ".json", ".yml", ""}
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")


def files_of(root):
    """The project's files, relative to `root`; what builds and tools leave behind is not among them."""
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if relative.parts[0] in {".git", "build", ".cache"} or "__pycache__" in relative.parts:
            continue
        if path.is_file() and not path.is_symlink():
            yield relative


def without_comments(text):
    """`text` with comments, literals and preprocessor lines blanked; every line stays where it is."""
    pattern = re.compile(
        r'R"(\w*)\(.*?\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\''
        r"|^[ \t]*#(?:\\\n|[^\n])*",
        re.DOTALL | re.MULTILINE,
    )
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def is_function_head(head):
    """Whether the text before a brace makes it a function's (or a test's, or a lambda's) body."""
    attributes_left_out = re.sub(r"[A-Z_]+\([^()]*\)", "", head)
    is_type = re.search(r"\b(class|struct|union|enum|namespace)\s+\w+[^()]*$", attributes_left_out)
    return "(" in head and not is_type and not re.search(r"=\s*$", head)


def functions_of(text):
    """(first line, last line) of each function, from 1; `text` is without comments and formatted by clang-format."""
    opened = []  # for each open brace: "initializer", the line where a function began, or None
    begin = 0  # where the text since the last statement or brace begins
    for at, character in enumerate(text):
        if character not in ";{}":
            continue
        head = text[begin:at]
        if character == "{" and re.search(r"[\w>]$", head):
            opened.append("initializer")  # member_{value}: what a constructor's head goes on after
            continue
        if character == "{":
            inside = any(isinstance(line, int) for line in opened)
            first = text.count("\n", 0, at - len(head.lstrip())) + 1
            opened.append(first if is_function_head(head) and not inside else None)
        elif character == "}" and opened:
            first = opened.pop()
            if first == "initializer":
                continue
            if first is not None:
                yield first, text.count("\n", 0, at) + 1
        begin = at + 1


def check_includes(relative, text):
    layer = relative.parts[0]
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, name = match.groups()
        if quote == '"' and name.split("/")[0] not in {*LAYERS, "tests", "bench"}:
            yield number, f'"{name}" is not a path from the top of the project'
        if layer not in LAYERS:
            continue
        folder = name.split("/")[0]
        if quote == '"' and folder != layer and folder not in LAYERS[layer]:
            yield number, f"{layer}/ may not include {name}"
        if quote == "<":
            allowed = next((layers for pattern, layers in THIRD_PARTY if pattern.match(name)), set(LAYERS))
            if layer not in allowed:
                yield number, f"{layer}/ may not include <{name}>"


def check_sizes(relative, text):
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX and not any(EXCUSE in line for line in lines[:10]):
        yield 1, f"{len(lines)} lines, more than {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS_MAX:
            yield number, f"{len(line)} columns, more than {LINE_COLUMNS_MAX}"
    for first, last in functions_of(without_comments(text)):
        length = last - first + 1
        if length > FUNCTION_LINES_MAX and not any(EXCUSE in line for line in lines[max(0, first - 4):first + 3]):
            yield first, f"a function of {length} lines, more than {FUNCTION_LINES_MAX}"


def check_names(text):
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        match = DECLARATION.match(line)
        if match and BAD_NAME.search(match.group(1)):
            yield number, f"the name {match.group(1)} says nothing"


def check_words(text):
    for number, line in enumerate(text.splitlines(), 1):
        match = BAD_WORD.search(line)
        if match:
            yield number, f"{match.group()}: do it, or open an issue"


def named_paths(text):
    """(line, path) of each file or folder that a document names in backticks or links to."""
    for number, line in enumerate(text.splitlines(), 1):
        for word in re.findall(r"`([^`]+)`", line) + re.findall(r"\]\(([^)#:]+)\)", line):
            path = word.split()[0] if word.split() else ""
            braces = re.fullmatch(r"(.*)\{([^{}]+)\}(.*)", path)
            for each in [braces[1] + part + braces[3] for part in braces[2].split(",")] if braces else [path]:
                yield number, each


def check_document(root, text):
    tops = {path.name for path in root.iterdir()} | set(LAYERS) | {"systemd", "packaging", "docs", "scripts", "tests"}
    for number, path in named_paths(text):
        # Only what looks like a path of ours: a known top, then a plain path; `build/` is made, not kept.
        is_ours = re.fullmatch(r"[\w./+-]+", path) and path.split("/")[0] in tops - {"build"} and "/" in path
        is_document = re.fullmatch(r"[A-Z]\w+\.md|LICENSE", path)
        if (is_ours or is_document) and not (root / path).exists():
            yield number, f"{path} does not exist"


def check_file(root, relative):
    if BAD_NAME.search(relative.name):
        yield 1, f"the file name {relative.name} says nothing"
    if relative.suffix not in TEXT_SUFFIXES or relative.name == "LICENSE":
        return
    text = (root / relative).read_text(encoding="utf-8", errors="replace")
    yield from check_words(text)
    if relative.suffix in SOURCE_SUFFIXES:
        yield from check_includes(relative, text)
        yield from check_sizes(relative, text)
        yield from check_names(text)
        if relative.suffix == ".h" and "#pragma once" not in text:
            yield 1, "no #pragma once"
    if str(relative) in DOCUMENTS:
        yield from check_document(root, text)


def lint(root):
    """One line per breach."""
    return [f"{relative}:{line}: {what}" for relative in files_of(root) for line, what in check_file(root, relative)]


def main():
    complaints = lint(Path(sys.argv[1]))
    for complaint in complaints:
        print(complaint)
    print(f"lint: {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
