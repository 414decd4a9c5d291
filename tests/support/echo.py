#!/usr/bin/python3
"""Services of the lab's resource host: echo.py UDP_ECHO_PORT UPLOAD_PORT

UDP on both families comes back as it is. POST /upload answers with length and SHA-256 of what arrived.
"""
import hashlib
import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def bound(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO; Python 3.11 has no name for it
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    s.bind(("::", port))
    return s


def echo(s):
    while True:
        data, control, _, source = s.recvmsg(65536, 256)
        # Answer from the address that was asked: the host has two.
        info = [(level, kind, value) for level, kind, value in control
                if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)]
        try:
            s.sendmsg([data], info, 0, source)
        except OSError as e:
            print("echo", e, flush=True)


class Upload(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        digest, left, total = hashlib.sha256(), int(self.headers.get("Content-Length", 0)), 0
        while left:
            part = self.rfile.read(min(left, 65536))
            if not part:
                break
            digest.update(part)
            total += len(part)
            left -= len(part)
        body = json.dumps({"length": total, "sha256": digest.hexdigest()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    threading.Thread(target=echo, args=(bound(int(sys.argv[1])),), daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Upload)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
