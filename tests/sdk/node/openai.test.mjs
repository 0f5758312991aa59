// OpenAI's SDK for Node.js as its users write it.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { SCHEMA, baseURL, behaviours, can, keys, seen } from "./target.mjs";

const asks = behaviours("asks");
const make = (options) => new OpenAI({ baseURL, apiKey: keys.main, ...options });
const client = make();
const tools = [{ type: "function", function: { name: "get_weather", parameters: SCHEMA } }];

test("a whole reply has text and usage", async () => {
  const reply = await client.chat.completions.create(asks.chat());
  assert.ok(reply.choices[0].message.content);
  assert.equal(reply.choices[0].finish_reason, "stop");
  assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
  assert.ok(reply._request_id);
});

test("a stream adds up to the whole reply and ends with the usage that was asked for", async () => {
  const whole = await client.chat.completions.create(asks.chat());
  const options = { stream: true, stream_options: { include_usage: true } };
  let text = "";
  let last;
  for await (const chunk of await client.chat.completions.create({ ...asks.chat(), ...options })) {
    text += chunk.choices[0]?.delta.content ?? "";
    last = chunk;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(last.usage.completion_tokens, whole.usage.completion_tokens);
});

test("a tool call streams and its result is taken", async () => {
  const asked = asks.chat();
  const call = { ...asked, tools, tool_choice: "required" };
  const final = await client.chat.completions.stream(call).finalChatCompletion();
  const message = final.choices[0].message;
  assert.deepEqual(Object.keys(JSON.parse(message.tool_calls[0].function.arguments)).sort(), ["city", "days"]);
  const { role, content, tool_calls } = message;
  asked.messages.push({ role, content, tool_calls });
  asked.messages.push({ role: "tool", tool_call_id: tool_calls[0].id, content: "Sun." });
  const reply = await client.chat.completions.create({ ...asked, tools, tool_choice: "none" });
  assert.ok(reply.choices[0].message.content);
});

test("a structured output parses", async () => {
  const schema = {
    type: "object",
    properties: { name: { type: "string" }, inhabitants: { type: "integer" } },
    required: ["name", "inhabitants"],
    additionalProperties: false,
  };
  const format = { type: "json_schema", json_schema: { name: "City", schema, strict: true } };
  const reply = await client.chat.completions.parse({ ...asks.chat(), response_format: format });
  assert.deepEqual(Object.keys(JSON.parse(reply.choices[0].message.content)).sort(), ["inhabitants", "name"]);
});

test("texts are embedded", async () => {
  const reply = await client.embeddings.create({ model: asks.model("embed"), input: ["one", "two"] });
  assert.equal(reply.data.length, 2);
  assert.equal(typeof reply.data[0].embedding[0], "number");
});

test("several choices come apart", { skip: can("choices") ? false : "the far side has one" }, async () => {
  const reply = await client.chat.completions.create({ ...asks.chat(), n: 2 });
  assert.deepEqual(reply.choices.map((choice) => choice.index), [0, 1]);
});

for (const status of asks.statuses) {
  test(`a provider's ${status} raises its exception`, async () => {
    const once = make({ maxRetries: 0 });
    await assert.rejects(once.chat.completions.create(asks.chat(`status-${status}`)), { status: seen(status) });
  });
}

test("a wrong key is an authentication error", async () => {
  const wrong = make({ apiKey: "sk-wrong" });
  await assert.rejects(wrong.chat.completions.create(asks.chat()), OpenAI.AuthenticationError);
});

test("a used-up budget is refused once and not retried", async () => {
  let sent = 0;
  const counting = (...request) => (sent++, fetch(...request));
  const poor = make({ apiKey: keys.poor, fetch: counting });
  await poor.chat.completions.create(asks.chat());
  await poor.chat.completions.create(asks.chat());
  sent = 0;
  await assert.rejects(poor.chat.completions.create(asks.chat()), OpenAI.RateLimitError);
  assert.equal(sent, 1);
});

test("the models are listed and found by name", async () => {
  for await (const model of client.models.list()) {
    assert.equal((await client.models.retrieve(model.id)).id, model.id);
  }
});

if (asks.has("truncated")) {
  test("a truncated stream raises", async () => {
    const stream = await client.chat.completions.create({ ...asks.chat("truncated"), stream: true });
    await assert.rejects(async () => {
      for await (const _ of stream);
    }, OpenAI.APIError);
  });
}
