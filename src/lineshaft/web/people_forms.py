"""The forms of people at the HTTP rim: what is sent in, what is handed out. Times are µs UTC."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from lineshaft.web.accounts import NAME
from lineshaft.web.rights import ALL, ROLES

__all__ = [
    "Acceptance", "AuditEntry", "AuditList", "Invitation", "InvitationCode", "Invited", "NewPerson",
    "NewToken", "OwnChange", "PasswordChange", "Person", "PersonChange", "PersonDraft",
    "PersonList", "SessionItem", "SessionList", "SignIn", "SignInCode", "TokenDraft", "TokenItem",
    "TokenList", "Who",
]  # fmt: skip

_MOST_DAYS = 365
Language = Annotated[str | None, Field(pattern="^[a-z]{2}(-[A-Za-z]{2,4})?$", max_length=8)]
Secret = Annotated[str, Field(max_length=200)]
Role = Annotated[str, Field(max_length=16, json_schema_extra={"pattern": f"^({'|'.join(ROLES)})$"})]
Right = Annotated[
    str, Field(max_length=40, json_schema_extra={"pattern": f"^({'|'.join(sorted(ALL))})$"})
]


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
    password: Secret


class SessionItem(BaseModel):
    """One of one's own sessions; times in µs."""

    id: str
    created: int
    last_seen: int
    expires: int
    address: str
    agent: str
    current: bool = Field(description="whether it is the one that asks")


class SessionList(BaseModel):
    """One's own sessions, newest first."""

    sessions: list[SessionItem]


class Person(BaseModel):
    """A person; times in µs."""

    name: str
    display_name: str
    role: str
    state: str = Field(description="invited (no password yet), active or disabled")
    enabled: bool
    created: int
    last_seen: int | None
    language: str | None
    has_password: bool
    invited_until: int | None = Field(description="how long the open invitation holds")


class PersonList(BaseModel):
    """The people, by name, and the roles there are."""

    people: list[Person]
    roles: list[str]


class PersonDraft(Strict):
    """Somebody to be let in."""

    name: str = Field(max_length=32, description="2 to 32 of a-z, 0-9, '.', '-', '_'",
                      json_schema_extra={"pattern": f"^{NAME}$"})  # fmt: skip
    role: Role
    display_name: str = Field("", max_length=100)
    language: Language = None


class PersonChange(Strict):
    """What changes of a person; what is left out stays."""

    display_name: str | None = Field(None, min_length=1, max_length=100)
    role: Role | None = None
    enabled: bool | None = None
    language: Language = None


class Invitation(BaseModel):
    """A link that works once, within seven days; nobody can see it again."""

    link: str
    code: str
    expires: int


class NewPerson(Person):
    """A person just added, and the link that invites them."""

    link: str


class TokenItem(BaseModel):
    """A token without its secret; times in µs."""

    id: str
    owner: str
    name: str
    rights: list[str] = Field(description="kind.action; no more than its owner has now")
    created: int
    expires: int
    last_seen: int | None


class TokenList(BaseModel):
    """Tokens, newest first."""

    tokens: list[TokenItem]


class TokenDraft(Strict):
    """A token to be made."""

    name: str = Field(min_length=1, max_length=100)
    rights: list[Right] | None = Field(
        None, max_length=100, description="kind.action; left out: to read the plant"
    )
    days: int = Field(90, ge=1, le=_MOST_DAYS)


class NewToken(TokenItem):
    """A token just made; its text is shown this once."""

    token: str


class AuditEntry(BaseModel):
    """A changing call or a refusal; `count` alike refusals lie between `from` and `to` (µs)."""

    model_config = ConfigDict(populate_by_name=True)

    id: int = Field(description="grows with every entry")
    at: int
    kind: str = Field(description="audit.called or audit.refused")
    user: str
    by: str = Field(description="session:…, token:… or key; empty for nobody")
    operation: str
    method: str
    subject: str = Field(description="the path that was called")
    status: int
    code: str = Field(description="of a refusal or error; else empty")
    address: str
    count: int = 1
    start: int | None = Field(None, alias="from")
    stop: int | None = Field(None, alias="to")


class AuditList(BaseModel):
    """What the audit holds, newest first."""

    entries: list[AuditEntry]
