"""LlamaIndex with an OpenAI-like endpoint: chat, streams, tools, structured outputs, embeddings."""

import openai
import pydantic
import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike


def get_weather(city: str, days: int) -> str:
    """The weather in a city."""
    return f"Sun in {city} for {days} days."


@pytest.fixture
def llm(target):
    return OpenAILike(
        model=target.model(), api_base=target.base_url, api_key=target.keys["main"], max_retries=0,
        is_chat_model=True, is_function_calling_model=True, should_use_structured_outputs=True,
    )


def messages(target, ask="chat"):
    return [ChatMessage("Be brief.", role="system"), ChatMessage(target.text(ask))]


def test_a_reply_has_text_and_usage(llm, target):
    reply = llm.chat(messages(target))
    assert reply.message.content
    assert reply.raw.usage.prompt_tokens > 0


def test_a_stream_adds_up_to_the_whole_reply(llm, target):
    whole = llm.chat(messages(target)).message.content
    parts = list(llm.stream_chat(messages(target)))
    assert "".join(part.delta for part in parts) == parts[-1].message.content == whole


def test_a_completion_goes_by_chat(llm, target):
    assert llm.complete(target.text()).text


def test_a_tool_is_called(llm, target):
    weather = FunctionTool.from_defaults(get_weather)
    reply = llm.chat_with_tools([weather], user_msg=target.text(), tool_required=True)
    (call,) = llm.get_tool_calls_from_response(reply)
    assert call.tool_name == "get_weather"
    assert set(call.tool_kwargs) == {"city", "days"}


class City(pydantic.BaseModel):
    """A city."""

    name: str
    inhabitants: int


def test_a_structured_output_parses_into_its_model(llm, target):
    reply = llm.as_structured_llm(City).chat(messages(target))
    assert isinstance(reply.raw, City)


def test_texts_are_embedded(target):
    embedding = OpenAILikeEmbedding(
        model_name=target.model("embed"), api_base=target.base_url, api_key=target.keys["main"]
    )
    assert len(embedding.get_text_embedding_batch(["one", "two", "three"])) == 3


@pytest.mark.needs("steady-errors")
def test_a_provider_error_raises_its_exception(llm, target, status):
    with pytest.raises(openai.APIStatusError) as raised:
        llm.chat(messages(target, f"status-{status}"))
    # A provider's own failures are the gateway's 502.
    assert raised.value.status_code == (502 if status == 500 else status)


@pytest.mark.anyio
async def test_the_asynchronous_client_streams(llm, target):
    parts = [part async for part in await llm.astream_chat(messages(target))]
    assert parts[-1].message.content
