"""Chat as the SDK's users write it: whole, streamed, tools, structured outputs, choices."""

import json

import openai
import pydantic
import pytest

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}


def total_is_the_sum(usage):
    return usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_whole_reply_has_text_and_usage(client, target):
    reply = client.chat.completions.create(**target.chat())
    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.completion_tokens > 0
    assert total_is_the_sum(reply.usage)
    assert reply._request_id


def test_a_stream_shows_no_usage_that_was_not_asked_for(client, target):
    chunks = list(client.chat.completions.create(**target.chat(), stream=True))
    assert all(chunk.usage is None for chunk in chunks)
    assert all(len(chunk.choices) == 1 for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_a_stream_ends_with_the_usage_that_was_asked_for(client, target):
    whole = client.chat.completions.create(**target.chat())
    chunks = list(
        client.chat.completions.create(
            **target.chat(), stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content


def test_a_cap_ends_the_reply_for_its_length(client, target, capped):
    reply = client.chat.completions.create(**target.chat(capped), max_completion_tokens=3)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens <= 3


@pytest.mark.needs("choices")
def test_several_choices_come_apart(client, target):
    reply = client.chat.completions.create(**target.chat(), n=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert all(choice.message.content for choice in reply.choices)


@pytest.mark.needs("choices")
def test_several_choices_stream_apart(client, target):
    texts = ["", ""]
    for chunk in client.chat.completions.create(**target.chat(), n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts[0] and texts[1]


def test_content_may_come_in_parts(client, target):
    model, words = target.asks["chat"]
    parts = [{"type": "text", "text": "Name a city."}, {"type": "text", "text": words or "Please."}]
    reply = client.chat.completions.create(
        model=model,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": parts},
        ],
    )
    assert reply.choices[0].message.content


def test_a_tool_is_called(client, target):
    reply = client.chat.completions.create(
        **target.chat(), tools=[WEATHER], tool_choice="required"
    )
    assert reply.choices[0].finish_reason == "tool_calls"
    (call,) = reply.choices[0].message.tool_calls
    assert call.id
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city", "days"}


def test_a_tool_call_streams_and_its_result_is_taken(client, target):
    ask = target.chat()
    with client.chat.completions.stream(
        **ask, tools=[WEATHER], tool_choice="required"
    ) as stream:
        final = stream.get_final_completion()
    message = final.choices[0].message
    (call,) = message.tool_calls
    assert set(json.loads(call.function.arguments)) == {"city", "days"}
    ask["messages"] += [
        message.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}),
        {"role": "tool", "tool_call_id": call.id, "content": "Sun."},
    ]
    reply = client.chat.completions.create(**ask, tools=[WEATHER], tool_choice="none")
    assert reply.choices[0].message.content


class City(pydantic.BaseModel):
    name: str
    inhabitants: int


def test_a_structured_output_parses_into_its_model(client, target):
    reply = client.chat.completions.parse(**target.chat(), response_format=City)
    assert isinstance(reply.choices[0].message.parsed, City)


def test_a_structured_output_streams_into_its_model(client, target):
    with client.chat.completions.stream(**target.chat(), response_format=City) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, City)


@pytest.mark.needs("logprobs")
def test_log_probabilities_come_through(client, target):
    reply = client.chat.completions.create(**target.chat(), logprobs=True, top_logprobs=1)
    tokens = reply.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == reply.choices[0].message.content
    assert all(token.logprob <= 0 for token in tokens)


def test_a_refusal_comes_through(client, target, refusing):
    reply = client.chat.completions.create(**target.chat(refusing))
    assert reply.choices[0].message.refusal
    assert not reply.choices[0].message.content


def test_a_refusal_streams_through(client, target, refusing):
    refusal = ""
    for chunk in client.chat.completions.create(**target.chat(refusing), stream=True):
        refusal += chunk.choices[0].delta.refusal or ""
    assert refusal


def test_a_truncated_stream_raises(client, target, cutting):
    with pytest.raises(openai.APIError) as raised:
        for _ in client.chat.completions.create(**target.chat(cutting), stream=True):
            pass
    assert raised.value.message


@pytest.mark.anyio
async def test_the_asynchronous_client_streams(target):
    client = openai.AsyncOpenAI(base_url=target.base_url, api_key=target.keys["main"])
    text = ""
    async for chunk in await client.chat.completions.create(**target.chat(), stream=True):
        text += chunk.choices[0].delta.content or ""
    assert text
