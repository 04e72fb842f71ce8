"""The console's routes, to be mounted in the gateway: sign-in, pages, acts, files. Plain functions, so that Starlette
runs them in threads and a slow store never stalls the gateway's event loop."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from infra.contracts import PlauditError
from infra.runtime import Context
from serving.console import acting, pages
from serving.console.access import Access
from serving.console.errors import ForgedRequest, NothingHere, SignInNeeded
from serving.console.frame import framed
from serving.console.rendering import HEADERS, NO_STORE, asset, page
from serving.console.sessions import COOKIE, Session

log = structlog.get_logger()

ROOT = "/console"
MAX_FORM_BYTES = 16_384

View = Callable[[Context, Request], tuple[str, dict[str, Any]]]
"""(template, values) of one page."""


def console_routes(context: Context) -> list[BaseRoute]:
    """The mount, or nothing where `console.enabled` is off."""
    if not context.settings.console.enabled:
        return []
    access = Access(context)
    return [
        Mount(
            ROOT,
            routes=[
                Route("/static/{path:path}", _static),
                Route("/login", _login(context, access), methods=["GET", "POST"]),
                Route("/logout", _logout(access), methods=["POST"]),
                *(Route(path, _shown(context, access, view), methods=["GET"]) for path, view in pages.PAGES.items()),
                Route("/act", _acted(context, access), methods=["POST"]),
                Route("/{rest:path}", _missing(context, access), methods=["GET"]),
            ],
        ),
        Route(ROOT, lambda _request: RedirectResponse(f"{ROOT}/", 308), include_in_schema=False),
    ]


def _static(request: Request) -> Response:
    found = asset(request.path_params["path"])
    if found is None:
        return PlainTextResponse("no such file", 404, HEADERS)
    body, kind = found
    kept = "public, max-age=31536000, immutable" if "vendor/" in request.path_params["path"] else "no-cache"
    return Response(body, 200, {**HEADERS, "cache-control": kept}, media_type=kind)


def _shown(context: Context, access: Access, view: View) -> Callable[[Request], Response]:
    def shown(request: Request) -> Response:
        try:
            session = access.session(request)
        except Exception as error:
            return _failed(context, request, error, None, access)
        try:
            template, values = view(context, request)
            return page(template, framed(context, request, session, access.token(session)) | values)
        except Exception as error:
            return _failed(context, request, error, session, access)

    return shown


def _missing(context: Context, access: Access) -> Callable[[Request], Response]:
    def nothing(_context: Context, _request: Request) -> tuple[str, dict[str, Any]]:
        raise NothingHere("there is no such page: the menu above leads to those there are")

    return _shown(context, access, nothing)


def _login(context: Context, access: Access) -> Callable[[Request], Any]:
    async def login(request: Request) -> Response:
        target = _target(request.query_params.get("next", ""))
        if request.method == "GET":
            return page("login.html", _login_values(context, target))
        try:
            form = await read_form(request)
            target = _target(form.get("next", ""))
            session = await access.sign_in(request, form.get("secret", ""))
            await _in_thread(access.record, session)
        except PlauditError as error:
            return page("login.html", _login_values(context, target, error.message), error.status)
        except Exception as error:
            return _failed(context, request, error, None, access)
        answer = RedirectResponse(target, 303, NO_STORE)
        answer.set_cookie(
            COOKIE,
            access.cookie(session),
            max_age=int(context.settings.console.session_seconds),
            path=ROOT,
            httponly=True,
            samesite="strict",
            secure=context.settings.console.secure_cookie,
        )
        return answer

    return login


def _logout(access: Access) -> Callable[[Request], Any]:
    async def logout(request: Request) -> Response:
        answer = RedirectResponse(f"{ROOT}/login", 303, NO_STORE)
        answer.delete_cookie(COOKIE, path=ROOT, httponly=True, samesite="strict")
        return answer

    return logout


def _acted(context: Context, access: Access) -> Callable[[Request], Any]:
    async def acted(request: Request) -> Response:
        session: Session | None = None
        try:
            form = await read_form(request)
            session = await _in_thread(access.acting, request, form.get("csrf", ""))
            target = await _in_thread(acting.act, context, session, form)
        except Exception as error:
            failed: Response = await _in_thread(_failed, context, request, error, session, access)
            return failed
        return RedirectResponse(f"{ROOT}{target}", 303, NO_STORE)

    return acted


async def _in_thread(work: Callable[..., Any], *given: Any) -> Any:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(work, *given)


async def read_form(request: Request) -> dict[str, str]:
    """A small urlencoded form, the first value of each name. Raises ForgedRequest for anything else."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise ForgedRequest("forms of the console are sent as application/x-www-form-urlencoded")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise ForgedRequest(f"the form has more than {MAX_FORM_BYTES} bytes", status=413)
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    return {name: values[0] for name, values in fields.items()}


def _failed(context: Context, request: Request, error: Exception, session: Session | None, access: Access) -> Response:
    """A readable page for whatever went wrong; whoever is not signed in is sent to sign in."""
    if isinstance(error, SignInNeeded) and "hx-request" in request.headers:
        # Part of a page asks: the whole page must go to sign in, not a sign-in form into the part.
        return PlainTextResponse(error.message, 401, {**NO_STORE, "hx-redirect": f"{ROOT}/login"})
    if isinstance(error, SignInNeeded) and request.method == "GET":
        back = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""))
        return RedirectResponse(f"{ROOT}/login?next={back}", 303, NO_STORE)
    if isinstance(error, PlauditError):
        status, said = error.status, error.message
    else:
        log.error("console_failed", path=request.url.path, error=str(error), error_type=type(error).__name__)
        status, said = 500, "The store did not answer as it should. The server's log says more; nothing was changed."
    token = "" if session is None else access.token(session)
    values = framed(context, request, session, token, quiet=True)
    return page("error.html", values | {"status": status, "said": said, "code": getattr(error, "code", "")}, status)


def _login_values(context: Context, target: str, said: str = "") -> dict[str, Any]:
    console = context.settings.console
    return {
        "root": ROOT, "target": target, "said": said, "project": context.settings.project,
        "local_password": console.local_password,
    }  # fmt: skip


def _target(wanted: str) -> str:
    """Where to go after signing in: a page of the console, never anywhere else."""
    inside = wanted.startswith(f"{ROOT}/") and not wanted.startswith(f"{ROOT}/login") and "\\" not in wanted
    return wanted if inside and "//" not in wanted else f"{ROOT}/"
