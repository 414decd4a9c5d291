#!/usr/bin/python3
"""An ingest server for flow records: HTTPS, every request in a file of lines, statuses as told.

    ingest.py --listen ADDR:PORT --tls CERT KEY --log FILE [--script 503,429:2,307,413]

The script is spent one status a request, afterwards everything is taken. A status may have a number behind it: the
seconds of Retry-After. 413 is answered to more than one record only. While FILE.refuse exists the answer is 503.
"""
import argparse
import json
import os
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEYS = {"protocol", "inner_src_ip", "inner_src_port", "inner_dst_ip", "inner_dst_port", "outers", "flow_start"}
END_KEYS = {"flow_end", "last_packet", "rx_packets", "tx_packets", "rx_bytes", "tx_bytes"}


def fits(record):
    """Exactly the members of an open or a completed record."""
    members = set(record) - {"domain"}
    return members in (KEYS, KEYS | END_KEYS) and record["outers"] and \
        all({"dst_ip", "dst_port", "path_activated_at"} <= set(outer) for outer in record["outers"])


class Ingest:
    def __init__(self, log, script):
        self.log, self.script, self.lock = log, [s for s in script.split(",") if s], threading.Lock()

    def status(self, records):
        if os.path.exists(self.log + ".refuse"):
            return "503"
        if not self.script or (self.script[0] == "413" and len(records) < 2):
            return "200"
        return self.script.pop(0)

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        records = json.loads(body)["flow_logs"]
        with self.lock:
            status = self.status(records) if all(map(fits, records)) else "422"
            with open(self.log, "a", encoding="utf-8") as f:
                f.write(json.dumps({"path": handler.path, "status": int(status.split(":")[0]), "records": records,
                                    "token": handler.headers["Authorization"].removeprefix("Bearer ")}) + "\n")
        return status.partition(":")


def handler_of(ingest):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            status, _, seconds = ingest.take(self)
            self.send_response(int(status))
            if seconds:
                self.send_header("Retry-After", seconds)
            if status in ("301", "302", "307", "308"):
                self.send_header("Location", "/moved/flow_logs")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass
    return Handler


class Server(ThreadingHTTPServer):
    def server_bind(self):
        socketserver.TCPServer.server_bind(self)     # not HTTPServer's, which looks its own name up
        self.server_name, self.server_port = self.server_address


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--tls", nargs=2, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--script", default="")
    arguments = parser.parse_args()
    host, _, port = arguments.listen.rpartition(":")
    server = Server((host, int(port)), handler_of(Ingest(arguments.log, arguments.script)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*arguments.tls)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
