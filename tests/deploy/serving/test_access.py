"""Access control: keys, hosts, origins."""

import pytest

from deploy.serving import __main__ as command
from tests.deploy.serving.stub import served

KEY = "a-key-of-enough-characters"


def test_requests_without_a_key_are_refused_except_on_public_paths(shelf, tmp_path):
    with served(shelf, tmp_path, key=KEY) as server:
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": f"Basic {KEY}"},
            {"x_api_key": f"{KEY}x"},
        ):
            answer = server.post("/v1/classify", {"inputs": "a"}, **headers)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert (
            server.get("/models").status == server.get("/openapi.json").status == server.get("/nothing").status == 401
        )
        for path in ("/healthz", "/readyz", "/ping", "/metrics", "/docs", "/docs.js"):
            assert server.get(path).status == 200
        assert server.asks(authorization=f"Bearer {KEY}") == server.asks(x_api_key=KEY) == (200, "1")
        assert server.metric('glassformer_serving_rejected_total{reason="key"}') == 7


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]", "localhost@evil"])
def test_unknown_host_headers_are_refused(server, host):
    answer = server.post("/v1/classify", {"inputs": "a"}, host=host)
    assert answer.status == 400
    assert "start the server with --allowed-host" in answer.json()["message"]


def test_local_and_allowed_hosts_are_served(shelf, tmp_path):
    with served(shelf, tmp_path, hosts={"models.example.org"}) as server:
        for host in ("localhost:8000", "127.0.0.1", "[::1]:80", "models.example.org", "MODELS.example.org:443"):
            assert server.asks(host=host) == (200, "1"), host


def test_foreign_origins_are_forbidden_unless_allowed(shelf, tmp_path):
    with served(shelf, tmp_path, origins={"https://app.example.org"}) as server:
        for origin in ("https://evil.example", "null", "http://localhost:1"):
            answer = server.post("/v1/classify", {"inputs": "a"}, origin=origin)
            assert answer.status == 403
            assert "access-control-allow-origin" not in answer.headers
        answer = server.post("/v1/classify", {"inputs": "a"}, origin="https://app.example.org")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://app.example.org")
        assert server.post("/v1/classify", {"inputs": "a"}, origin=f"http://127.0.0.1:{server.port}").status == 200
        answer = server.pool.request("OPTIONS", "/v1/classify", headers={"origin": "https://app.example.org"})
        assert (answer.status, answer.headers["access-control-allow-methods"]) == (204, "GET, POST")


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["--host", "0.0.0.0"], {}, "anyone who can reach it"),
        (["--host", "0.0.0.0"], {"GLASSFORMER_API_KEY": "short"}, "that of GLASSFORMER_API_KEY has not"),
        (["--host", "0.0.0.0"], {"GLASSFORMER_API_KEY": "with a space in its middle"}, "ASCII without spaces"),
        (["--key-file", "/nowhere/key"], {}, "--key-file /nowhere/key: No such file or directory"),
        (["--host", "no.such.host.invalid", "--key-file", "KEY"], {}, "--host no.such.host.invalid: "),
        (["../../etc/passwd"], {}, "'../../etc/passwd' is no name of a registered model"),
        ([".."], {}, "is no name of a registered model"),
    ],
)
def test_invalid_startup_options_are_refused(tmp_path, monkeypatch, capsys, arguments, environment, told):
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path))
    monkeypatch.delenv("GLASSFORMER_API_KEY", raising=False)
    (tmp_path / "key").write_text("a-key-of-enough-characters")
    arguments = [str(tmp_path / "key") if one == "KEY" else one for one in arguments]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert command.main(["--port", "0", *arguments]) == 2
    assert told in capsys.readouterr().err


WRONG = (("--canary", "101"), ("--workers", "0"), ("--poll", "never"), ("--queue", "-1"), ("--port", "99999"))


@pytest.mark.parametrize("arguments", WRONG)
def test_a_parameter_out_of_its_range_is_an_error(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
