"""Google's SDK as its users write it: whole, streamed, tools, structured outputs, counting, vectors, errors."""

import pydantic
import pytest
from google import genai
from google.genai import errors, types


def make(target, version=None, key=None):
    options = types.HttpOptions(
        base_url=target.root_url,
        api_version=version,
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    return genai.Client(api_key=key or target.keys["main"], http_options=options)


@pytest.fixture(params=[None, "v1beta"])
def client(target, request):
    """Asks at the version of the API that the SDK takes by itself, and at the one before."""
    return make(target, request.param)


def ask(target, name="chat", say="", **config):
    config.setdefault("max_output_tokens", 512)
    config = types.GenerateContentConfig(**config)
    return {"model": target.model(name), "contents": target.text(name, say), "config": config}


def test_a_whole_reply_has_text_and_usage(client, target):
    reply = client.models.generate_content(**ask(target, system_instruction="Be brief."))
    assert reply.text
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    usage = reply.usage_metadata
    assert usage.prompt_token_count > 0
    assert usage.candidates_token_count > 0
    assert usage.total_token_count >= usage.prompt_token_count + usage.candidates_token_count


def test_a_stream_adds_up_to_the_whole_reply(client, target):
    whole = client.models.generate_content(**ask(target))
    pieces = list(client.models.generate_content_stream(**ask(target)))
    assert "".join(piece.text or "" for piece in pieces) == whole.text
    assert pieces[-1].candidates[0].finish_reason == types.FinishReason.STOP
    counts = [reply.usage_metadata.candidates_token_count for reply in (whole, pieces[-1])]
    assert counts[0] == counts[1]


def test_a_cap_ends_the_reply_for_its_length(client, target, capped):
    reply = client.models.generate_content(**ask(target, capped, max_output_tokens=3))
    assert reply.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert reply.usage_metadata.candidates_token_count <= 3


WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="The weather in a city.",
            parameters=types.Schema(
                type="OBJECT",
                properties={"city": types.Schema(type="STRING"), "days": types.Schema(type="INTEGER")},
                required=["city", "days"],
            ),
        )
    ]
)


def tools(mode):
    calling = types.FunctionCallingConfig(mode=mode)
    return {"tools": [WEATHER], "tool_config": types.ToolConfig(function_calling_config=calling)}


def test_a_tool_is_called_and_its_result_is_taken(client, target):
    asked = ask(target, **tools("ANY"))
    reply = client.models.generate_content(**asked)
    (call,) = reply.function_calls
    assert call.name == "get_weather"
    assert set(call.args) == {"city", "days"}
    response = types.FunctionResponse(id=call.id, name=call.name, response={"result": "Sun."})
    asked["contents"] = [
        types.Content(role="user", parts=[types.Part(text=asked["contents"])]),
        reply.candidates[0].content,
        types.Content(role="user", parts=[types.Part(function_response=response)]),
        types.Content(role="user", parts=[types.Part(text=target.text(say="Thank you."))]),
    ]
    asked["config"] = types.GenerateContentConfig(**tools("NONE"))
    assert client.models.generate_content(**asked).text


def test_a_tool_call_streams(client, target):
    pieces = client.models.generate_content_stream(**ask(target, **tools("ANY")))
    (call,) = [call for piece in pieces for call in piece.function_calls or []]
    assert (call.name, set(call.args)) == ("get_weather", {"city", "days"})


class City(pydantic.BaseModel):
    name: str
    inhabitants: int


def test_a_reply_keeps_to_a_schema(client, target):
    config = {"response_mime_type": "application/json", "response_schema": City}
    reply = client.models.generate_content(**ask(target, **config))
    assert isinstance(reply.parsed, City)


def test_tokens_are_counted(client, target):
    counted = client.models.count_tokens(model=target.model(), contents="Name a city.")
    longer = client.models.count_tokens(model=target.model(), contents="Name a city. " * 20)
    assert 0 < counted.total_tokens < longer.total_tokens


def test_texts_become_vectors(client, target):
    reply = client.models.embed_content(model=target.model("embed"), contents=["one", "two"])
    assert len(reply.embeddings) == 2
    assert all(embedding.values for embedding in reply.embeddings)


def test_a_wrong_key_and_an_unknown_model_are_googles_errors(client, target):
    stranger = make(target, key="sk-tg-wrong")
    with pytest.raises(errors.ClientError) as refused:
        stranger.models.generate_content(**ask(target))
    assert (refused.value.code, refused.value.status) == (401, "UNAUTHENTICATED")
    with pytest.raises(errors.ClientError) as unknown:
        client.models.generate_content(model="no-such-model", contents="hi")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")


def test_a_spent_budget_is_googles_error(target):
    poor = make(target, key=target.keys["slow"])
    with pytest.raises(errors.ClientError) as spent:
        for _ in range(5):
            poor.models.generate_content(**ask(target))
    assert (spent.value.code, spent.value.status) == (429, "RESOURCE_EXHAUSTED")


@pytest.mark.needs("steady-errors")
def test_an_error_of_the_provider_is_googles_error(client, target, status):
    with pytest.raises(errors.APIError) as failed:
        client.models.generate_content(**ask(target, f"status-{status}"))
    # Where the provider is at fault the gateway says so as a gateway does.
    assert failed.value.code == (502 if status == 500 else status)
