"""Rules about files: where they are, how large, what belongs to them."""
import re
from collections.abc import Iterator

from .core import SOURCE, Finding, Repository, Rule
from .tables import (
    CORPUS_BYTES_MAX, CORPUS_FILES_MAX, FILE_BYTES_MAX, LINES_MAX, LONG_SOURCES, TESTED_ELSEWHERE,
)

TOP_REQUIRED = {"CMakeLists.txt", "src", "control", "tests", "docs", "README.md"}
TOP_ALLOWED = TOP_REQUIRED | {"bpf", "deploy", "dev", "cmake", "CMakePresets.json", "LICENSE"}


def top_level(repository: Repository) -> Iterator[Finding]:
    present: dict[str, str] = {}
    for path in repository.paths():
        present.setdefault(path.split("/")[0], path)
    for name, path in present.items():
        if name not in TOP_ALLOWED and not name.startswith("."):
            yield Finding(path, 1, f"{name} is not of the top level", "move it into src, control, tests, deploy or docs")
    for name in sorted(TOP_REQUIRED - present.keys()):
        yield Finding(name, 1, "is missing", "the top level is README.md, CMakeLists.txt, src, control, tests, docs")


def test_of(path: str) -> str:
    return "tests/unit/" + path.removeprefix("src/").removesuffix(".cpp") + "_test.cpp"


def mirrored_tests(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths(("src/", "control/"), (".cpp",)):
        test, _ = TESTED_ELSEWHERE.get(path, (test_of(path), ""))
        if test not in repository.files:
            yield Finding(path, 1, f"has no test {test}", "write it, or list who tests it in rules/tables.py")
        if path in TESTED_ELSEWHERE and test_of(path) in repository.files:
            yield Finding(test_of(path), 1, "exists", f"take {path} off the list in rules/tables.py")


def orphan_tests(repository: Repository) -> Iterator[Finding]:
    """Listed for sources that are gone, or not built: such a test proves nothing."""
    for path in repository.paths(("src/", "control/", "tests/unit/", "tests/sim/"), (".cpp",)):
        folder, name = path.rsplit("/", 1)
        while folder and f"{folder}/CMakeLists.txt" not in repository.files:
            folder, _, last = folder.rpartition("/")
            name = f"{last}/{name}"
        recipe = repository.text(f"{folder}/CMakeLists.txt") if folder else ""
        if not re.search(rf"(?<![\w/]){re.escape(name)}(?!\w)", recipe):
            yield Finding(path, 1, "is not built", f"add {name} to {folder or '.'}/CMakeLists.txt, or remove it")


def file_sizes(repository: Repository) -> Iterator[Finding]:
    for path, content in sorted(repository.files.items()):
        if len(content) > FILE_BYTES_MAX and not path.startswith(("tests/fuzz/corpus/", "tests/vectors/")):
            yield Finding(path, 1, f"{len(content)} bytes", f"at most {FILE_BYTES_MAX}: make it, do not store it")


def source_lengths(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths(endings=(*SOURCE, ".py", ".sh", ".cmake")):
        count = repository.text(path).count("\n")
        if count > LINES_MAX and path not in LONG_SOURCES:
            yield Finding(path, LINES_MAX, f"{count} lines", "split it by concept")


def machine_paths(repository: Repository) -> Iterator[Finding]:
    pattern = re.compile(r"(?<![\w.$*})>/-])/(?:work|root|home|tmp/wt)/[\w.-]+")
    for path in repository.paths():
        if repository.is_text(path) and "/vectors/" not in path:
            for number, line in repository.lines(path):
                if match := pattern.search(line):
                    yield Finding(path, number, f"names a path of one machine: {match.group()}", "make it relative or an option")


def executables(repository: Repository) -> Iterator[Finding]:
    for path in sorted(repository.executables):
        if not repository.files[path].startswith(b"#!"):
            yield Finding(path, 1, "is executable without a shebang", "git update-index --chmod=-x, or add one")


def shebangs(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths():
        if repository.files[path].startswith(b"#!") and path not in repository.executables and "/corpus/" not in path:
            yield Finding(path, 1, "has a shebang but is not executable", "git update-index --chmod=+x")


def interpreters(repository: Repository) -> Iterator[Finding]:
    """The modules our helpers need belong to the distribution's Python; a failing command ends a shell script."""
    for path in sorted(repository.executables):
        first = repository.text(path).split("\n", 1)[0]
        if "python" in first and first != "#!/usr/bin/python3":
            yield Finding(path, 1, first, "write #!/usr/bin/python3")
        if re.search(r"\b(ba)?sh\b", first) and not re.search(r"(?m)^set -e", repository.text(path)):
            yield Finding(path, 1, "goes on after a failed command", "begin with set -euo pipefail")


def markdown_links(repository: Repository) -> Iterator[Finding]:
    folders = {p.rsplit("/", n)[0] for p in repository.files for n in range(1, p.count("/") + 1)}
    for path in repository.paths(endings=(".md",)):
        for number, line in repository.lines(path):
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                name = target.split("#")[0]
                if re.match(r"[a-z]+:", target) or not name:
                    continue
                base = [] if name.startswith("/") else path.split("/")[:-1]
                for part in name.strip("/").split("/"):
                    base = base[:-1] if part == ".." else base if part == "." else [*base, part]
                if "/".join(base) not in repository.files and "/".join(base) not in folders:
                    yield Finding(path, number, f"link to {target} leads nowhere", "correct it")


def vector_origins(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths(("tests/vectors/",)):
        head = repository.files[path][:1024].decode("utf-8", errors="replace")
        folder = path.rsplit("/", 1)[0]
        beside = repository.files.get(f"{folder}/README.md", b"").decode("utf-8", errors="replace")
        if not path.endswith((".py", ".md")) and not re.search(r"(?i)origin|RFC \d+|spec [a-z]+ \d", head + beside):
            yield Finding(path, 1, "does not say where it comes from", "name origin and licence in its first lines")


def corpora(repository: Repository) -> Iterator[Finding]:
    seeds = list(repository.paths(("tests/fuzz/corpus/",)))
    for path in repository.paths(("tests/fuzz/",), ("_fuzz.cpp",)):
        target = path.rsplit("/", 1)[1].removesuffix("_fuzz.cpp")
        count = sum(seed.startswith(f"tests/fuzz/corpus/{target}/") for seed in seeds)
        if not 0 < count <= CORPUS_FILES_MAX:
            yield Finding(path, 1, f"{count} seeds in tests/fuzz/corpus/{target}/", f"1 to {CORPUS_FILES_MAX}: tests/fuzz/seed.py")
    if (total := sum(len(repository.files[seed]) for seed in seeds)) > CORPUS_BYTES_MAX:
        yield Finding("tests/fuzz/corpus", 1, f"{total} bytes of seeds", f"at most {CORPUS_BYTES_MAX}: keep the small ones")


def tabs(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths():
        needs_tabs = path.endswith(("Makefile", ".mk", "debian/rules", ".patch", ".tsv", ".md"))
        if repository.is_text(path) and not needs_tabs:
            for number, line in repository.lines(path):
                if "\t" in line:
                    yield Finding(path, number, "tab", "indent with spaces; write \\t in literals")


def control_characters(repository: Repository) -> Iterator[Finding]:
    pattern = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffd]")
    for path in repository.paths():
        if repository.is_text(path) and "/vectors/" not in path:
            for number, line in enumerate(repository.text(path).split("\n"), start=1):
                if match := pattern.search(line):
                    yield Finding(path, number, f"invisible character U+{ord(match.group()):04X}", "remove or escape it")


GOOD_TOP = dict.fromkeys(["README.md", "CMakeLists.txt", "src/a", "control/a", "tests/a", "docs/a", ".ci/a"], "")
SCRIPT = "#!/bin/bash\nset -euo pipefail\n"
RULES = [
    Rule("the top level is closed", top_level, {**GOOD_TOP, "scripts/a": ""}, GOOD_TOP),
    Rule("each source has its mirrored test", mirrored_tests,
         {"src/packet/x.cpp": ""}, {"src/packet/x.cpp": "", "tests/unit/packet/x_test.cpp": ""}),
    Rule("each source and each test is built", orphan_tests,
         {"src/packet/x.cpp": "", "src/packet/CMakeLists.txt": "fg_room(packet SOURCES max.cpp)"},
         {"src/packet/x.cpp": "", "src/packet/CMakeLists.txt": "fg_room(packet SOURCES x.cpp)"}),
    Rule("no large file outside corpora and vectors", file_sizes,
         {"docs/a": "x" * 200_001}, {"docs/a": "x" * 200_000, "tests/vectors/a": "x" * 200_001}),
    Rule("no source is longer than 700 lines", source_lengths,
         {"src/packet/x.cpp": "\n" * 701}, {"src/packet/x.cpp": "\n" * 700}),
    Rule("no file names a path of one machine", machine_paths,
         {"docs/a.md": "see /ro" "ot/notes"}, {"docs/a.md": "see ./root/notes and network/home/x"}),
    Rule("executable is what has a shebang", executables,
         {"dev": "echo\n"}, {"dev": SCRIPT}, frozenset({"dev"}), frozenset({"dev"})),
    Rule("what has a shebang is executable", shebangs, {"dev": SCRIPT}, {"dev": "text\n"}),
    Rule("scripts name their interpreter and stop at failures", interpreters,
         {"a.py": "#!/usr/bin/env python3\n"}, {"a.py": "#!/usr/bin/python3\n", "dev": SCRIPT},
         frozenset({"a.py"}), frozenset({"a.py", "dev"})),
    Rule("relative links of Markdown resolve", markdown_links,
         {"docs/a.md": "[b](b.md)"}, {"docs/a.md": "[b](b.md) [c](../src/) [d](#d)", "docs/b.md": "", "src/c": ""}),
    Rule("each vector file names its origin", vector_origins,
         {"tests/vectors/a/b.txt": "00 01\n"}, {"tests/vectors/a/b.txt": "# Origin: RFC 1071\n00 01\n"}),
    Rule("each fuzz target has a small corpus", corpora,
         {"tests/fuzz/a_fuzz.cpp": ""}, {"tests/fuzz/a_fuzz.cpp": "", "tests/fuzz/corpus/a/0": "x"}),
    Rule("no tabs", tabs, {"src/a.cpp": "\tint a;\n"}, {"src/a.cpp": '  f("\\t");\n'}),
    Rule("no invisible characters", control_characters, {"src/a.cpp": "int a;\r\n"}, {"src/a.cpp": "int a;  // § é →\n"}),
]
