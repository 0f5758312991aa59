"""Every error class with the exception that the SDK makes of it."""

import openai
import pytest

EXCEPTIONS = {
    400: openai.BadRequestError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}


def test_a_provider_error_raises_its_exception(target, status):
    client = target.client(max_retries=0)
    with pytest.raises(EXCEPTIONS[status]) as raised:
        client.chat.completions.create(**target.chat(f"status-{status}"))
    assert raised.value.message
    assert raised.value.request_id


def test_a_provider_error_before_a_stream_raises_its_exception(target, status):
    client = target.client(max_retries=0)
    with pytest.raises(EXCEPTIONS[status]):
        client.chat.completions.create(**target.chat(f"status-{status}"), stream=True)


def test_a_request_that_makes_no_sense_is_a_bad_request(client, target):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**target.chat(), max_completion_tokens=-1)
    assert raised.value.type == "invalid_request_error"
    assert raised.value.param == "max_completion_tokens"
    assert len(client.sent) == 1


def test_a_wrong_key_is_an_authentication_error(target):
    right = target.keys["main"]
    other_end = right[:-1] + ("1" if right.endswith("0") else "0")
    for key in ["sk-wrong", "", right + "x", other_end]:
        client = target.client(api_key=key or "none")
        with pytest.raises(openai.AuthenticationError) as raised:
            client.chat.completions.create(**target.chat())
        assert raised.value.code == "invalid_api_key"
        assert len(client.sent) == 1


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(
            model="no-such-model", messages=[{"role": "user", "content": "hi"}]
        )
    assert raised.value.code == "model_not_found"
    assert "no-such-model" in raised.value.message


def test_a_model_that_the_account_may_not_use_is_denied(target):
    client = target.client("bound")
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(**target.chat())
    assert len(client.sent) == 1


def test_an_error_inside_a_stream_raises(client, target, breaking):
    with pytest.raises(openai.APIError):
        for _ in client.chat.completions.create(**target.chat(breaking), stream=True):
            pass


def test_a_broken_call_is_not_the_end_of_the_next(client, target):
    with pytest.raises(openai.APIError):
        client.with_options(max_retries=0).chat.completions.create(
            model="no-such-model", messages=[]
        )
    assert client.chat.completions.create(**target.chat()).choices[0].message.content
