"""A TCP port of one network namespace as the same port of another: two of these processes, joined by a Unix socket.

python -m tests.support.netrelay inner PORT SOCKET   # where the port is missing: listens on 127.0.0.1:PORT
python -m tests.support.netrelay outer PORT SOCKET [ADDRESS]  # where it is: connects to ADDRESS:PORT, by default 127.0.0.1
"""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

LOOPBACK = "127.0.0.1"


def command(side: str, port: int, path: Path, *address: str) -> list[str]:
    """The command line of one that is killed when the thread that started it ends, however that comes about."""
    return ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", __name__, side, str(port), str(path), *address]


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass bytes on until one end closes."""
    with suppress(OSError):
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()
    sink.close()


async def serve(side: str, port: int, path: Path, address: str = LOOPBACK) -> None:
    """Listen until the process is ended."""

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            opened = asyncio.open_unix_connection(path) if side == "inner" else asyncio.open_connection(address, port)
            other_reader, other_writer = await opened
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer))

    if side == "inner":
        server = await asyncio.start_server(joined, LOOPBACK, port)
    else:
        server = await asyncio.start_unix_server(joined, path)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:5]))
