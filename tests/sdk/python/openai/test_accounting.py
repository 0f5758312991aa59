"""What the SDK saw is what the gateway's own figures say."""

import time
from decimal import Decimal

import openai
import pytest

try:
    import httpx2
except ImportError:
    import httpx as httpx2  # the older SDK's transport; the same interface


@pytest.fixture
def figures(target):
    """Reads the data plane's own figures with a tenant's key, once a call's row is there."""
    http = httpx2.Client(base_url=target.base_url)

    def read(path, account="second"):
        headers = {"authorization": f"Bearer {target.keys[account]}"}
        for _ in range(100):
            answer = http.get(path, headers=headers)
            if answer.status_code != 404:
                break
            time.sleep(0.05)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return read


def same(row, usage):
    assert row["input_tokens"] == usage.prompt_tokens
    assert row["output_tokens"] == usage.completion_tokens


def test_a_whole_calls_usage_is_what_the_sdk_saw(target, figures):
    reply = target.client("second").chat.completions.create(**target.chat())
    row = figures(f"/usage/{reply._request_id}")
    same(row, reply.usage)
    assert row["attempts"][-1]["output_provenance"] == "reported"
    assert Decimal(row["charged_usd"]) > 0


def test_a_streams_usage_is_what_the_sdk_saw(target, figures):
    client = target.client("second")
    raw = client.chat.completions.with_raw_response.create(
        **target.chat(), stream=True, stream_options={"include_usage": True}
    )
    usage = [chunk.usage for chunk in raw.parse()][-1]
    row = figures(f"/usage/{raw.headers['x-request-id']}")
    same(row, usage)


def test_a_stream_that_showed_no_usage_is_counted_alike(target, figures):
    client = target.client("second")
    whole = client.chat.completions.create(**target.chat())
    raw = client.chat.completions.with_raw_response.create(**target.chat(), stream=True)
    for _ in raw.parse():
        pass
    same(figures(f"/usage/{raw.headers['x-request-id']}"), whole.usage)


def test_another_tenant_cannot_read_the_row(target, figures):
    reply = target.client("second").chat.completions.create(**target.chat())
    figures(f"/usage/{reply._request_id}")
    answer = httpx2.get(
        f"{target.base_url}/usage/{reply._request_id}",
        headers={"authorization": f"Bearer {target.keys['main']}"},
    )
    assert answer.status_code == 404


def test_the_costs_are_the_sum_of_the_calls(target, figures):
    client = target.client("third")
    start = int(time.time()) - 86_400
    cost, inputs, outputs = Decimal(0), 0, 0
    for _ in range(3):
        reply = client.chat.completions.create(**target.chat())
        row = figures(f"/usage/{reply._request_id}", "third")
        cost += Decimal(row["charged_usd"])
        inputs += reply.usage.prompt_tokens
        outputs += reply.usage.completion_tokens
    # The SDK's own reporting calls, with the tenant's key where an organisation's would be.
    admin = openai.OpenAI(base_url=target.base_url, api_key="none", admin_api_key=target.keys["third"])
    costs = admin.admin.organization.usage.costs(start_time=start)
    results = [result for bucket in costs.data for result in bucket.results]
    assert sum(Decimal(str(result.amount.value)) for result in results) == cost
    assert {result.amount.currency for result in results} == {"usd"}
    usage = admin.admin.organization.usage.completions(start_time=start)
    results = [result for bucket in usage.data for result in bucket.results]
    assert sum(result.input_tokens for result in results) == inputs
    assert sum(result.output_tokens for result in results) == outputs
    assert sum(result.num_model_requests for result in results) == 3
