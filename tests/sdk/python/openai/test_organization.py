"""The SDK's admin client reads use and costs from the gateway as it does from OpenAI."""

import time

import openai
import pytest


@pytest.fixture
def usage(target):
    admin = target.client("second", admin_api_key=target.keys["second"])
    if not hasattr(admin.admin.organization, "usage"):
        pytest.skip("this version has no client of these endpoints")
    return admin.admin.organization.usage


@pytest.mark.skipif(int(openai.__version__.split(".")[0]) < 3, reason="no admin client")
def test_the_admin_client_sums_up_what_was_used(target, usage):
    start = int(time.time()) - 3600

    def totals():
        page = usage.completions(start_time=start, bucket_width="1d", group_by=["project_id", "model"])
        assert page.object == "page"
        results = [result for bucket in page.data for result in bucket.results]
        return sum(r.num_model_requests for r in results), sum(r.output_tokens for r in results)

    before = totals()
    reply = target.client("second").chat.completions.create(**target.chat())
    for _ in range(200):
        after = totals()
        if after[0] > before[0]:
            break
        time.sleep(0.05)
    assert after[0] - before[0] >= 1
    assert after[1] - before[1] >= reply.usage.completion_tokens

    costs = usage.costs(start_time=start, group_by=["line_item"])
    results = [result for bucket in costs.data for result in bucket.results]
    assert results and all(result.object == "organization.costs.result" for result in results)
    assert all(result.line_item and result.amount.currency == "usd" for result in results)
    for kind in (usage.embeddings, usage.moderations, usage.images, usage.audio_speeches):
        assert kind(start_time=start).object == "page"
