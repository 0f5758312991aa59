"""The gateway under test, as the Rust test that started it describes it.

TOLLGATE_SDK is a JSON document: base_url, keys by the account's nickname, `asks` (how this target is
brought to behave in a certain way, as a model and words to say to it), the same for clients of
Anthropic's wire, and `lacks`: what the far side cannot do, so that tests marked as needing it are left
out.
"""

import json
import os

import openai
import pytest

TARGET = json.loads(os.environ["TOLLGATE_SDK"])


class Target:
    base_url = TARGET["base_url"]
    root_url = TARGET["base_url"].removesuffix("/v1")
    keys = TARGET["keys"]

    def __init__(self, asks):
        self.asks = TARGET[asks]

    def client(self, account="main", **options):
        """A client as a user makes it, and the list of requests that it truly sends."""
        sent = []
        http = openai.DefaultHttpxClient(verify=False, event_hooks={"request": [sent.append]})
        options.setdefault("api_key", self.keys.get(account))
        client = openai.OpenAI(base_url=self.base_url, http_client=http, **options)
        client.sent = sent
        return client

    def chat(self, ask="chat", say=""):
        """The arguments of a chat call that brings the behaviour about."""
        return {"model": self.model(ask), "messages": [{"role": "user", "content": self.text(ask, say)}]}

    def text(self, ask="chat", say=""):
        """The words that bring the behaviour about."""
        return f"Name a city. {self.asks[ask][1]} {say}".strip()

    def model(self, ask="chat"):
        return self.asks[ask][0]


@pytest.fixture(scope="session")
def target():
    return Target("asks")


@pytest.fixture(scope="session")
def claude():
    """The same gateway, as a client of Anthropic's wire meets it."""
    return Target("anthropic_asks")


@pytest.fixture
def client(target):
    return target.client()


@pytest.fixture
def anyio_backend():
    return "asyncio"


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(what, ...): what the far side must be able to do")


def pytest_collection_modifyitems(items):
    def can(item):
        needs = [what for mark in item.iter_markers("needs") for what in mark.args]
        return not set(needs) & set(TARGET["lacks"])

    items[:] = [item for item in items if can(item)]


def pytest_generate_tests(metafunc):
    """Behaviours that only some targets have are parameters, so that a target without one has no test
    of it: `status` is each provider error, `refusing` and so on the name of the behaviour itself."""
    asks = TARGET["anthropic_asks" if "claude" in metafunc.fixturenames else "asks"]
    names = {"refusing": "refusal", "breaking": "error-inside", "cutting": "truncated", "capped": "long"}
    names |= {"drawing": "draw", "speaking": "speak", "listening": "listen", "judging": "judge"}
    for fixture, name in names.items():
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, [name] if name in asks else [])
    if "status" in metafunc.fixturenames:
        metafunc.parametrize("status", sorted(int(n[7:]) for n in asks if n.startswith("status-")))
