"""What a user writes with the client that was generated from the gateway's OpenAPI document."""

import os

from tollgate_prompts import AuthenticatedClient
from tollgate_prompts.api.prompts import describe_summarize, list_prompts, run_classify_ticket, run_summarize
from tollgate_prompts.models import (
    Error,
    RunClassifyTicketBody,
    RunClassifyTicketBodyInputs,
    RunSummarizeBody,
    RunSummarizeBodyInputs,
    RunSummarizeBodyInputsAudience,
)

client = AuthenticatedClient(base_url=os.environ["TOLLGATE_URL"], token=os.environ["TOLLGATE_KEY"])

inputs = RunSummarizeBodyInputs(text="A long story.", audience=list(RunSummarizeBodyInputsAudience)[0])
answer = run_summarize.sync(client=client, body=RunSummarizeBody(inputs=inputs))
assert isinstance(answer.output, str) and answer.output, answer
assert answer.prompt == "summarize@1" and float(answer.cost_usd) > 0, answer

inputs = RunClassifyTicketBodyInputs(message="I was charged twice.")
answer = run_classify_ticket.sync(client=client, body=RunClassifyTicketBody(inputs=inputs))
assert isinstance(answer.output.urgent, bool) and isinstance(answer.output.topic, str), answer

described = describe_summarize.sync(client=client)
assert described.version == 1 and described.inputs.to_dict()["required"] == ["text"], described
assert len(list_prompts.sync(client=client).data) == 3

stranger = AuthenticatedClient(base_url=os.environ["TOLLGATE_URL"], token="sk-tg-nobody")
refused = run_summarize.sync(client=stranger, body=RunSummarizeBody(inputs=RunSummarizeBodyInputs(text="x")))
assert isinstance(refused, Error) and refused.error.code == "invalid_api_key", refused
