"""What people ask of the process `connect`: probe, browse, trust, add, change, remove.

Each method is one question of the bus (`connect.<verb>`), its body and answer those of the HTTP
door of the same name. Rules: every body is parsed before anything happens; a source is written only
after its server was reached and its signals have their numbers; every change is a Fact.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.core.facts import Fact
from lineshaft.core.paths import check_path, slug
from lineshaft.core.ports import FactSink, SignalDirectory
from lineshaft.core.signals import Signal
from lineshaft.rooms.connect.model import (
    Certificate,
    Login,
    Node,
    Source,
    check_endpoint,
    parse_draft,
    parse_login,
    parse_nodes,
)
from lineshaft.rooms.connect.protocols.opcua.browse import Survey, browse
from lineshaft.rooms.connect.protocols.opcua.pki import Pki
from lineshaft.rooms.connect.protocols.opcua.session import Untrusted, discover, open_session
from lineshaft.rooms.connect.store import Secrets, SourceStore

__all__ = ["Desk"]

_BROWSE_S: Final = 60.0
Body = Mapping[str, Any]


class Desk:
    """Answers questions about sources and servers; `changed` is called after each change."""

    def __init__(
        self, store: SourceStore, secrets: Secrets, pki: Pki, directory: SignalDirectory,
        facts: FactSink, changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._store, self._secrets, self._pki = store, secrets, pki
        self._directory, self._facts, self._changed = directory, facts, changed

    def verbs(self) -> Mapping[str, Callable[[Body], Awaitable[Body]]]:
        """Return what may be asked, by verb."""
        return {
            "probe": self.probe, "trust": self.trust, "distrust": self.distrust,
            "certificates": self.certificates, "browse": self.browse, "add": self.add,
            "change": self.change, "remove": self.remove,
        }  # fmt: skip

    async def probe(self, body: Body) -> Body:
        """Ask a server what it offers; its certificate, if unknown, waits for a decision."""
        endpoint = check_endpoint(str(body.get("endpoint", "")))
        endpoints, certificate, der = await discover(endpoint, self._pki)
        if certificate is not None and not certificate.trusted:
            await self.quarantine(certificate, der, endpoint)
        return {
            "endpoints": [{**asdict(e), "tokens": list(e.tokens)} for e in endpoints],
            "certificate": certificate.view() if certificate else None,
        }

    async def quarantine(self, certificate: Certificate, der: bytes, subject: str) -> None:
        """Keep an unknown certificate; a Fact where it is new."""
        if self._pki.quarantine(der):
            await self._tell("certificate.quarantined", subject, _named(certificate))

    async def trust(self, body: Body) -> Body:
        """Trust a certificate that waits."""
        certificate = self._pki.trust(str(body.get("thumbprint", "")))
        await self._tell("certificate.trusted", certificate.thumbprint, _named(certificate))
        self._changed()
        return {}

    async def distrust(self, body: Body) -> Body:
        """Trust a certificate no more; sources connected by it are cut and then refused."""
        certificate = self._pki.distrust(str(body.get("thumbprint", "")))
        await self._tell("certificate.quarantined", certificate.thumbprint, _named(certificate))
        self._changed()
        return {}

    async def certificates(self, _: Body) -> Body:
        """List all certificates and our own."""
        own = await asyncio.to_thread(self._pki.own)
        ours = replace(self._pki.judge(own.der), trusted=True, reason="")
        listed = [{**found.view(), "state": state} for found, state in self._pki.listed()]
        return {"certificates": listed, "own": ours.view()}

    async def browse(self, body: Body) -> Body:
        """Look round a server."""
        login = await self._with_password(parse_login(body), body.get("source"))
        survey = await self._survey(login, "")
        followed = await self._followed(body.get("source"))
        nodes = [
            {**asdict(node), "kind": node.kind.value, "followed": node.node_id in followed}
            for node in survey.nodes
        ]
        server = {"name": survey.name, "uri": survey.uri}
        return {"server": server, "nodes": nodes, "truncated": survey.truncated}

    async def add(self, body: Body) -> Body:
        """Add a source: look round its server, list its signals, write it, start it."""
        draft = parse_draft(body)
        survey = await self._survey(draft.login, draft.name)
        login = draft.login
        known = {source.id for source in await asyncio.to_thread(self._store.all)}
        source = Source(
            _free_id(draft.name, known), draft.name, login.endpoint, draft.prefix, login.policy,
            login.mode, login.user, all_nodes=draft.nodes is None,
        )  # fmt: skip
        await self._enlist(source, _chosen(survey.nodes, draft.nodes))
        await asyncio.to_thread(self._secrets.put, source.id, login.password)
        await asyncio.to_thread(self._store.save, source)
        await self._tell("source.added", source.id, asdict(source))
        self._changed()
        return {"id": source.id}

    async def change(self, body: Body) -> Body:
        """Change what is given of a source: enabled, name, endpoint, user, password, nodes.

        Raises Refused where a new server or user comes without a password: the one kept was given
        for another. Nothing is kept before the server has been looked round.
        """
        before = await asyncio.to_thread(self._store.get, str(body.get("id", "")))
        after, given = _changed(before, body), body.get("password")
        moved = (after.endpoint, after.user) != (before.endpoint, before.user)
        if given is None:
            password = await asyncio.to_thread(self._secrets.get, before.id) or ""
            if moved and password:
                raise Refused("the password kept was given for another server or user",
                              hint="Give the password again with the new address or user",
                              code="source.password")  # fmt: skip
        else:
            password = str(given)[:500]
            after = replace(after, revision=after.revision + 1)
        chosen: Sequence[Node] | None = None
        if "nodes" in body:
            nodes = parse_nodes(body["nodes"])
            survey = await self._survey(after.login(password), after.name)
            after = replace(after, all_nodes=nodes is None, revision=after.revision + 1)
            chosen = _chosen(survey.nodes, nodes)
        if given is not None:
            await asyncio.to_thread(self._secrets.put, after.id, password)
        if chosen is not None:
            await self._enlist(after, chosen)
        await asyncio.to_thread(self._store.save, after)
        await self._tell("source.changed", after.id, asdict(after))
        self._changed()
        return {"id": after.id}

    async def remove(self, body: Body) -> Body:
        """Remove a source; its history stays."""
        source = await asyncio.to_thread(self._store.get, str(body.get("id", "")))
        await asyncio.to_thread(self._store.remove, source.id)
        await asyncio.to_thread(self._secrets.remove, source.id)
        await self._tell("source.removed", source.id, {"name": source.name})
        self._changed()
        return {}

    async def enlist(self, source: Source, survey: Survey) -> None:
        """List everything that a survey found as signals of a source."""
        await self._enlist(source, survey.nodes)

    async def _enlist(self, source: Source, nodes: Sequence[Node]) -> None:
        drafts = [_signal(source, node) for node in nodes]
        listed = await asyncio.to_thread(self._directory.register, drafts)
        sids = [signal.sid for signal in listed]
        await asyncio.to_thread(self._store.set_items, source.id, nodes, sids)

    async def _survey(self, login: Login, name: str) -> Survey:
        try:
            async with asyncio.timeout(_BROWSE_S), open_session(login, self._pki) as session:
                return await browse(session, name)
        except Untrusted as error:
            await self.quarantine(error.certificate, error.der, login.endpoint)
            raise
        except TimeoutError as error:
            raise Refused(f"looking round {login.endpoint} took more than {_BROWSE_S:g} s",
                          code="opcua.slow") from error  # fmt: skip

    async def _followed(self, source: Any) -> set[str]:
        if not source:
            return set()
        items = await asyncio.to_thread(self._store.items, str(source))
        return {node_id for node_id, _, _ in items}

    async def _with_password(self, login: Login, source: Any) -> Login:
        if login.password or not source:
            return login
        known = await asyncio.to_thread(self._store.get, str(source))
        if known.endpoint != login.endpoint:
            return login  # a password is not shown to another server than its own
        return replace(login, password=await asyncio.to_thread(self._secrets.get, known.id))

    async def _tell(self, kind: str, subject: str, body: Body) -> None:
        await self._facts.tell(Fact(kind, now_us(), subject, body))


def _changed(source: Source, body: Body) -> Source:
    """Return the source with what is given of its plain fields."""
    if body.get("enabled") is not None:
        source = replace(source, enabled=bool(body["enabled"]))
    if body.get("writes") is not None:
        source = replace(source, writes=bool(body["writes"]))
    if body.get("name"):
        source = replace(source, name=str(body["name"])[:200])
    if body.get("endpoint"):
        source = replace(source, endpoint=check_endpoint(str(body["endpoint"])))
    if body.get("user") is not None:
        source = replace(source, user=str(body["user"])[:200])
    return source


def _named(certificate: Certificate) -> Body:
    return {"thumbprint": certificate.thumbprint, "subject": certificate.subject}


def _free_id(name: str, known: set[str]) -> str:
    """Return an id made from the name, with some of its hash: an id is never given out twice by
    chance, so a source added again does not inherit another's stream position."""
    made = now_us().to_bytes(8, "big") + name.encode("utf-8", "replace")
    stem = slug(name)[:48].strip("-_") or "source"
    candidate = f"{stem}-{hashlib.blake2b(made, digest_size=3).hexdigest()}"
    return candidate if candidate not in known else _free_id(name + "'", known)


def _chosen(nodes: Sequence[Node], wanted: Sequence[str] | None) -> Sequence[Node]:
    if wanted is None:
        chosen = nodes
    else:
        by_id = {node.node_id: node for node in nodes}
        unknown = [node_id for node_id in wanted if node_id not in by_id]
        if unknown:
            raise Refused(f"the server has no variable {unknown[0][:200]}",
                          hint="Browse it again", code="source.nodes")  # fmt: skip
        chosen = [by_id[node_id] for node_id in wanted]
    if not chosen:
        raise Refused("the server has no variables that can be followed",
                      hint="Browse it to see what it holds", code="source.empty")  # fmt: skip
    return chosen


def _signal(source: Source, node: Node) -> Signal:
    return Signal(
        0, check_path(f"{source.prefix}/{node.path}"), node.name, node.kind, node.unit,
        node.low, node.high, node.limit_low, node.limit_high, node.period_ms, source.id,
        node.writable, node.decimals, node.description,
    )  # fmt: skip
