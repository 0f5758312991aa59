"""LangChain over its OpenAI package: messages, streams, tools, structured outputs, embeddings."""

import os
from pathlib import Path

import litellm
import openai
import pydantic
import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


@tool
def get_weather(city: str, days: int) -> str:
    """The weather in a city."""
    return f"Sun in {city} for {days} days."


@pytest.fixture
def model(target):
    return ChatOpenAI(
        model=target.model(), base_url=target.base_url, api_key=target.keys["main"], max_retries=0
    )


def test_a_reply_has_text_and_usage(model, target):
    reply = model.invoke([SystemMessage("Be brief."), HumanMessage(target.text())])
    assert reply.content
    assert reply.usage_metadata["input_tokens"] > 0
    assert reply.usage_metadata["output_tokens"] > 0
    assert reply.response_metadata["finish_reason"] == "stop"


def test_a_stream_adds_up_and_ends_with_usage(model, target):
    whole = model.invoke(target.text())
    chunks = list(model.stream(target.text(), stream_usage=True))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert total.content == whole.content
    assert total.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]


def test_several_prompts_run_side_by_side(model, target):
    assert all(reply.content for reply in model.batch([target.text()] * 4))


def test_a_tool_is_called_and_its_result_is_taken(model, target):
    asked = [HumanMessage(target.text())]
    reply = model.bind_tools([get_weather], tool_choice="get_weather").invoke(asked)
    (call,) = reply.tool_calls
    assert set(call["args"]) == {"city", "days"}
    asked += [reply, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])]
    assert model.invoke(asked).content


class City(pydantic.BaseModel):
    """A city."""

    name: str
    inhabitants: int


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_a_structured_output_parses_into_its_model(model, target, method):
    assert isinstance(model.with_structured_output(City, method=method).invoke(target.text()), City)


@pytest.mark.needs("token-input")
def test_embeddings_are_asked_for_as_tokens(target, monkeypatch):
    # The tokens' vocabulary would be fetched from the network; another package here carries it.
    vocabulary = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", os.fspath(vocabulary))
    embeddings = OpenAIEmbeddings(
        model=target.model("embed"), base_url=target.base_url, api_key=target.keys["main"],
        tiktoken_model_name="text-embedding-3-small",
    )
    vectors = embeddings.embed_documents(["one two", "three"])
    assert len(vectors) == 2
    assert all(isinstance(value, float) for value in vectors[0])


def test_embeddings_are_asked_for_as_text(target):
    embeddings = OpenAIEmbeddings(
        model=target.model("embed"), base_url=target.base_url, api_key=target.keys["main"],
        check_embedding_ctx_length=False,
    )
    assert len(embeddings.embed_documents(["one", "two", "three"])) == 3


def test_an_unknown_model_is_not_found(model, target):
    with pytest.raises(openai.NotFoundError):
        model.model_copy(update={"model_name": "no-such-model"}).invoke(target.text())


@pytest.mark.needs("steady-errors")
def test_a_provider_error_raises_its_exception(model, target, status):
    with pytest.raises(openai.APIStatusError) as raised:
        model.invoke(target.text(f"status-{status}"))
    # A provider's own failures are the gateway's 502.
    assert raised.value.status_code == (502 if status == 500 else status)


@pytest.mark.anyio
async def test_the_asynchronous_client_streams(model, target):
    assert "".join([chunk.content async for chunk in model.astream(target.text())])
