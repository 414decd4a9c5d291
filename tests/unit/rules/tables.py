"""The data behind the rules: which room may include which, and every exception with its reason."""

# Room -> what it may include: another room, or one header of a room. A room may always include itself and base.
ARROWS: dict[str, set[str]] = {
    "base": set(),
    "crypto": set(),
    "packet": set(),
    "wireguard": {"crypto"},
    "filter": {"packet"},
    "nat": {"packet"},
    "flow": set(),
    "pipeline": {"crypto", "packet", "wireguard", "filter", "flow", "nat"},
    "io": {"packet"},
    "io/kernel": {"io", "packet"},
    "io/xdp": {"io", "io/kernel", "packet"},
    "runtime": {"pipeline", "flow", "io", "io/kernel", "crypto/aead.h"},
    "control/stun": {"crypto"},
    "control/turn": {"control/stun", "packet"},
    "control/ice": {"control/stun", "crypto"},
    "control/path": {"control/ice", "packet/probe.h"},
    "control/portal": {"crypto"},
    "control/flow_log": {
        "crypto/hash.h", "flow", "control/portal/api_url.h", "control/portal/json.h", "control/portal/messages.h",
        "control/portal/retry_after.h",
    },
    "control/dns": {"nat/translations.h"},
    "control/acl": {"filter", "control/dns", "nat/translations.h", "control/portal/messages.h"},
    "control/controller": {
        "control/stun", "control/turn", "control/ice", "control/path", "control/portal", "control/dns", "control/acl",
        "control/flow_log", "flow",
        "packet", "filter", "nat/translations.h", "wireguard", "pipeline",
    },
    "control/console": {"control/controller", "control/acl", "control/portal", "filter", "packet", "pipeline"},
    "control/net": {"control/controller", "control/flow_log", "control/portal", "control/dns"},
}
# gateway joins everything and is not in the table.
GATEWAY = "gateway"

# Rooms that touch the operating system; every other room sees bytes and time only.
OS_ROOMS = ("io/kernel", "io/xdp", "runtime", "control/net", GATEWAY)

# What the sans-IO rooms never include: sockets, threads, clocks, files.
OS_HEADERS = (
    r"thread|mutex|shared_mutex|condition_variable|future|semaphore|fstream|iostream|filesystem|ctime"
    r"|unistd\.h|fcntl\.h|poll\.h|netdb\.h|pthread\.h|signal\.h|(?:sys|net|netinet|arpa|linux)/[^>]*"
)
OS_HEADER_EXCEPTIONS: dict[str, str] = {}

# Where a real clock or the system's randomness is read.
CLOCKS_ALLOWED = ("src/runtime/", "src/crypto/", "src/io/xdp/xdp_port.cpp", "src/gateway/main.cpp", "control/net/", "tests/support/", "tests/bench/")

CASTS_ALLOWED = {
    "src/base/": "as_bytes and as_text",
    "src/io/": "sockaddr and control messages",
    "src/crypto/": "C libraries that take char",
    "src/gateway/": "netlink and signals",
    "control/net/": "sockaddr and C callbacks",
}

# Third-party headers that cost seconds for each file that includes them.
HEAVY = (
    "nlohmann/", "boost/", "CLI/", "spdlog/", "fmt/", "netlink/", "nftables/", "ares", "sodium", "openssl/",
    "intel-ipsec-mb", "gcrypt", "gtest/", "rapidcheck", "bpf/libbpf", "bpf/bpf.h", "xdp/",
)
HEAVY_EXCEPTIONS = {
    "control/net/portal_stream.h": "of three sources of the room",
    "control/net/dial.h": "of web_socket.cpp and https.cpp only",
    "control/net/proxy_tunnel.h": "of dial.cpp only",
    "control/net/boot_timer.h": "private to the room: the timer is a member of its sources' classes",
    "control/net/endpoint.h": "private to the room",
}

# Source -> (the file that tests it, why not the mirrored one).
CONTROLLER_TEST = "tests/unit/control/controller/controller_test.cpp"
TESTED_ELSEWHERE: dict[str, tuple[str, str]] = {
    "control/acl/access_rules.cpp": ("tests/unit/control/acl/access_test.cpp", "one class in three sources"),
    "control/controller/connection.cpp": (CONTROLLER_TEST, "held by the controller alone, which hands out neither"),
    "control/controller/controller_connections.cpp": (CONTROLLER_TEST, "one class in seven sources"),
    "control/controller/controller_names.cpp": ("tests/unit/control/controller/names_test.cpp", "one class in seven sources"),
    "control/controller/controller_network.cpp": (CONTROLLER_TEST, "one class in seven sources"),
    "control/controller/controller_portal.cpp": (CONTROLLER_TEST, "one class in seven sources"),
    "control/controller/controller_report.cpp": ("tests/unit/control/controller/report_test.cpp", "one class in seven sources"),
    "control/net/dial.cpp": ("tests/unit/control/net/web_socket_test.cpp", "how a WebSocket reaches its host"),
    "control/net/https.cpp": ("tests/unit/control/net/flow_uploader_test.cpp", "serves the uploader alone"),
    "control/net/tls.cpp": ("tests/unit/control/net/web_socket_test.cpp", "how a WebSocket trusts its host"),
    "src/gateway/fast_path_absent.cpp": ("tests/net/test_xdp.py", "in place of fast_path.cpp in another build"),
    "src/gateway/flow_logs.cpp": ("tests/net/test_flow_logs.py", "wires rooms that have their tests"),
    "src/gateway/firewall.cpp": ("tests/unit/gateway/host_network_test.cpp", "one suite in a network namespace"),
    "src/gateway/nft.cpp": ("tests/unit/gateway/untracking_test.cpp", "what it runs is told by those who run it"),
    "src/gateway/netlink.cpp": ("tests/unit/gateway/host_network_test.cpp", "one suite in a network namespace"),
    "src/gateway/host.cpp": ("tests/net/test_host_changes.py", "what other programs do to a running gateway"),
    "src/gateway/ask.cpp": ("tests/net/test_status.py", "both ends of a socket, with and without a gateway there"),
    "src/gateway/operator_console.cpp": ("tests/net/test_status.py", "what a running gateway answers"),
    "src/gateway/dns_service.cpp": ("tests/net/test_dns_service.py", "a service of a running gateway's tunnel"),
    "src/gateway/gateway.cpp": ("tests/net/test_first_page.py", "the wiring of the whole program"),
    "src/gateway/main.cpp": ("tests/net/test_bad_configuration.py", "the whole program and its exit codes"),
}

# Longer than 700 lines, with the reason.
LONG_SOURCES: dict[str, str] = {
    "tests/unit/control/turn/allocation_test.cpp": "one case a row of the spec's table",
}
LINES_MAX = 700
FILE_BYTES_MAX = 200_000

CORPUS_FILES_MAX = 100  # a target
CORPUS_BYTES_MAX = 1_000_000  # all targets
