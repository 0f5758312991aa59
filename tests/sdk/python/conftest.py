"""The gateway under test, as the Rust test that started it describes it.

TOLLGATE_SDK is a JSON document: base_url, keys by the account's nickname, and `asks`: how this
target is brought to behave in a certain way, as a model and words to say to it.
"""

import json
import os

import openai
import pytest

TARGET = json.loads(os.environ["TOLLGATE_SDK"])


class Target:
    base_url = TARGET["base_url"]
    keys = TARGET["keys"]
    asks = TARGET["asks"]

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
        model, words = self.asks[ask]
        text = f"Name a city. {words} {say}".strip()
        return {"model": model, "messages": [{"role": "user", "content": text}]}

    def model(self, ask):
        return self.asks[ask][0]


@pytest.fixture(scope="session")
def target():
    return Target()


@pytest.fixture
def client(target):
    return target.client()


def pytest_generate_tests(metafunc):
    """`status` runs over the provider errors that this target can produce, `refusing` over its
    ways to refuse."""
    if "refusing" in metafunc.fixturenames:
        metafunc.parametrize("refusing", [name for name in TARGET["asks"] if name == "refusal"])
    if "status" in metafunc.fixturenames:
        found = [int(name[7:]) for name in TARGET["asks"] if name.startswith("status-")]
        metafunc.parametrize("status", sorted(found))
