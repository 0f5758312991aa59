"""Anthropic's SDK as its users write it: whole, streamed, tools, structured outputs, counting, errors."""

import anthropic
import pydantic
import pytest

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
        "additionalProperties": False,
    },
}

EXCEPTIONS = {
    400: anthropic.BadRequestError,
    404: anthropic.NotFoundError,
    409: anthropic.ConflictError,
    422: anthropic.UnprocessableEntityError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    503: anthropic.InternalServerError,
}


def make(claude, **options):
    options.setdefault("api_key", claude.keys["main"])
    return anthropic.Anthropic(base_url=claude.root_url, **options)


@pytest.fixture
def client(claude):
    return make(claude)


def ask(claude, name="chat", say=""):
    return claude.chat(name, say) | {"max_tokens": 512}


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def test_a_whole_reply_has_text_and_usage(client, claude):
    message = client.messages.create(**ask(claude), system="Be brief.")
    assert text_of(message)
    assert message.role == "assistant"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id


def test_a_stream_adds_up_to_the_whole_reply(client, claude):
    whole = client.messages.create(**ask(claude))
    with client.messages.stream(**ask(claude)) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == text_of(final) == text_of(whole)
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens


def test_the_events_come_in_their_order(client, claude):
    kinds = [event.type for event in client.messages.create(**ask(claude), stream=True)]
    kinds = [kind for kind in kinds if kind != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


def test_a_cap_ends_the_reply_for_its_length(client, claude, capped):
    message = client.messages.create(**claude.chat(capped), max_tokens=3)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens <= 3


def test_a_tool_is_called_and_its_result_is_taken(client, claude):
    asked = ask(claude)
    tools = {"tools": [WEATHER], "tool_choice": {"type": "any"}}
    message = client.messages.create(**asked, **tools)
    assert message.stop_reason == "tool_use"
    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert call.name == "get_weather"
    assert set(call.input) == {"city", "days"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sun."}
    asked["messages"] += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]},
        {"role": "user", "content": [result, {"type": "text", "text": claude.text(say="Thank you.")}]},
    ]
    reply = client.messages.create(**asked, tools=[WEATHER], tool_choice={"type": "none"})
    assert text_of(reply)


def test_a_tool_call_streams(client, claude):
    tools = {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "get_weather"}}
    with client.messages.stream(**ask(claude), **tools) as stream:
        final = stream.get_final_message()
    (call,) = [block for block in final.content if block.type == "tool_use"]
    assert call.id
    assert set(call.input) == {"city", "days"}


class City(pydantic.BaseModel):
    name: str
    inhabitants: int


def test_a_structured_output_parses_into_its_model(client, claude):
    message = client.messages.parse(**ask(claude, say="As JSON."), output_format=City)
    assert isinstance(message.parsed_output, City)


def test_tokens_are_counted(client, claude):
    few = client.messages.count_tokens(**claude.chat())
    many = client.messages.count_tokens(**claude.chat(say="And a few words more than before. " * 50))
    assert 0 < few.input_tokens < many.input_tokens


def test_a_bearer_token_is_taken_like_a_key(claude):
    client = make(claude, api_key=None, auth_token=claude.keys["main"])
    assert text_of(client.messages.create(**ask(claude)))


def test_a_provider_error_raises_its_exception(claude, status):
    client = make(claude, max_retries=0)
    with pytest.raises(EXCEPTIONS[status]) as raised:
        client.messages.create(**ask(claude, f"status-{status}"))
    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["message"]
    assert raised.value.request_id


def test_a_wrong_key_is_an_authentication_error(claude):
    with pytest.raises(anthropic.AuthenticationError) as raised:
        make(claude, api_key="sk-wrong").messages.create(**ask(claude))
    assert raised.value.body["error"]["type"] == "authentication_error"


def test_an_unknown_model_is_not_found(client, claude):
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.messages.create(**ask(claude) | {"model": "no-such-model"})
    assert "no-such-model" in raised.value.body["error"]["message"]


def test_a_used_up_budget_is_refused_once(claude):
    client = make(claude, api_key=claude.keys["poor"])
    for _ in range(2):
        client.messages.create(**ask(claude))
    with pytest.raises(anthropic.RateLimitError) as raised:
        client.messages.create(**ask(claude))
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.body["error"]["type"] == "billing_error"


def test_a_truncated_stream_raises(client, claude, cutting):
    with pytest.raises(anthropic.APIError):
        for _ in client.messages.create(**ask(claude, cutting), stream=True):
            pass


@pytest.mark.anyio
async def test_the_asynchronous_client_streams(claude):
    client = anthropic.AsyncAnthropic(base_url=claude.root_url, api_key=claude.keys["main"])
    async with client.messages.stream(**ask(claude)) as stream:
        text = "".join([piece async for piece in stream.text_stream])
    assert text
