"""The doors of people: sign-in, one's own things, colleagues, tokens, the audit."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.core.facts import AUDIT_KINDS
from lineshaft.rooms.history.reader import FOREVER
from lineshaft.rooms.history.store import FactStore
from lineshaft.web.accounts import Account
from lineshaft.web.gate import COOKIE
from lineshaft.web.guard import passage_of
from lineshaft.web.people import People
from lineshaft.web.rights import BUILT_IN, ROLES
from lineshaft.web.sessions import Session

__all__ = ["audit_router", "people_router", "session_router", "tokens_router"]

_MOST_DAYS = 365
_PUBLIC, _SELF = {"x-right": "public"}, {"x-right": "self"}
Stamp = Annotated[int, Query(ge=0, le=FOREVER, description="µs")]
Name = Annotated[str, Path(max_length=32)]
Identity = Annotated[str, Path(max_length=32)]
Language = Annotated[str | None, Field(pattern="^[a-z]{2}(-[A-Za-z]{2,4})?$", max_length=8)]
Secret = Annotated[str, Field(max_length=200)]


class Strict(BaseModel):
    """A request's body: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid")


class SignIn(Strict):
    """Either the code of a sign-in link, or name and password."""

    code: Secret | None = None
    name: Annotated[str, Field(max_length=100)] | None = None
    password: Secret | None = None


class SignInCode(BaseModel):
    """A one-time sign-in code."""

    code: str


class InvitationCode(Strict):
    """The code of an invitation."""

    code: Secret


class Acceptance(InvitationCode):
    """An invitation, and the password that shall hold."""

    password: Secret


class Invited(BaseModel):
    """Whose invitation it is."""

    name: str
    display_name: str
    language: str | None


class Who(BaseModel):
    """Who is signed in, until when at the latest (µs), and what they may do."""

    user: str
    display_name: str
    role: str
    rights: list[str] = Field(description="kind.action")
    by: str = Field(description="session, token or key")
    expires: int
    language: str | None
    has_password: bool


class OwnChange(Strict):
    """What one changes of oneself; what is left out stays."""

    display_name: str | None = Field(None, min_length=1, max_length=100)
    language: Language = None


class PasswordChange(Strict):
    """The password that holds, and the one that shall."""

    old: Secret
    new: Secret


class SessionItem(BaseModel):
    """One of one's own sessions; times in µs."""

    id: str
    created: int
    seen: int
    expires: int
    address: str
    agent: str
    is_this: bool


class SessionList(BaseModel):
    """One's own sessions, newest first."""

    sessions: list[SessionItem]


class Person(BaseModel):
    """A person; times in µs."""

    name: str
    display_name: str
    role: str
    enabled: bool
    created: int
    seen: int | None
    language: str | None
    has_password: bool
    invited_until: int | None = Field(description="How long the open invitation holds")


class PersonList(BaseModel):
    """The people, by name, and the roles there are."""

    people: list[Person]
    roles: list[str]


class PersonDraft(Strict):
    """Somebody to be let in."""

    name: str = Field(max_length=32, description="2 to 32 of a-z, 0-9, '.', '-', '_'")
    role: str = Field(max_length=16, description=", ".join(ROLES))
    display_name: str = Field("", max_length=100)
    language: Language = None


class PersonChange(Strict):
    """What changes of a person; what is left out stays."""

    display_name: str | None = Field(None, min_length=1, max_length=100)
    role: str | None = Field(None, max_length=16)
    enabled: bool | None = None
    language: Language = None


class Invitation(BaseModel):
    """A link that works once, within seven days; nobody can see it again."""

    link: str


class NewPerson(Person):
    """A person just added, and their invitation."""

    link: str


class TokenItem(BaseModel):
    """A token without its secret; times in µs."""

    id: str
    owner: str
    name: str
    scopes: list[str]
    created: int
    expires: int
    used: int | None


class TokenList(BaseModel):
    """Tokens, newest first."""

    tokens: list[TokenItem]


class TokenDraft(Strict):
    """A token to be made."""

    name: str = Field(min_length=1, max_length=100)
    scopes: list[Annotated[str, Field(max_length=40)]] | None = Field(
        None, max_length=100, description="kind.action; left out: to read the plant"
    )
    days: int = Field(90, ge=1, le=_MOST_DAYS)


class NewToken(TokenItem):
    """A token just made; its text is shown this once."""

    token: str


class AuditEntry(BaseModel):
    """A changing call or a refusal; `count` alike refusals lie between `from` and `to` (µs)."""

    model_config = ConfigDict(populate_by_name=True)

    at: int
    kind: str = Field(description="audit.called or audit.refused")
    who: str
    by: str = Field(description="session:…, token:… or key; empty for nobody")
    operation: str
    method: str
    path: str
    status: int
    address: str
    count: int = 1
    start: int | None = Field(None, alias="from")
    stop: int | None = Field(None, alias="to")


class AuditList(BaseModel):
    """What the audit holds, newest first."""

    entries: list[AuditEntry]


def session_router(people: People, *, is_tls: bool) -> APIRouter:
    """Return the operations of sign-in and of what is one's own."""
    api = APIRouter(tags=["session"])
    _add_sign_in(api, people, is_tls)
    _add_own(api, people)
    return api


def _add_sign_in(api: APIRouter, people: People, is_tls: bool) -> None:
    async def let_in(request: Request, account: str) -> Response:
        agent = request.headers.get("user-agent", "")
        token, until = await asyncio.to_thread(
            people.sessions.open, account, _address(request), agent
        )
        request.scope["state"]["acted_as"] = account
        response = Response(status_code=204)
        response.set_cookie(
            COOKIE, token, max_age=(until - now_us()) // 1_000_000, httponly=True,
            samesite="strict", path="/", secure=is_tls,
        )  # fmt: skip
        return response

    @api.post("/session", status_code=204, summary="Sign in, by link or by password",
              openapi_extra=_PUBLIC)  # fmt: skip
    async def sign_in(body: SignIn, request: Request) -> Response:
        if body.code is not None and body.name is None and body.password is None:
            await people.sign_in_by_code(body.code, _address(request))
            return await let_in(request, BUILT_IN)
        if body.code is None and body.name is not None and body.password is not None:
            found = await people.sign_in_by_password(body.name, body.password, _address(request))
            return await let_in(request, found.name)
        raise Refused("to sign in takes a code, or name and password", code="session.form",
                      hint='Send {"code": …} or {"name": …, "password": …}',
                      status=422)  # fmt: skip

    @api.post("/invitation", status_code=204, summary="Set the password and sign in",
              openapi_extra=_PUBLIC)  # fmt: skip
    async def accept_invitation(body: Acceptance, request: Request) -> Response:
        account = await people.accept(body.code, body.password, _address(request))
        return await let_in(request, account.name)

    @api.post("/invitation/look", summary="Whose invitation this is", openapi_extra=_PUBLIC)
    async def look_at_invitation(body: InvitationCode, request: Request) -> Invited:
        account = await people.invited(body.code, _address(request))
        request.scope["state"]["acted_as"] = account.name
        return Invited(name=account.name, display_name=account.display_name,
                       language=account.language)  # fmt: skip

    @api.post("/session/code", summary="Make a sign-in link's code (with the data folder's key)",
              openapi_extra={"x-right": "key"})  # fmt: skip
    async def make_code() -> SignInCode:
        return SignInCode(code=people.sessions.make_code())


def _add_own(api: APIRouter, people: People) -> None:
    @api.get("/session", summary="Who is signed in", openapi_extra=_SELF)
    async def who(request: Request) -> Who:
        session = _session(request)
        own = None if session.user == BUILT_IN else await _own(people, session)
        return Who(
            user=session.user, display_name=own.display_name if own else BUILT_IN,
            role=session.role, rights=sorted(session.rights), by=session.by,
            expires=session.expires, language=own.language if own else None,
            has_password=own.has_password if own else False,
        )  # fmt: skip

    @api.delete("/session", status_code=204, summary="Sign out", openapi_extra=_SELF)
    async def sign_out(request: Request) -> Response:
        session = _session(request)
        if session.by == "session":
            await asyncio.to_thread(people.sessions.end, session.user, session.id)
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path="/")
        return response

    @api.put("/session", status_code=204, summary="Change one's own name or language",
             openapi_extra=_SELF)  # fmt: skip
    async def change_myself(body: OwnChange, request: Request) -> Response:
        own = await _own(people, _session(request))
        await people.change(own.name, body.model_dump(exclude_none=True))
        return Response(status_code=204)

    @api.put("/session/password", status_code=204, summary="Change one's own password",
             openapi_extra=_SELF)  # fmt: skip
    async def change_password(body: PasswordChange, request: Request) -> Response:
        await _own(people, _session(request))
        await people.change_password(_session(request), body.old, body.new, _address(request))
        return Response(status_code=204)

    @api.get("/sessions", summary="One's own sessions", openapi_extra=_SELF)
    async def list_sessions(request: Request) -> SessionList:
        session = _session(request)
        found = await asyncio.to_thread(people.sessions.list, session.user)
        return SessionList(
            sessions=[SessionItem(**asdict(one), is_this=one.id == session.id) for one in found]
        )

    @api.delete("/sessions", status_code=204, summary="End all other sessions of one's own",
                openapi_extra=_SELF)  # fmt: skip
    async def end_other_sessions(request: Request) -> Response:
        session = _session(request)
        await asyncio.to_thread(people.sessions.end_all, session.user, session.id)
        return Response(status_code=204)

    @api.delete("/sessions/{id}", status_code=204, summary="End a session of one's own",
                openapi_extra=_SELF)  # fmt: skip
    async def end_session(id: Identity, request: Request) -> Response:
        await asyncio.to_thread(people.sessions.end, _session(request).user, id)
        return Response(status_code=204)


def people_router(people: People, base: str) -> APIRouter:
    """Return the operations on colleagues; `base` is where their browsers find the console."""
    api = APIRouter(tags=["people"])
    read, write = {"x-right": "people.read"}, {"x-right": "people.write"}

    def link(code: str) -> str:
        return f"{base}/#/invite/{code}"

    @api.get("/people", summary="The people", openapi_extra=read)
    async def list_people() -> PersonList:
        found = await asyncio.to_thread(people.accounts.list)
        return PersonList(people=[_person(one) for one in found], roles=list(ROLES))

    @api.post("/people", status_code=201, summary="Let somebody in", openapi_extra=write)
    async def add_person(body: PersonDraft) -> NewPerson:
        code = await asyncio.to_thread(
            people.accounts.add, body.name, body.role, body.display_name, body.language
        )
        made = await asyncio.to_thread(people.accounts.get, body.name)
        return NewPerson(**asdict(made), link=link(code))

    @api.put("/people/{name}", summary="Change a person", openapi_extra=write)
    async def change_person(name: Name, body: PersonChange) -> Person:
        return _person(await people.change(name, body.model_dump(exclude_none=True)))

    @api.delete("/people/{name}", status_code=204, summary="Remove a person", openapi_extra=write)
    async def remove_person(name: Name) -> Response:
        await people.remove(name)
        return Response(status_code=204)

    @api.post("/people/{name}/invitation", summary="Invite again, to set a new password",
              openapi_extra=write)  # fmt: skip
    async def invite_person(name: Name) -> Invitation:
        return Invitation(link=link(await asyncio.to_thread(people.accounts.invite, name)))

    return api


def tokens_router(people: People) -> APIRouter:
    """Return the operations on API tokens."""
    api = APIRouter(tags=["tokens"])

    @api.get("/tokens", summary="One's own tokens", openapi_extra=_SELF)
    async def list_tokens(request: Request) -> TokenList:
        return _token_list(await asyncio.to_thread(people.tokens.list, _session(request).user))

    @api.post("/tokens", status_code=201, summary="Make a token", openapi_extra=_SELF)
    async def make_token(body: TokenDraft, request: Request) -> NewToken:
        session = _session(request)
        text, made = await asyncio.to_thread(
            people.tokens.make, session.user, session.role, body.name, body.scopes, body.days
        )
        return NewToken(**asdict(made), token=text)

    @api.delete("/tokens/{id}", status_code=204, summary="Revoke a token", openapi_extra=_SELF)
    async def revoke_token(id: Identity, request: Request) -> Response:
        await asyncio.to_thread(people.tokens.revoke, id, _session(request).user)
        people.sessions.forget()
        return Response(status_code=204)

    @api.get("/people/{name}/tokens", summary="A person's tokens",
             openapi_extra={"x-right": "tokens.read"})  # fmt: skip
    async def list_tokens_of(name: Name) -> TokenList:
        return _token_list(await asyncio.to_thread(people.tokens.list, name))

    @api.delete("/people/{name}/tokens/{id}", status_code=204, summary="Revoke a person's token",
                openapi_extra={"x-right": "tokens.write"})  # fmt: skip
    async def revoke_token_of(name: Name, id: Identity) -> Response:
        await asyncio.to_thread(people.tokens.revoke, id, name)
        people.sessions.forget()
        return Response(status_code=204)

    return api


def audit_router(facts: FactStore) -> APIRouter:
    """Return the operation that reads the audit out of the kept Facts."""
    api = APIRouter(tags=["audit"])

    @api.get("/audit", summary="Changing calls and refusals, newest first",
             openapi_extra={"x-right": "audit.read"})  # fmt: skip
    async def list_audit(
        who: Annotated[str, Query(max_length=64)] = "",
        kind: Annotated[str, Query(pattern="^(audit.called|audit.refused)?$")] = "",
        start: Annotated[int, Query(alias="from", ge=0, le=FOREVER, description="µs")] = 0,
        to: Stamp = FOREVER,
        limit: Annotated[int, Query(ge=1, le=5000)] = 200,
    ) -> AuditList:
        found = await asyncio.to_thread(
            facts.find, kinds=[kind] if kind else AUDIT_KINDS, subject=who, start=start, end=to,
            limit=limit,
        )  # fmt: skip
        return AuditList(
            entries=[AuditEntry(at=f.at, kind=f.kind, who=f.subject, **f.body) for f in found]
        )

    return api


def _session(request: Request) -> Session:
    session = passage_of(request.scope).session
    assert session is not None  # the guard lets nobody else through
    return session


def _address(request: Request) -> str:
    return passage_of(request.scope).address


async def _own(people: People, session: Session) -> Account:
    """Return the caller's account; the built-in one is none that could be changed."""
    if session.user == BUILT_IN:
        raise Refused(f"'{BUILT_IN}' has no name or password of its own",
                      hint="Let yourself in as a person, and sign in as that", code="session.local",
                      status=409)  # fmt: skip
    return await asyncio.to_thread(people.accounts.get, session.user)


def _person(account: Account) -> Person:
    return Person(**asdict(account))


def _token_list(found: list[Any]) -> TokenList:
    return TokenList(tokens=[TokenItem(**asdict(one)) for one in found])
