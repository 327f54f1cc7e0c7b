"""From a model's name to a model."""

from __future__ import annotations

import json

import pytest

import turnwise
from turnwise.config import load_config
from turnwise.errors import ConfigError, DataError, EndpointError
from turnwise.llm.chat import ChatRequest
from turnwise.llm.drive import run_one
from turnwise.llm.endpoint import without_login
from turnwise.llm.settings import ClientConfig
from turnwise.llm.usage import Usage

ASK = ChatRequest([{"role": "user", "content": "hello"}])


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("qwen@http://localhost:8000/v1", "qwen@http://localhost:8000/v1"),
        ("qwen@HTTP://LOCALHOST:80/v1/", None),
        ("qwen@http://LocalHost:80/v1/", "qwen@http://localhost/v1"),
        ("qwen@http://127.0.0.1:1/v1/chat/completions", "qwen@http://127.0.0.1:1/v1"),
        ("org/a@b@http://[::1]:8000/v1", "org/a@b@http://[::1]:8000/v1"),
        ("m@http://user:password9@localhost/v1?key=abcdefgh9", "m@http://localhost/v1"),
    ],
)
def test_an_endpoints_name_is_model_and_address_without_what_opens_it(spec, name):
    if name is None:
        with pytest.raises(ConfigError, match="names no model"):
            turnwise.open_model(spec)
        return
    model = turnwise.open_model(spec)
    assert model.name == name
    assert "password9" not in repr(model)


def test_openai_is_the_official_address_or_that_of_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "0123456789")
    assert turnwise.open_model("openai:gpt-4").name == "gpt-4@https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:9/v1")
    assert turnwise.open_model("openai:gpt-4").name == "gpt-4@http://localhost:9/v1"


def test_a_key_is_needed_elsewhere_but_not_on_this_machine():
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY is not set[\s\S]*api_key_env"):
        turnwise.open_model("m@https://example.com/v1")
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        turnwise.open_model("m@https://example.com/v1", ClientConfig(api_key_env="MY_KEY"))
    with pytest.raises(ConfigError, match="OPENAI_API_KEY is not set"):
        turnwise.open_model("m@https://example.com/v1", ClientConfig(headers={"X-Team": "dialogue"}))
    turnwise.open_model("m@https://user:password9@example.com/v1")
    turnwise.open_model("m@https://example.com/v1", ClientConfig(api_key_env=None))
    turnwise.open_model("m@http://localhost/v1")


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("gpt-4", "names no model"),
        ("Qwen/Qwen2.5-7B", "local:Qwen/Qwen2.5-7B"),
        ("", "names no model"),
        ("openai:", "expected a model's name"),
        ("local:", "expected a folder or a hub name"),
        ("@http://localhost/v1", "names no model"),
        ("m@http://", "address cannot be read"),
        ("m@http://localhost:99999/v1", "address cannot be read"),
        ("ftp://localhost/v1", "names no model"),
    ],
)
def test_a_name_that_cannot_be_read_is_refused_with_the_spellings_there_are(spec, complaint):
    with pytest.raises(ConfigError) as caught:
        turnwise.open_model(spec)
    assert complaint in str(caught.value)


def test_a_script_answers_is_counted_and_not_kept(tmp_path):
    script = tmp_path / "s.jsonl"
    script.write_text(json.dumps({"reply": ["one", "two"]}))
    usage = Usage()
    model = turnwise.open_model(f"scripted:{script}", cache=tmp_path / "c.sqlite", usage=usage)
    assert [run_one(model.reply(ASK)).text for _ in range(2)] == ["one", "two"]
    assert (usage.replies, usage.cached) == (2, 0)
    with pytest.raises(DataError):
        turnwise.open_model(f"scripted:{tmp_path / 'none'}")


def test_the_only_model_that_is_served_needs_no_name(serve):
    model = turnwise.open_model(serve(models=["the/one"]).url)
    assert model.name.startswith("the/one@http://127.0.0.1:")


def test_of_several_served_models_one_has_to_be_named(serve):
    server = serve(models=["a", "b"])
    with pytest.raises(EndpointError, match=r"expected one served model, found 2 \(a, b\)[\s\S]*MODEL@http"):
        turnwise.open_model(server.url)
    with pytest.raises(EndpointError, match=r"cannot be asked|status 404"):
        turnwise.open_model(server.url.removesuffix("/v1"))


def test_no_server_at_all_is_said_when_it_is_asked_and_not_tried_again():
    with pytest.raises(EndpointError, match="cannot be asked which models"):
        turnwise.open_model("http://127.0.0.1:9/v1")
    usage = Usage()
    model = turnwise.open_model("m@http://127.0.0.1:9/v1", usage=usage)
    with pytest.raises(
        EndpointError, match=r"m@http://127.0.0.1:9/v1: no connection[\s\S]*is the server running"
    ) as caught:
        run_one(model.reply(ASK))
    assert usage.sent == 1
    assert "ssl" not in str(caught.value)


def test_a_cost_limit_needs_prices():
    with pytest.raises(ConfigError, match="max_cost needs the prices"):
        turnwise.open_model("m@http://localhost/v1", ClientConfig(max_cost=1.0))


def test_limits_of_the_settings_hold_for_the_usage_that_is_shared():
    usage = Usage(max_requests=100)
    turnwise.open_model("m@http://localhost/v1", ClientConfig(max_requests=7), usage=usage)
    assert usage.max_requests == 7


def test_a_secret_may_not_stand_in_the_settings_only_its_variable(tmp_path, monkeypatch):
    path = tmp_path / "client.yaml"
    path.write_text("headers: {X-Api-Key: abc}\n")
    with pytest.raises(ConfigError, match="write it as"):
        load_config(ClientConfig, path)
    settings = ClientConfig(headers={"X-Api-Key": "${GATEWAY_KEY}", "X-Team": "dialogue"})
    with pytest.raises(ConfigError, match="GATEWAY_KEY is not set"):
        turnwise.open_model("m@http://localhost/v1", settings)
    monkeypatch.setenv("GATEWAY_KEY", "abcdefgh12345")
    assert "abcdefgh12345" not in repr(turnwise.open_model("m@https://example.com/v1", settings))
    assert "abcdefgh12345" not in settings.model_dump_json()


@pytest.mark.parametrize(
    "name", ["X-Auth-Token", "Ocp-Apim-Subscription-Key", "anthropic-api-key", "CF-Access-Client-Secret"]
)
def test_headers_that_look_like_secrets_are_taken_for_secrets(name):
    with pytest.raises(ConfigError, match="write it as"):
        load_config(ClientConfig, values={"headers": {name: "abc"}})


def test_a_key_in_place_of_its_variables_name_is_refused_and_not_shown():
    key = "sk-" + "secretsecret12345"
    with pytest.raises(ConfigError, match="no name of an environment variable") as caught:
        turnwise.open_model("m@https://example.com/v1", ClientConfig(api_key_env=key))
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("m@http://user:password9@host:8000/v1?key=abc", "m@http://host:8000/v1"),
        ("https://user@host/v1", "https://host/v1"),
        ("m@http://host/v1?key=abc", "m@http://host/v1"),
        ("m@http://user:pass@host:port/v1", "m@(an address that cannot be read)"),
        ("m@http://host/v1/", "m@http://host/v1/"),
        ("openai:gpt-4o", "openai:gpt-4o"),
        ("runs/first/model", "runs/first/model"),
    ],
)
def test_an_address_is_shown_without_what_opens_it(spec, shown):
    assert without_login(spec) == shown


def test_a_local_model_gets_the_settings_that_are_its_own(tmp_path, monkeypatch):
    """A bare folder and `local:` mean the same; the cache is the same as for endpoints."""
    import sys
    import types

    from turnwise.llm.scripted import ScriptedModel

    asked = []

    def build(path, **settings):
        asked.append((path, settings))
        return ScriptedModel(lambda request: "x", name=f"local:{path}#digest")

    module = types.ModuleType("turnwise.llm.local")
    module.LocalModel = build
    monkeypatch.setitem(sys.modules, "turnwise.llm.local", module)
    folder = tmp_path / "model"
    folder.mkdir()
    settings = ClientConfig(batch_size=3, device="cpu", dtype="float32", max_length=99, constrained=True)
    for spec in (str(folder), f"local:{folder}"):
        model = turnwise.open_model(spec, settings, cache=tmp_path / "c.sqlite")
        last = run_one(model.reply(ASK)).cached
    assert last
    expected = {"batch_size": 3, "device": "cpu", "dtype": "float32", "max_length": 99, "constrained": True}
    expected["close_replies"] = False
    assert asked == [(str(folder), expected)] * 2
