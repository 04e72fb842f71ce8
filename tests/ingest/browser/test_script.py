"""The script as it is served: small, cached, and the same program as the readable file."""

import re
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.testclient import TestClient

from ingest.api import build_app
from ingest.browser.script import SOURCE, script, stripped

if TYPE_CHECKING:
    from infra.runtime import Context


def test_the_script_is_under_four_kilobytes_and_holds_no_key() -> None:
    served, _ = script()
    assert len(served) < 4000
    assert b"api_key" not in served.lower().replace(b"-", b"_")
    assert b"//" not in re.sub(rb'"[^"]*"', b"", served)


def test_only_comments_and_spaces_are_gone() -> None:
    source = files("ingest.browser").joinpath(SOURCE).read_text(encoding="utf-8")
    code = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith("//"))
    assert re.sub(r"\s", "", stripped(source)) == re.sub(r"\s", "", code)


def test_texts_keep_their_spaces() -> None:
    source = '  // why\n  const a = "x = 1, y";  \n\n  const b = `${a} + 1`;\n'
    assert stripped(source) == 'const a="x = 1, y";\nconst b=`${a} + 1`;\n'


def test_browsers_may_keep_it(sqlite_context: "Context") -> None:
    with TestClient(build_app(sqlite_context)) as client:
        first = client.get("/v1/feedback.js")
        assert first.headers["content-type"].startswith("text/javascript")
        assert first.headers["cache-control"] == "public, max-age=3600"
        assert first.headers["cross-origin-resource-policy"] == "cross-origin"
        again = client.get("/v1/feedback.js", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
