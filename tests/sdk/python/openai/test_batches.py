"""Files and batches, as OpenAI's guide uses them."""

import io
import json
import time

import openai
import pytest


def lines(target, count):
    def line(number):
        body = target.chat(say=f"Number {number}.")
        url = "/v1/chat/completions"
        return {"custom_id": f"line-{number}", "method": "POST", "url": url, "body": body}

    return "\n".join(json.dumps(line(number)) for number in range(count)).encode()


def over(client, batch):
    for _ in range(600):
        batch = client.batches.retrieve(batch.id)
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            return batch
        time.sleep(0.05)
    pytest.fail(f"the batch is not over: {batch}")


def begin(client, content, **options):
    file = client.files.create(file=("lines.jsonl", io.BytesIO(content)), purpose="batch")
    options.setdefault("endpoint", "/v1/chat/completions")
    return client.batches.create(input_file_id=file.id, completion_window="24h", **options)


def test_a_file_is_kept_listed_read_and_deleted(client):
    file = client.files.create(file=("a.jsonl", b"{}\n"), purpose="batch")
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", 3, "a.jsonl", "batch")
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == b"{}\n"
    assert file.id in [one.id for one in client.files.list(purpose="batch", limit=1)]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_a_batch_is_answered_line_by_line(target, client):
    batch = begin(client, lines(target, 20), metadata={"job": "nightly"})
    assert batch.status == "validating"
    batch = over(client, batch)
    assert batch.status == "completed", batch
    assert batch.metadata == {"job": "nightly"}
    assert (batch.request_counts.total, batch.request_counts.completed) == (20, 20)
    output = client.files.content(batch.output_file_id).text.splitlines()
    answers = {line["custom_id"]: line for line in map(json.loads, output)}
    assert len(output) == len(answers) == 20
    for line in answers.values():
        reply = openai.types.chat.ChatCompletion.model_validate(line["response"]["body"])
        assert line["response"]["status_code"] == 200 and line["error"] is None
        assert reply.usage.total_tokens > 0
    assert batch.id in [one.id for one in client.batches.list(limit=2)]


def test_a_batch_that_makes_no_sense_says_where(target, client):
    batch = over(client, begin(client, lines(target, 2) + b"\n{"))
    assert batch.status == "failed"
    assert [(error.line, error.code) for error in batch.errors.data] == [(3, "invalid_json_line")]


def test_a_batch_can_be_cancelled(target, client):
    batch = client.batches.cancel(begin(client, lines(target, 2000)).id)
    assert batch.status in ("cancelling", "cancelled")
    assert over(client, batch).status == "cancelled"
