"""Embeddings in each form that clients ask for, and the list of models."""

import openai
import pytest


def test_the_default_form_decodes_to_floats(client, target):
    reply = client.embeddings.create(model=target.model("embed"), input="one two three")
    assert len(reply.data) == 1
    assert all(isinstance(value, float) for value in reply.data[0].embedding)


@pytest.mark.needs("embedding-usage")
def test_the_usage_of_embeddings_is_all_input(client, target):
    usage = client.embeddings.create(model=target.model("embed"), input="one two three").usage
    assert usage.total_tokens == usage.prompt_tokens > 0


@pytest.mark.needs("base64")
def test_floats_and_base64_are_the_same_vector(client, target):
    ask = {"model": target.model("embed"), "input": "the same text"}
    decoded = client.embeddings.create(**ask).data[0].embedding
    floats = client.embeddings.create(**ask, encoding_format="float").data[0].embedding
    packed = client.embeddings.create(**ask, encoding_format="base64").data[0].embedding
    assert isinstance(packed, str)
    assert floats == pytest.approx(decoded, rel=1e-6)


def test_many_texts_come_back_in_order(client, target):
    texts = [f"text number {number}" for number in range(20)]
    reply = client.embeddings.create(model=target.model("embed"), input=texts)
    assert [row.index for row in reply.data] == list(range(20))


@pytest.mark.needs("token-input")
def test_tokens_may_be_given_instead_of_text(client, target):
    model = target.model("embed")
    one = client.embeddings.create(model=model, input=[9906, 1917])
    many = client.embeddings.create(model=model, input=[[9906, 1917], [9906]])
    assert (len(one.data), len(many.data)) == (1, 2)
    assert many.usage.prompt_tokens > one.usage.prompt_tokens


def test_the_models_are_listed(client, target):
    names = [model.id for model in client.models.list()]
    assert names
    assert all(isinstance(name, str) for name in names)


def test_a_model_is_found_by_each_listed_name(client):
    # The SDK percent-encodes the name, the slash between provider and model too.
    for model in client.models.list():
        assert client.models.retrieve(model.id).id == model.id


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")
