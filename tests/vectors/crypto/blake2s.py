#!/usr/bin/python3
"""Writes blake2s.txt: hashes of the bytes 0, 1, 2, ... for every length 0 to 256, from Python's own BLAKE2s."""
import hashlib
import hmac
import pathlib

KEY = bytes(range(0x80, 0xA0))


def main() -> None:
    lines = [
        "# Per line: length of the input 00 01 02 ...; unkeyed 32 bytes; keyed with 80 81 .. 9f, 16 bytes; HMAC under that key.",
        "# Origin: blake2s.py (hashlib of CPython, an implementation independent of OpenSSL). Clause: RFC 7693, RFC 2104.",
    ]
    for length in range(257):
        data = bytes(i % 256 for i in range(length))
        unkeyed = hashlib.blake2s(data).hexdigest()
        keyed = hashlib.blake2s(data, key=KEY, digest_size=16).hexdigest()
        mac = hmac.new(KEY, data, hashlib.blake2s).hexdigest()
        lines.append(f"{length} {unkeyed} {keyed} {mac}")
    pathlib.Path(__file__).with_suffix(".txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
