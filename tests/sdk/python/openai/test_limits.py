"""Limits as a client meets them: a budget that is used up, and a rate that has only to be waited for."""

import openai
import pytest


def test_a_used_up_budget_is_refused_once_and_not_retried(target):
    client = target.client("poor")
    for _ in range(2):
        client.chat.completions.create(**target.chat())
    client.sent.clear()
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(**target.chat())
    error = raised.value
    assert len(client.sent) == 1
    assert error.type == "insufficient_quota"
    assert error.response.headers["x-should-retry"] == "false"
    assert "retry-after" not in error.response.headers
    assert error.body["account"].endswith("poor")
    assert error.body["resets_at"]
    for field in ["limit", "asked", "posted", "held", "available"]:
        assert field in error.body


def test_a_short_rate_limit_is_waited_for_by_the_sdk(target):
    client = target.client("brisk", max_retries=5)
    for _ in range(5):
        client.chat.completions.create(**target.chat())
    assert len(client.sent) > 5


def test_a_refused_rate_says_when_to_come_back(target):
    client = target.client("slow", max_retries=0)
    with pytest.raises(openai.RateLimitError) as raised:
        for _ in range(20):
            client.chat.completions.create(**target.chat())
    error = raised.value
    assert error.type == "rate_limit_exceeded"
    assert 0 < float(error.response.headers["retry-after-ms"]) <= 60_000
    assert 0 < float(error.response.headers["retry-after"]) <= 60


def test_the_headers_say_how_much_is_left(target):
    client = target.client("brisk", max_retries=5)
    raw = client.chat.completions.with_raw_response.create(**target.chat())
    headers = raw.headers
    assert int(headers["x-ratelimit-limit-requests"]) == 2
    assert 0 <= int(headers["x-ratelimit-remaining-requests"]) < 2
    assert headers["x-ratelimit-reset-requests"]


def test_one_tenants_empty_budget_is_not_anothers(target):
    assert target.client().chat.completions.create(**target.chat()).choices
