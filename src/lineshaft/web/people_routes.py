"""The doors of people: sign-in, one's own things, colleagues, tokens, the audit."""

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.core.facts import AUDIT_KINDS
from lineshaft.rooms.history.reader import FOREVER
from lineshaft.rooms.history.store import FactStore
from lineshaft.web.accounts import Account
from lineshaft.web.gate import COOKIE
from lineshaft.web.guard import passage_of
from lineshaft.web.people import People
from lineshaft.web.people_forms import (
    Acceptance,
    AuditEntry,
    AuditList,
    Invitation,
    InvitationCode,
    Invited,
    NewPerson,
    NewToken,
    OwnChange,
    PasswordChange,
    Person,
    PersonChange,
    PersonDraft,
    PersonList,
    SessionItem,
    SessionList,
    SignIn,
    SignInCode,
    TokenDraft,
    TokenItem,
    TokenList,
    Who,
)
from lineshaft.web.rights import BUILT_IN, ROLES
from lineshaft.web.sessions import Session
from lineshaft.web.tokens import Token

__all__ = ["audit_router", "people_router", "session_router", "tokens_router"]

_PUBLIC, _SELF = {"x-right": "public"}, {"x-right": "self"}
Stamp = Annotated[int, Query(ge=0, le=FOREVER, description="µs")]
Name = Annotated[str, Path(max_length=32)]
Identity = Annotated[str, Path(max_length=32)]


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
            people.sessions.spend_code(body.code)
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
        account = await people.accept(body.code, body.password)
        return await let_in(request, account.name)

    @api.post("/invitation/look", summary="Whose invitation this is", openapi_extra=_PUBLIC)
    async def look_at_invitation(body: InvitationCode, request: Request) -> Invited:
        account = await asyncio.to_thread(people.accounts.invited, body.code)
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
        await people.change_password(_session(request), body.old, body.password, _address(request))
        return Response(status_code=204)

    @api.get("/sessions", summary="One's own sessions", openapi_extra=_SELF)
    async def list_sessions(request: Request) -> SessionList:
        session = _session(request)
        found = await asyncio.to_thread(people.sessions.list, session.user)
        return SessionList(sessions=[
            SessionItem(id=one.id, created=one.created, last_seen=one.seen, expires=one.expires,
                        address=one.address, agent=one.agent, current=one.id == session.id)
            for one in found
        ])  # fmt: skip

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
        return NewPerson(**_person(made).model_dump(), link=link(code))

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
        code, expires = await asyncio.to_thread(people.accounts.invite, name)
        return Invitation(link=link(code), code=code, expires=expires)

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
            people.tokens.make, session.user, session.role, body.name, body.rights, body.days
        )
        return NewToken(**_token(made).model_dump(), token=text)

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
        user: Annotated[str, Query(max_length=64)] = "",
        kind: Annotated[str, Query(pattern="^(audit.called|audit.refused)?$")] = "",
        start: Annotated[int, Query(alias="from", ge=0, le=FOREVER, description="µs")] = 0,
        to: Stamp = FOREVER,
        limit: Annotated[int, Query(ge=1, le=5000)] = 200,
    ) -> AuditList:
        found = await asyncio.to_thread(
            facts.find, kinds=[kind] if kind else AUDIT_KINDS, subject=user, start=start, end=to,
            limit=limit,
        )  # fmt: skip
        return AuditList(entries=[
            AuditEntry(id=f.at, at=f.at, kind=f.kind, user=f.subject, **f.body) for f in found
        ])  # fmt: skip

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
    content = asdict(account)
    waits = "active" if account.has_password else "invited"
    state = waits if account.enabled else "disabled"
    seen = content.pop("seen")
    return Person(**content, last_seen=seen, state=state)


def _token(token: Token) -> TokenItem:
    return TokenItem(
        id=token.id, owner=token.owner, name=token.name, rights=token.scopes,
        created=token.created, expires=token.expires, last_seen=token.used,
    )  # fmt: skip


def _token_list(found: list[Token]) -> TokenList:
    return TokenList(tokens=[_token(one) for one in found])
