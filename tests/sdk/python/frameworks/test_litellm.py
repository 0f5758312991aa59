"""LiteLLM as a client, over OpenAI's wire and over Anthropic's."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network when it is imported

import json

import litellm
import pytest

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}


@pytest.fixture(params=["openai", "anthropic"])
def far(request):
    """The gateway by the wire that LiteLLM is told to speak."""
    return request.getfixturevalue("target" if request.param == "openai" else "claude"), request.param


def call(far, ask="chat", **more):
    target, wire = far
    chat = target.chat(ask)
    return litellm.completion(
        model=f"{wire}/{chat['model']}",
        messages=[{"role": "system", "content": "Be brief."}, *chat["messages"]],
        api_base=target.base_url if wire == "openai" else target.root_url,
        api_key=target.keys["main"], max_retries=0, **more,
    )


def test_a_reply_has_text_and_usage(far):
    reply = call(far)
    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.prompt_tokens > 0
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_a_stream_adds_up_and_ends_with_usage(far):
    whole = call(far)
    chunks = list(call(far, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    usages = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None)]
    assert usages[-1].completion_tokens == whole.usage.completion_tokens
    assert usages[-1].prompt_tokens == whole.usage.prompt_tokens


def test_a_tool_is_called(far):
    reply = call(far, tools=[WEATHER], tool_choice="required")
    assert reply.choices[0].finish_reason == "tool_calls"
    (tool,) = reply.choices[0].message.tool_calls
    assert set(json.loads(tool.function.arguments)) == {"city", "days"}


def test_a_tool_call_streams(far):
    arguments = ""
    for chunk in call(far, tools=[WEATHER], tool_choice="required", stream=True):
        for tool in chunk.choices[0].delta.tool_calls or []:
            arguments += tool.function.arguments or ""
    assert set(json.loads(arguments)) == {"city", "days"}


def test_texts_are_embedded(target):
    reply = litellm.embedding(
        model=f"openai/{target.model('embed')}", input=["one", "two"], api_base=target.base_url,
        api_key=target.keys["main"],
    )
    assert len(reply.data) == 2


@pytest.mark.needs("steady-errors")
def test_a_provider_error_raises_its_exception(target, status):
    with pytest.raises(Exception) as raised:
        call((target, "openai"), f"status-{status}")
    # A provider's own failures are the gateway's 502.
    assert raised.value.status_code == (502 if status == 500 else status)
