"""Rules about what C++ may say where."""
import re
from collections.abc import Iterator

from .core import SOURCE, Finding, Repository, Rule, bare, matching
from .tables import (
    ARROWS, CASTS_ALLOWED, CLOCKS_ALLOWED, GATEWAY, HEAVY, HEAVY_EXCEPTIONS, OS_HEADER_EXCEPTIONS, OS_HEADERS,
    OS_ROOMS,
)

OURS = ("src/", "control/")


def room_of(path: str) -> str | None:
    """src/io/kernel/x.h -> io/kernel, control/turn/x.h -> control/turn."""
    parts = path.split("/")[:-1]
    if parts[:1] == ["src"]:
        return "/".join(parts[1:]) or None
    return "/".join(parts[:2]) if parts[:1] == ["control"] else None


def is_sans_io(path: str) -> bool:
    room = room_of(path)
    return room is not None and room not in OS_ROOMS


def included_room(name: str) -> str | None:
    room = name.rsplit("/", 1)[0]
    if room in ARROWS or room == GATEWAY:
        return room
    return room if room.startswith(("control/", "src/", "tests/", "io/", "..")) else None


def arrows(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths(OURS, SOURCE):
        room = room_of(path)
        if room in (GATEWAY, None):
            continue
        if room not in ARROWS:
            yield Finding(path, 1, f"room {room} is not in the table", "add its arrows to rules/tables.py")
            continue
        for number, line in repository.lines(path):
            match = re.match(r'\s*#\s*include "([^"]+)"', line)
            target = included_room(match.group(1)) if match and "/" in match.group(1) else None
            if target and target not in {room, "base"} | ARROWS[room] and match.group(1) not in ARROWS[room]:
                yield Finding(path, number, f"{room} includes {match.group(1)}", "a room uses only what its row allows")


def os_headers(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths(OURS, SOURCE):
        if is_sans_io(path) and path not in OS_HEADER_EXCEPTIONS:
            for number, line in repository.lines(path):
                if match := re.match(rf"\s*#\s*include <({OS_HEADERS})>", line):
                    yield Finding(path, number, f"sans-IO room includes <{match.group(1)}>", "move it to an OS room")


def clocks(repository: Repository) -> Iterator[Finding]:
    paths = (p for p in repository.paths((*OURS, "tests/"), SOURCE) if not p.startswith(CLOCKS_ALLOWED))
    pattern = (
        r"\b(?:steady_clock|system_clock|high_resolution_clock|clock_gettime|gettimeofday|random_device|getrandom)\b"
        r"|(?<![\w.>:])(?:std::|::)?(?:s?rand|time)\s*\("
    )
    return matching(repository, paths, pattern, "read here", "take time and randomness as arguments")


def casts(repository: Repository) -> Iterator[Finding]:
    paths = (p for p in repository.paths(OURS, SOURCE) if not p.startswith(tuple(CASTS_ALLOWED)))
    return matching(repository, paths, r"\breinterpret_cast\b", "outside its rooms", "use as_bytes, as_text or a loader")


def unordered_iteration(repository: Repository) -> Iterator[Finding]:
    declared = r"\bunordered_(?:multi)?(?:map|set)\s*<[^;{}()]*>\s+(\w+)"
    by_room: dict[str, set[str]] = {}
    for path in filter(is_sans_io, repository.paths(OURS, SOURCE)):
        by_room.setdefault(room_of(path), set()).update(re.findall(declared, bare(repository.text(path))))
    for path in filter(is_sans_io, repository.paths(OURS, SOURCE)):
        names = "|".join(sorted(by_room[room_of(path)]))
        if names:
            loop = rf"\bfor\s*\([^;]*:\s*(?:\w+(?:\.|->))*({names})\s*\)|\b({names})\.c?begin\s*\("
            yield from matching(repository, [path], loop, "walks a hash table", "use an ordered map or a sorted vector")


def heavy_headers(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths(OURS, (".h",)):
        if path in HEAVY_EXCEPTIONS:
            continue
        for number, line in repository.lines(path):
            match = re.match(r'\s*#\s*include [<"]([^">]+)', line)
            if match and match.group(1).startswith(HEAVY):
                yield Finding(path, number, f"header includes {match.group(1)}", "include it in the .cpp only")


def unfinished(repository: Repository) -> Iterator[Finding]:
    words = re.compile(
        r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|\b(?i:not (?:yet )?implemented|place" r"holder|stub(?! resolver)|for now)\b"
    )
    for path in repository.paths(("src/", "control/", "bpf/", "deploy/", "cmake/")):
        if repository.is_text(path):
            for number, line in repository.lines(path):
                if match := words.search(line):
                    yield Finding(path, number, f"unfinished: {match.group()}", "finish it, or say what is left out and why")


def skipped_tests(repository: Repository) -> Iterator[Finding]:
    paths = repository.paths(("tests/",), SOURCE)
    yield from matching(repository, paths, r"\bGTEST_SK" r"IP\b|\bDISA" r"BLED_\w+", "skips a test", "make it run, or remove it")
    for path in repository.paths(("tests/",), (".py",)):
        for number, line in repository.lines(path):
            if match := re.search(r"pytest\.(?:mark\.)?(?:sk" r"ip|xf" r"ail)\w*", line):
                yield Finding(path, number, f"{match.group()} skips a test", "make it run, or remove it")


def sleeps(repository: Repository) -> Iterator[Finding]:
    paths = repository.paths(("tests/unit/", "tests/sim/", "tests/fuzz/"), SOURCE)
    pattern = r"\b(?:sleep_for|sleep_until|usleep|nanosleep|sleep)\s*\("
    return matching(repository, paths, pattern, "waits for real time", "hand time in, or wait for the event itself")


def pragma_once(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths((*OURS, "tests/"), (".h",)):
        if not re.search(r"(?m)^#pragma once$", repository.text(path)):
            yield Finding(path, 1, "no #pragma once", "add it below the header's comment")


def header_namespaces(repository: Repository) -> Iterator[Finding]:
    paths = repository.paths((*OURS,), (".h",))
    # Literals of durations are the one exception: base/time.h brings them to everyone.
    pattern = r"\busing namespace (?!std::chrono_literals)\w[\w:]*"
    return matching(repository, paths, pattern, "in a header", "name what is used")


def header_comment(repository: Repository) -> Iterator[Finding]:
    for path in repository.paths(OURS, (".h",)):
        if not repository.text(path).startswith(("//", "/*")):
            yield Finding(path, 1, "does not say what it is for", "begin with what, why, which document, what is left out")


CLEAN = "// What.\n#pragma once\n"
RULES = [
    Rule("a room includes only what its row of the table allows", arrows,
         {"src/packet/x.cpp": '#include "wireguard/noise.h"\n'},
         {"src/wireguard/x.cpp": '#include "crypto/aead.h"\n#include "base/bytes.h"\n'}),
    Rule("a room of src never includes control", arrows,
         {"src/runtime/x.h": '#include "control/turn/allocation.h"\n'},
         {"src/gateway/x.cpp": '#include "control/turn/allocation.h"\n'}),
    Rule("sans-IO rooms know no sockets, threads, clocks and files", os_headers,
         {"control/ice/x.cpp": "#include <sys/socket.h>\n"}, {"control/net/x.cpp": "#include <sys/socket.h>\n"}),
    Rule("time and randomness are arguments", clocks,
         {"control/ice/x.cpp": "auto t = std::chrono::steady_clock::now();\n"},
         {"control/ice/x.cpp": "// steady_clock is read elsewhere\nauto t = wall.time(); set_time(1);\n"}),
    Rule("reinterpret_cast stays in its rooms", casts,
         {"src/packet/x.cpp": "auto* p = reinterpret_cast<int*>(q);\n"},
         {"src/base/bytes.h": "auto* p = reinterpret_cast<int*>(q);\n"}),
    Rule("sans-IO rooms never walk a hash table", unordered_iteration,
         {"control/acl/x.h": "std::unordered_map<A, B> by_id_;", "control/acl/x.cpp": "for (auto& [a, b] : by_id_) f();\n"},
         {"control/acl/x.h": "std::map<A, B> by_id_;", "control/acl/x.cpp": "for (auto& [a, b] : by_id_) f();\n"}),
    Rule("heavy third-party headers stay in .cpp files", heavy_headers,
         {"control/portal/x.h": "#include <nlohmann/json.hpp>\n"},
         {"control/portal/x.cpp": "#include <nlohmann/json.hpp>\n", "src/base/result.h": "#include <tl/expected.hpp>\n"}),
    Rule("nothing is unfinished", unfinished,
         {"src/packet/x.cpp": "// TO" "DO: later\n"}, {"src/packet/x.cpp": "// Asks the stub resolver.\n"}),
    Rule("no test is skipped", skipped_tests,
         {"tests/unit/x_test.cpp": "TEST(A, DISA" "BLED_b) {}\n"}, {"tests/unit/x_test.cpp": "TEST(A, b) {}\n"}),
    Rule("tests do not wait for real time", sleeps,
         {"tests/unit/x_test.cpp": "std::this_thread::sleep_for(1s);\n"}, {"tests/unit/x_test.cpp": "now += 1s;\n"}),
    Rule("each header has #pragma once", pragma_once, {"src/base/x.h": "// What.\n"}, {"src/base/x.h": CLEAN}),
    Rule("headers open no namespace for their readers", header_namespaces,
         {"src/base/x.h": "using namespace fg;\n"}, {"src/base/time.h": "using namespace std::chrono_literals;\n"}),
    Rule("each header says what it is for", header_comment, {"src/base/x.h": "#pragma once\n"}, {"src/base/x.h": CLEAN}),
]
