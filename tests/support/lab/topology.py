"""The lab's topology as data: which hosts exist, their addresses, and what stands in front of them.

    client --- [nat-c] --- internet --- [nat-g] --- gateway --- resource
                           |  |   |
                   relay relay2 … portal

Addresses are those of the recordings (recordings/README.md); documentation prefixes only.
"""
from dataclasses import dataclass, field

WAN4, WAN6 = "198.51.100.", "2001:db8:51::"
PORTAL4, PORTAL6, PORTAL_PORT = WAN4 + "40", WAN6 + "40", 8081
GATEWAY4, GATEWAY6, GATEWAY_NAT4 = WAN4 + "10", WAN6 + "10", WAN4 + "11"
CLIENT4, CLIENT6, CLIENT_NAT4 = WAN4 + "20", WAN6 + "20", WAN4 + "21"
RELAY4, RELAY6 = WAN4 + "30", WAN6 + "30"
RELAY2_4, RELAY2_6 = WAN4 + "31", WAN6 + "31"
RELAYS = {"relay": (RELAY4, RELAY6), "relay2": (RELAY2_4, RELAY2_6), "relay3": (WAN4 + "32", WAN6 + "32")}
SINK4, SINK6, SINK_MAC = WAN4 + "254", WAN6 + "fe", "02:00:00:00:00:fe"

RESOURCE4, RESOURCE6 = "10.20.0.2", "fd20::2"
FORBIDDEN4, FORBIDDEN6 = "10.20.0.3", "fd20::3"
RESOURCE_GATEWAY4, RESOURCE_GATEWAY6 = "10.20.0.1", "fd20::1"

NAT_KINDS = {"preserving": "masquerade", "random": "masquerade fully-random"}

# Ports of the resource host.
WEB, WEB_ALT, ECHO, UPLOAD, IPERF, CLOSED = 80, 8080, 7007, 9000, 5201, 9


@dataclass
class Shape:
    """What a lab looks like. `outer` names the families client and gateway can reach each other with directly."""
    client_nat: str = ""                 # "", "preserving" or "random"
    gateway_nat: str = ""
    outer: tuple = ("v4", "v6")
    gateway_v4: bool = True              # False: a gateway host without a single IPv4 address or route
    relays: int = 1                      # hosts, three at most
    attacker: bool = False               # a host in the neighbour's place: it sees what goes to nobody's addresses
    plain_offloads: bool = True          # False: checksum offload off, as user-space packet I/O needs
    impair: str = ""                     # "client" or "gateway": whose way to the internet has faults (lab.impair)

    @property
    def client_hosts(self):
        return ["client"] + (["natc"] if self.client_nat else [])

    @property
    def gateway_hosts(self):
        return ["gateway"] + (["natg"] if self.gateway_nat else [])

    @property
    def relay_hosts(self):
        return list(RELAYS)[:self.relays]

    def hosts(self):
        extra = ["impair"] * bool(self.impair) + ["attacker"] * self.attacker
        return ["inet", "portal", *self.relay_hosts, "resource", *self.client_hosts, *self.gateway_hosts, *extra]

    @property
    def impaired_host(self):
        """The host whose cable to the internet is cut open: the NAT, where there is one."""
        return {"client": self.client_hosts, "gateway": self.gateway_hosts, "": [""]}[self.impair][-1]


@dataclass
class Link:
    """A veth pair between two hosts (or the internet's bridge), with addresses on either end."""
    a: str
    a_name: str
    b: str
    b_name: str
    a_addresses: list = field(default_factory=list)
    b_addresses: list = field(default_factory=list)
    segmented: bool = False             # frames leave either end checksummed and no larger than the MTU


def links(shape):
    """Every cable of a lab of that shape."""
    def wan(host, *addresses):
        return Link(host, "eth0", "inet", f"to-{host}", list(addresses))

    def both(v4, v6):
        return [v4 + "/24"] + [v6 + "/64"] * ("v6" in shape.outer)

    cables = [wan("portal", PORTAL4 + "/24", PORTAL6 + "/64"),
              *(wan(host, RELAYS[host][0] + "/24", RELAYS[host][1] + "/64") for host in shape.relay_hosts)]
    if shape.attacker:
        cables.append(wan("attacker", SINK4 + "/24"))
    if shape.client_nat:
        cables += [wan("natc", CLIENT_NAT4 + "/24"),
                   Link("client", "eth0", "natc", "lan", ["192.168.7.2/24"], ["192.168.7.1/24"])]
    else:
        cables.append(wan("client", *both(CLIENT4, CLIENT6)))
    if shape.gateway_nat:
        cables += [wan("natg", GATEWAY_NAT4 + "/24"),
                   Link("gateway", "eth0", "natg", "lan", ["192.168.8.2/24"], ["192.168.8.1/24"])]
    elif shape.gateway_v4:
        cables.append(wan("gateway", *both(GATEWAY4, GATEWAY6)))
    else:
        cables.append(wan("gateway", GATEWAY6 + "/64"))
    inside = [RESOURCE_GATEWAY4 + "/24"] * shape.gateway_v4 + [RESOURCE_GATEWAY6 + "/64"]
    cables.append(Link("gateway", "eth1", "resource", "eth0", inside,
                       [f"{RESOURCE4}/24", f"{FORBIDDEN4}/24", f"{RESOURCE6}/64", f"{FORBIDDEN6}/64"]))
    return [piece for cable in cables for piece in cut(cable, shape)]


def cut(cable, shape):
    """The impaired host's cable to the internet leads through the impairment relay."""
    if cable.a != shape.impaired_host or cable.b != "inet":
        return [cable]
    return [Link(cable.a, cable.a_name, "impair", "inside", cable.a_addresses, segmented=True),
            Link("impair", "outside", cable.b, cable.b_name, segmented=True)]


def default_routes(shape):
    """Host -> ip commands. A WAN host's default route leads to a neighbour that answers nothing: what is sent to a
    private address vanishes, as on the internet, instead of failing at once (guides/testing.md)."""
    sink = [f"neigh add {SINK4} lladdr {SINK_MAC} dev eth0 nud permanent", f"route add default via {SINK4}"]
    sink6 = [f"neigh add {SINK6} lladdr {SINK_MAC} dev eth0 nud permanent", f"route add default via {SINK6}"]
    routes = {h: sink + sink6 for h in ("portal", *shape.relay_hosts)}
    for host, nat, lan in (("client", shape.client_nat, "192.168.7.1"), ("gateway", shape.gateway_nat, "192.168.8.1")):
        if nat:
            routes[host] = [f"route add default via {lan}"]
            routes["natc" if host == "client" else "natg"] = sink
        elif host == "gateway" and not shape.gateway_v4:
            routes[host] = sink6
        else:
            routes[host] = sink + (sink6 if "v6" in shape.outer else [])
    return routes


def nat_table(kind):
    """Masquerading, and no connection tracking of what arrives unasked: else the entry of the other side's first
    packet collides with the mapping the inside host is about to make, and hole punching fails."""
    return f"""
table ip lab_nat {{
  chain post {{
    type nat hook postrouting priority srcnat
    oifname "eth0" {NAT_KINDS[kind]}
  }}
}}
table inet lab_guard {{
  chain in {{
    type filter hook input priority filter
    iifname "eth0" ct state new drop
  }}
}}
"""


def no_direct_v4():
    """Between client and gateway only IPv6 is left."""
    peers = f"{{ {GATEWAY4}, {GATEWAY_NAT4} }}"
    return f"""
table ip lab_path {{
  chain out {{
    type filter hook output priority filter
    ip daddr {peers} meta l4proto udp drop
  }}
  chain in {{
    type filter hook input priority filter
    ip saddr {peers} meta l4proto udp drop
  }}
}}
"""
