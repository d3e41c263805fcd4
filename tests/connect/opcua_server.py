"""A small OPC UA server to test against, run as its own process.

    python opcua_server.py '{"port": 0, "secured": true, ...}'

Prints one line of JSON when it listens. Takes commands on standard input, one JSON a line, and
answers each with a line.
"""

import asyncio
import gc
import json
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import AttributeService
from asyncua.server.user_managers import UserManager

URI = "urn:test:plant"


class Users(UserManager):
    def get_user(
        self, iserver: Any, username: Any = None, password: Any = None, certificate: Any = None
    ) -> User | None:
        given = password.decode() if isinstance(password, bytes) else password
        if (username, given) == ("operator", "correct horse"):
            return User(role=UserRole.User, name=username)
        return None


class Moody(AttributeService):  # type: ignore[misc]
    """Takes writes as a machine in a bad mood does: see `mood` of `Plant.obey`."""

    def __init__(self, aspace: Any) -> None:
        super().__init__(aspace)
        self.mood: dict[str, Any] = {}
        self.taken: list[tuple[str, Any]] = []

    def read(self, params: Any) -> Any:
        answers = super().read(params)
        for index, wanted in enumerate(params.NodesToRead):
            if wanted.AttributeId != ua.AttributeIds.Value or wanted.NodeId.NamespaceIndex == 0:
                continue
            if "lie" in self.mood:
                kind = answers[index].Value.VariantType
                answers[index] = ua.DataValue(ua.Variant(self.mood["lie"], kind))
            if "mute" in self.mood:
                answers[index] = ua.DataValue(None, ua.StatusCode(self.mood["mute"]))
        return answers

    async def write(self, params: Any, **rest: Any) -> Any:
        (item,), mood = params.NodesToWrite, self.mood
        if item.NodeId.NamespaceIndex == 0:  # the server's own
            return await super().write(params, **rest)
        name, variant = str(item.NodeId.Identifier), item.Value.Value
        self.taken.append((name, variant.Value))
        await asyncio.sleep(mood.get("delay_s", 0))
        if "status" in mood:
            return [ua.StatusCode(mood["status"])]
        if mood.get("swallow"):
            return [ua.StatusCode()]
        if "clamp" in mood and variant.Value > mood["clamp"]:
            item.Value = ua.DataValue(ua.Variant(mood["clamp"], variant.VariantType))
            await super().write(params, **rest)
            return [ua.StatusCode(ua.StatusCodes.GoodClamped)]
        answers = await super().write(params, **rest)
        await asyncio.sleep(mood.get("answers_s", 0))
        if mood.get("die") == "before the answer":
            os._exit(1)
        if mood.get("die") == "after the answer":
            asyncio.get_running_loop().call_later(0.02, os._exit, 1)
            self.mood = {"mute": ua.StatusCodes.BadShutdown}
        if mood.get("settles_s"):
            asyncio.get_running_loop().call_later(mood["settles_s"], self.mood.clear)
            mood["lie"] = 0.0
        return answers


class Plant:
    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.server = Server(user_manager=Users() if options.get("secured") else None)
        self.nodes: dict[str, Any] = {}
        self.clock = timedelta()
        self.counting = True

    async def start(self) -> None:
        o, server = self.options, self.server
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{o['port']}")
        server.set_server_name("Test plant")
        await server.set_application_uri(o.get("uri", "urn:test:server"))
        if o.get("secured"):
            server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
            server.set_identity_tokens([ua.UserNameIdentityToken])
            await server.load_certificate(Path(o["certificate"]))
            await server.load_private_key(Path(o["key"]))
        else:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for uri in o.get("namespaces_before", []):
            await server.register_namespace(uri)
        self.index = await server.register_namespace(URI)
        await self._build()
        self.moody = server.iserver.attribute_service = Moody(server.iserver.aspace)
        await server.start()

    async def _build(self) -> None:
        top = await self.server.nodes.objects.add_folder(self._id("Plant"), f"{self.index}:Plant")
        machine = await top.add_object(self._id("M"), f"{self.index}:Mixer 1")
        await self._variable(machine, "Counter", 0, ua.VariantType.Int64)
        await self._variable(machine, "Temperature", 20.0, ua.VariantType.Double)
        await self._variable(machine, "Running", True, ua.VariantType.Boolean)
        await self._variable(machine, "State", "idle", ua.VariantType.String)
        await self._variable(machine, "Slow", 1.5, ua.VariantType.Float)
        await self._variable(machine, "Array", [1.0, 2.0], ua.VariantType.Double)
        for name in self.options.get("typed", []):
            value: Any = {"Boolean": True, "Float": 1.0, "Double": 1.0, "String": "a"}.get(name, 1)
            await self._variable(machine, f"As {name}", value, ua.VariantType[name])
            await self.nodes[f"As {name}"].set_writable()
        analog = self.nodes["Temperature"]
        eu = ua.EUInformation(
            "http://www.opcfoundation.org/UA/units/un/cefact", 4408652, ua.LocalizedText("°C")
        )
        await analog.add_property(0, "EURange", ua.Range(-10.0, 150.0))
        await analog.add_property(0, "EngineeringUnits", eu)
        await analog.add_property(0, "NormalLow", 15.0)
        await analog.add_property(0, "NormalHigh", 95.0)
        await analog.set_writable()
        if self.options.get("cycle"):
            await machine.add_reference(top, ua.ObjectIds.HasComponent)
        folder = None
        for number in range(self.options.get("many", 0)):
            if number % 100 == 0:
                name = f"Area {number // 100}"
                folder = await top.add_object(self._id(name), f"{self.index}:{name}")
            await self._variable(folder, f"V{number}", float(number), ua.VariantType.Double)

    def _id(self, name: str) -> ua.NodeId:
        return ua.NodeId(name, self.index)

    async def _variable(self, parent: Any, name: str, value: Any, kind: Any) -> None:
        node = await parent.add_variable(self._id(name), f"{self.index}:{name}", value, kind)
        self.nodes[name] = node
        await self.write(name, value, kind)

    async def write(
        self, name: str, value: Any, kind: Any = None, status: int = 0, ahead_s: float = 0
    ) -> datetime:
        stamp = datetime.now(UTC) + self.clock + timedelta(seconds=ahead_s)
        variant = ua.Variant(value, kind) if kind is not None else ua.Variant(value)
        data = ua.DataValue(variant, ua.StatusCode(status), stamp, stamp)
        await self.server.iserver.write_attribute_value(self.nodes[name].nodeid, data)
        return stamp

    async def count(self) -> None:
        """Count every `count_ms`; the log of counts and stamps outlives a restart."""
        period = self.options.get("count_ms", 100) / 1000
        file = Path(self.options["count_log"]) if self.options.get("count_log") else None
        lines = file.read_text().splitlines() if file and file.exists() else []
        number = int(lines[-1].split()[0]) if lines else 0
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += period
            await asyncio.sleep(max(0, due - loop.time()))
            if self.counting:
                number += 1
                stamp = await self.write("Counter", number, ua.VariantType.Int64)
                if file:
                    with file.open("a") as log:
                        log.write(f"{number} {int(stamp.timestamp() * 1e6 + 0.5)}\n")
                self.number = number

    async def churn(self, hz: float) -> None:
        """Write all of the many nodes, `hz` times a second."""
        names = [name for name in self.nodes if name.startswith("V")]
        turn = 0
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += 1 / hz
            turn += 1
            for name in names:
                await self.write(name, float(turn), ua.VariantType.Double)
            await asyncio.sleep(max(0, due - loop.time()))

    async def obey(self, command: dict[str, Any]) -> Any:
        if command["do"] == "write":
            kind = ua.VariantType[command["kind"]] if command.get("kind") else None
            value = command.get("value")
            value = float(value) if kind in {ua.VariantType.Double, ua.VariantType.Float} else value
            value = value * command.get("times", 1) if isinstance(value, str) else value
            await self.write(
                command["name"], value, kind, command.get("status", 0), command.get("ahead_s", 0)
            )
        elif command["do"] == "array":
            await self.write(command["name"], [1.0, 2.0], ua.VariantType.Double)
        elif command["do"] == "clock":
            self.clock = timedelta(seconds=command["seconds"])
        elif command["do"] == "counting":
            self.counting = command["on"]
        elif command["do"] == "mood":
            self.moody.mood = {key: value for key, value in command.items() if key != "do"}
        elif command["do"] == "taken":
            return self.moody.taken
        elif command["do"] == "value":
            return await self.nodes[command["name"]].read_value()
        elif command["do"] == "number":
            return self.number
        return "ok"


async def main() -> None:
    gc.disable()  # the address space is half a million objects, none of which dies
    options = json.loads(sys.argv[1])
    plant = Plant(options)
    # A machine may say what it never declared: the server shall not check its own values.
    plant.server.iserver.aspace._is_expected_variant_type = lambda *_: True
    await plant.start()
    tasks = [asyncio.create_task(plant.count())]
    if options.get("churn_hz"):
        tasks.append(asyncio.create_task(plant.churn(options["churn_hz"])))
    print(json.dumps({"port": plant.server.bserver.port}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        print(json.dumps(await plant.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(main())
