"""Signing in and out, and what every request must show: a live session, and for acts the role and the form's token."""

import hmac
import threading
from urllib.parse import urlsplit

from starlette.requests import Request

from infra.runtime import Context
from infra.settings import console_password
from ingest.access import audit
from ingest.access.keys import ApiKey
from ingest.access.limits import RateLimiter
from ingest.access.repository import KeyRepository
from ingest.access.verification import InvalidApiKey, KeyRing
from serving.console.errors import ForgedRequest, SignInNeeded, ViewersCannotAct, WrongPassword
from serving.console.sessions import (
    COOKIE,
    Role,
    Session,
    csrf_holds,
    csrf_token,
    new_session,
    opened,
    sealed,
    session_secret,
)

VIEWER_SCOPE = "console:read"


class Access:
    """One a process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings = context.settings.console
        self._ring = KeyRing(context)
        self._limiter = RateLimiter(
            self._settings.logins_per_minute, self._settings.login_burst, context.settings.access.max_buckets
        )
        self._lock = threading.Lock()
        self._secret: bytes | None = None

    @property
    def secret(self) -> bytes:
        """What sessions are signed with; made with the first request, so that nothing is written before."""
        with self._lock:
            if self._secret is None:
                self._secret = session_secret(self._context.settings)
            return self._secret

    async def sign_in(self, request: Request, given: str) -> Session:
        """A session for an API key with the scope admin or console:read, or for the local password.

        Raises RateLimited, ForgedRequest, WrongPassword.
        """
        now = self._context.clock.now()
        check_origin(request)
        address = request.client.host if request.client else "unknown"
        self._limiter.require(address, now, f"attempts to sign in from {address}")
        if self._settings.local_password and self._is_password(given):
            return new_session("console:operator", "admin", "", now)
        try:
            key = await self._ring.verify(given)
        except InvalidApiKey:
            raise WrongPassword("that is neither a live API key nor the console's password") from None
        return new_session(f"console:{key.name}", role_of(key), key.key_id, now)

    def record(self, session: Session) -> None:
        """Enter a sign-in in the audit trail."""
        with self._context.database.transaction() as connection:
            detail = {"role": session.role, "key_id": session.key_id}
            project = self._context.settings.project
            audit.record(connection, session.actor, "console.signed_in", detail, project=project, at=session.issued_at)

    def cookie(self, session: Session) -> str:
        """The cookie's value."""
        return sealed(session, self.secret)

    def token(self, session: Session) -> str:
        """What the session's forms carry."""
        return csrf_token(session, self.secret)

    def session(self, request: Request) -> Session:
        """The live session of a request. Raises SignInNeeded; StoreUnavailable where its key cannot be looked up."""
        now = self._context.clock.now()
        found = opened(request.cookies.get(COOKIE), self.secret, now, self._settings.session_seconds)
        if found is None:
            raise SignInNeeded("sign in to see this page")
        if not found.key_id:
            if not self._settings.local_password:
                raise SignInNeeded("the local password is turned off: sign in with an API key")
            return found
        with self._context.database.reading() as connection:
            keys = KeyRepository(connection, self._context.settings.project).named(found.key_id)
        live = next((key for key in keys if key.key_id == found.key_id and key.live(now)), None)
        if live is None or role_of(live) != found.role:
            raise SignInNeeded("the key you signed in with is no longer valid")
        return found

    def acting(self, request: Request, token: str) -> Session:
        """The session of a request that changes something. Raises SignInNeeded, ForgedRequest, ViewersCannotAct."""
        check_origin(request)
        session = self.session(request)
        if not csrf_holds(session, self.secret, token):
            raise ForgedRequest("this form is not of your session: load the page again and repeat")
        if not session.acts:
            raise ViewersCannotAct(f"{session.actor} may look and not act: sign in with a key of the scope admin")
        return session

    def _is_password(self, given: str) -> bool:
        return hmac.compare_digest(console_password(self._context.settings).encode(), given.strip().encode())


def role_of(key: ApiKey) -> Role:
    """Admins act, console:read views. Raises WrongPassword for every other key."""
    if key.allows("admin"):
        return "admin"
    if VIEWER_SCOPE in key.scopes:
        return "viewer"
    raise WrongPassword(f"key {key.name!r} opens no console: it needs the scope admin or {VIEWER_SCOPE}")


def check_origin(request: Request) -> None:
    """Refuse what another site's page sends: browsers say where a request comes from. Raises ForgedRequest."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = site not in (None, "same-origin", "none")
    if origin not in (None, "null") and urlsplit(origin).netloc != request.headers.get("host"):
        foreign = True
    if foreign:
        raise ForgedRequest("this request comes from another site's page")
