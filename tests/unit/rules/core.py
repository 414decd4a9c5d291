"""What a rule is, and the repository it looks at: tracked files with their bytes, so that a sample is one too."""
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator

SOURCE = (".cpp", ".h", ".c")


@dataclasses.dataclass(frozen=True)
class Finding:
    path: str
    line: int
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}; {self.mend}"


class Repository:
    def __init__(self, files: dict[str, bytes], executables: set[str]):
        self.files = files
        self.executables = executables
        self._texts: dict[str, str] = {}

    def paths(self, under: tuple[str, ...] = ("",), endings: tuple[str, ...] = ("",)) -> Iterator[str]:
        return (p for p in sorted(self.files) if p.startswith(under) and p.endswith(endings))

    def is_text(self, path: str) -> bool:
        return b"\0" not in self.files[path][:8192] and "/corpus/" not in path

    def text(self, path: str) -> str:
        if path not in self._texts:
            self._texts[path] = self.files[path].decode("utf-8", errors="replace")
        return self._texts[path]

    def lines(self, path: str) -> Iterator[tuple[int, str]]:
        return enumerate(self.text(path).splitlines(), start=1)

    def code_lines(self, path: str) -> Iterator[tuple[int, str]]:
        """Lines of C++ without comments and without the contents of literals."""
        return enumerate(bare(self.text(path)).splitlines(), start=1)


_NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)


def bare(text: str) -> str:
    def blank(match: re.Match[str]) -> str:
        found = match.group()
        return found[0] * 2 if found[0] in "\"'" else "\n" * found.count("\n")

    # Names of included files are code to us.
    return re.sub(
        r"(?m)^(#include [^\n]*)$|" + _NOT_CODE.pattern, lambda m: m.group(1) or blank(m), text, flags=re.DOTALL
    )


@dataclasses.dataclass(frozen=True)
class Rule:
    says: str
    check: Callable[[Repository], Iterable[Finding]]
    red: dict[str, str | bytes]
    green: dict[str, str | bytes]
    red_executables: frozenset[str] = frozenset()
    green_executables: frozenset[str] = frozenset()


def sample(files: dict[str, str | bytes], executables: Iterable[str]) -> Repository:
    return Repository({p: c.encode() if isinstance(c, str) else c for p, c in files.items()}, set(executables))


def matching(repository: Repository, paths: Iterable[str], pattern: str, what: str, mend: str) -> Iterator[Finding]:
    """One finding for each line of C++ code that matches."""
    for path in paths:
        for number, line in repository.code_lines(path):
            if found := re.search(pattern, line):
                yield Finding(path, number, f"{found.group().strip()} {what}", mend)
