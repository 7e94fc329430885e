"""Who may ask what: names, origins, tokens, sizes, logins, and headers on every answer."""

from __future__ import annotations

import json
import sqlite3
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from babysit.records import State
from babysit.store.writer import Writer
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.security import LARGEST_BODY, RequestRules, host_name
from babysit.views.dashboard.server import rules_for
from babysit.views.dashboard.state import OpenStore, Serving
from babysit.views.dashboard.static_files import edition, static_files
from browser.stores import write_search

HOST = "http://127.0.0.1:8265"
STOP = json.dumps({"kind": "stop", "argument": None})
ADDRESS = "/r/2/1/7/commands"


def everything(path):
    """All rows of a store, to see that nothing changed."""
    with sqlite3.connect(path) as connection:
        tables = [
            name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
        ]
        return {table: connection.execute(f"select * from {table}").fetchall() for table in tables}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8265",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "192.168.1.7",
        "a b",
    ],
)
def test_a_name_that_was_rebound_is_refused(client, host):
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "study" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:1234", "[::1]:8265", "localhost.:80"])
def test_the_port_does_not_matter(client, host):
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("missing", "status"), [("origin", 403), ("x-babysit-token", 403), ("content-type", 415)]
)
def test_a_change_needs_all_three(client, asking, store, missing, status):
    before = everything(store)
    headers = {name: value for name, value in asking.items() if name != missing}
    assert client.post(ADDRESS, content=STOP, headers=headers).status_code == status
    assert everything(store) == before


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("origin", "http://evil.example", 403),
        ("origin", "http://127.0.0.1:9999", 403),
        ("origin", "null", 403),
        ("x-babysit-token", "another", 403),
        ("x-babysit-token", "", 403),
        ("content-type", "text/plain", 415),
        ("content-type", "application/x-www-form-urlencoded", 415),
    ],
)
def test_a_wrong_one_is_as_bad_as_none(client, asking, store, name, value, status):
    before = everything(store)
    assert client.post(ADDRESS, content=STOP, headers={**asking, name: value}).status_code == status
    assert everything(store) == before


def test_a_page_of_this_start_may_ask(client, asking):
    answer = client.post(ADDRESS, content=STOP, headers=asking)
    assert answer.status_code == 202
    assert answer.json()["command"]["state"] == "asked"


def test_too_large_a_body_is_refused_before_it_is_read(client, asking, store):
    before = everything(store)
    body = b'{"kind": "stop", "argument": null' + b" " * LARGEST_BODY + b"}"
    assert client.post(ADDRESS, content=body, headers=asking).status_code == 413
    assert (
        client.post(ADDRESS, content=iter([body]), headers=asking).status_code == 413
    )  # it announced nothing
    assert client.post(ADDRESS, content=STOP, headers={**asking, "content-length": "x"}).status_code == 413
    assert everything(store) == before


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_do_nothing(client, method):
    assert client.request(method, "/s/1").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/static/x/../app.py",
        "/static/x/..%2fapp.py",
        "/static/x/%2e%2e/%2e%2e/app.py",
        "/static/x/%00base.js",
        "/static//etc/passwd",
        "/static/x/base.js/../../templates/base.html.j2",
        "/s/1/../../../etc/passwd",
        "/s/-1",
        "/s/99999999999999999999999",
        "/s/1e3",
        "/r/1/0/99999999999999999999",
        "//evil.example/",
    ],
)
def test_no_path_leads_anywhere_else(client, path):
    answer = client.get(HOST + path)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "import" not in answer.text


def test_static_files_are_those_in_the_table(client):
    for name, file in static_files().items():
        answer = client.get(f"/static/{edition()}/{name}")
        assert (answer.status_code, answer.content) == (200, file.plain)
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("path", ["/", "/s/1", "/nothing", "/healthz", "/changes?study=1&since=0"])
def test_every_answer_carries_the_headers(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_names_are_escaped(client):
    for path in ("/", "/s/2", "/s/2/curves"):
        assert "<script>alert" not in client.get(path).text
    assert "&lt;script&gt;alert(1)" in client.get("/s/2").text


class TestBeyondThisMachine:
    @pytest.fixture
    def far(self, store):
        rules = rules_for("0.0.0.0")
        serving = Serving(OpenStore(store), rules)
        client = TestClient(create_app(serving), base_url="http://192.168.1.7:8265", follow_redirects=False)
        yield client, rules
        serving.store.close()

    def test_nothing_is_shown_without_the_login(self, far):
        client, _ = far
        for path in ("/", "/s/1", "/changes?study=1&since=0", f"/static/{edition()}/base.js", "/healthz"):
            assert client.get(path).status_code == 401
        assert client.get("/?token=guess").status_code == 401

    def test_the_login_becomes_a_cookie_and_leaves_the_address(self, far):
        client, rules = far
        answer = client.get(f"/s/1?token={rules.login}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/s/1")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.get("/s/1").status_code == 200

    def test_it_leads_to_no_other_site(self, far):
        client, rules = far
        answer = client.get(f"http://192.168.1.7:8265//evil.example/?token={rules.login}")
        assert not answer.headers.get("location", "").startswith("//")

    def test_a_change_needs_the_token_all_the_same(self, far):
        client, rules = far
        client.get(f"/?token={rules.login}")
        headers = {"origin": "http://192.168.1.7:8265", "content-type": "application/json"}
        assert client.post(ADDRESS, content=STOP, headers=headers).status_code == 403

    def test_an_address_needs_no_name_but_a_name_must_be_known(self, far):
        client, rules = far
        client.get(f"/?token={rules.login}")
        assert client.get("/", headers={"host": "evil.example"}).status_code == 403


def test_this_machine_needs_no_login():
    assert [rules_for(host).login for host in ("127.0.0.1", "localhost", "::1")] == ["", "", ""]
    assert RequestRules().knows("127.0.0.1:1")
    assert not RequestRules().knows("192.168.1.7")
    assert host_name("[::1") == "::1"


segment = st.one_of(
    st.sampled_from(
        ["s", "r", "1", "2", "0", "7", "99", "commands", "curves", "static", "changes", "compare", ".."]
    ),
    st.text(max_size=12),
)
paths = st.lists(segment, max_size=5).map(lambda parts: "/" + "/".join(parts))
queries = st.dictionaries(
    st.sampled_from(["study", "since", "edition", "show", "token", "r", "key", "from", "to", "px"]),
    st.one_of(st.text(max_size=12), st.integers().map(str), st.floats().map(str)),
    max_size=4,
)
bodies = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(
        st.sampled_from(["kind", "argument", "x"]),
        st.one_of(
            st.none(), st.text(max_size=9), st.integers(), st.floats(), st.lists(st.integers(), max_size=2)
        ),
        max_size=3,
    ).map(lambda data: json.dumps(data).encode()),
)


@pytest.mark.slow
@settings(max_examples=1000)
@given(
    method=st.sampled_from(["GET", "GET", "POST"]),
    path=paths,
    query=queries,
    body=bodies,
    known=st.booleans(),
)
def test_a_thousand_requests_at_random_break_nothing(method, path, query, body, known, finished):
    headers = dict(finished.asking) if known else {}
    content = body if method == "POST" else None
    answer = finished.client.request(
        method, HOST + quote(path), params=query, headers=headers, content=content
    )
    assert answer.status_code < 500
    assert finished.was_not_changed()


class Finished:
    """A dashboard of a finished search: there is nothing in it that anybody could rightly ask for."""

    def __init__(self, path):
        self.serving = Serving(OpenStore(path), RequestRules(token="t"))
        app = create_app(self.serving)
        self.client = TestClient(app, base_url=HOST, raise_server_exceptions=False, follow_redirects=False)
        self.asking = {"origin": HOST, "x-babysit-token": "t", "content-type": "application/json"}
        self._watching = sqlite3.connect(path, check_same_thread=False)
        self._before = self._version()

    def _version(self):
        """A number that changes when any other connection writes."""
        return self._watching.execute("pragma data_version").fetchone()

    def was_not_changed(self):
        return self._version() == self._before

    def close(self):
        self._watching.close()
        self.serving.store.close()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("random") / "runs.db")
    with Writer(path) as writer:
        writer.finish_study(write_search(writer), State.COMPLETE, {})
    made = Finished(path)
    before = everything(path)
    yield made
    assert everything(path) == before
    made.close()


def test_the_watch_over_the_store_sees_a_change(tmp_path):
    """The test above would be worth nothing otherwise."""
    path = str(tmp_path / "runs.db")
    with Writer(path) as writer:
        study = write_search(writer)
        made = Finished(path)
        writer.finish_study(study, State.COMPLETE, {})
        assert not made.was_not_changed()
        made.close()
