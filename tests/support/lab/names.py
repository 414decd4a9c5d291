"""Names of DNS resources as a client sees them, and what a client says of them inside its tunnel."""
import ipaddress
import json
import struct

from lab import netns, topology as t
from lab.process import wait_for


def proxies(lab, name, **how):
    answer = lab.client.resolve(name, **how)
    assert len(answer["v4"]) == len(answer["v6"]) == 4, answer
    return answer["v4"][0], answer["v6"][0]


def control(kind, payload):
    """An in-tunnel control packet (spec policy 4.6)."""
    body = bytes([kind]) + bytes(7) + payload
    return struct.pack("!IHBB", 6 << 28, len(body), 255, 0) + bytes(32) + body


def announce(lab, resource, domain, addresses):
    """Says AssignedIps as it is given; what the gateway answers."""
    before = lab.client.state()["counters"]["statuses"]
    message = {"resource": resource, "domain": domain, "proxy_ips": addresses}
    lab.client.inner(control(0, json.dumps(message).encode()))
    return status_of(lab, domain, before)


def status_of(lab, domain, before=0):
    """The newest DomainStatus of that name; waits for one after the first `before` of any."""
    def look():
        state = lab.client.state()
        new = state["counters"]["statuses"] - before
        return next((s["status"] for s in reversed(state["statuses"][-new:] if new else []) if s["domain"] == domain),
                    None)
    return wait_for(f"an answer about {domain}", look, 12)


def datagrams_in(lab):
    """UDP datagrams that reached the resource's host."""
    lines = netns.execute(lab.world.ns("resource"), "cat", "/proc/net/snmp").splitlines()
    names, values = (line.split() for line in lines if line.startswith("Udp:"))
    snmp = dict(zip(names, values))
    return int(snmp["InDatagrams"]) + int(snmp["NoPorts"])


def spoofed(address):
    """A UDP datagram for that address from a tunnel address of somebody else."""
    source, target = ipaddress.ip_address("100.65.0.66"), ipaddress.ip_address(address)
    udp = struct.pack("!HHHH", 1234, t.ECHO, 12, 0) + b"fake"
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source.packed, target.packed)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[12:] + udp
