#!/usr/bin/python3
"""What stands between a gateway and its portal: an HTTP proxy (CONNECT), or a TLS end in front of a plain service.

    front.py --listen ADDR:PORT [--user NAME:PASSWORD]                   proxy
    front.py --listen ADDR:PORT --tls CERT KEY --to ADDR:PORT            TLS end
"""
import argparse
import asyncio
import base64
import ssl


def host_port(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def join(reader, writer, target):
    far_reader, far_writer = await asyncio.open_connection(*target)
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


class Front:
    def __init__(self, arguments):
        self.user, self.to = arguments.user, arguments.to and host_port(arguments.to)

    async def serve(self, reader, writer):
        if self.to:
            await join(reader, writer, self.to)
            return
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        status = self._verdict(method, headers)
        print(f"{method} {target} {status}", flush=True)
        if status == 200:
            try:
                far_reader, far_writer = await asyncio.open_connection(*host_port(target))
            except OSError:
                status = 502
        more = "Proxy-Authenticate: Basic realm=lab\r\n" if status == 407 else ""
        writer.write(f"HTTP/1.1 {status} x\r\n{more}\r\n".encode())
        if status != 200:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def _verdict(self, method, headers):
        if method != "CONNECT":
            return 405
        wanted = self.user and "Basic " + base64.b64encode(self.user.encode()).decode()
        return 407 if wanted and headers.get("Proxy-Authorization") != wanted else 200


async def run(arguments):
    context = None
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*arguments.tls)
    server = await asyncio.start_server(Front(arguments).serve, *host_port(arguments.listen), ssl=context)
    print("listening", flush=True)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--user")
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("--to")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
