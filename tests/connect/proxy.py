"""FaultProxy: a TCP proxy that misbehaves on demand.

async with FaultProxy(port_of_server) as proxy:
    ... connect to proxy.port ...
    proxy.cut()             # resets every connection; new ones are let through
    proxy.refuse(True)      # new connections are closed at once, old ones reset
    proxy.hole(True)        # bytes vanish both ways, connections stay up (half open)
    proxy.half_close()      # tells the client that the server ended, keeps the other way
    proxy.delay_s = 0.5     # each piece of data waits that long
"""

import asyncio
from contextlib import suppress


class FaultProxy:
    def __init__(self, target_port: int, host: str = "127.0.0.1") -> None:
        self.target_port, self._host = target_port, host
        self.port = 0
        self.delay_s = 0.0
        self.accepted = 0
        self._refusing = self._hole = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._to_clients: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "FaultProxy":
        self._server = await asyncio.start_server(self._accept, self._host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def refuse(self, on: bool) -> None:
        self._refusing = on
        if on:
            self.cut()

    def hole(self, on: bool) -> None:
        self._hole = on

    def half_close(self) -> None:
        for writer in list(self._to_clients):
            with suppress(OSError, RuntimeError):
                writer.write_eof()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        self.accepted += 1
        try:
            up_reader, up_writer = await asyncio.open_connection(self._host, self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, up_writer}
        self._to_clients.add(writer)
        pumps = [
            asyncio.create_task(self._pump(reader, up_writer)),
            asyncio.create_task(self._pump(up_reader, writer)),
        ]
        self._tasks |= set(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._tasks -= set(pumps)
            for one in (writer, up_writer):
                self._writers.discard(one)
                self._to_clients.discard(one)
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes with the delay of the moment, without making the sender wait for it."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - loop.time()))
                if not self._hole:
                    writer.write(data)
                    await writer.drain()

        task = asyncio.create_task(deliver())
        self._tasks.add(task)
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    queue.put_nowait((loop.time() + self.delay_s, data))
        finally:
            task.cancel()
            self._tasks.discard(task)
