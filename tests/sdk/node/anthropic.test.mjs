// Anthropic's SDK for Node.js as its users write it.
import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { SCHEMA, behaviours, keys, rootURL, seen } from "./target.mjs";

const asks = behaviours("anthropic_asks");
const make = (options) => new Anthropic({ baseURL: rootURL, apiKey: keys.second, ...options });
const client = make();
const ask = (name) => ({ ...asks.chat(name), max_tokens: 512 });
const tools = [{ name: "get_weather", input_schema: SCHEMA }];
const text = (message) =>
  message.content.filter((block) => block.type === "text").map((block) => block.text).join("");

test("a whole reply has text and usage", async () => {
  const message = await client.messages.create(ask());
  assert.ok(text(message));
  assert.equal(message.stop_reason, "end_turn");
  assert.ok(message.usage.input_tokens > 0);
  assert.ok(message.usage.output_tokens > 0);
});

test("a stream adds up to the whole reply", async () => {
  const whole = await client.messages.create(ask());
  const final = await client.messages.stream(ask()).finalMessage();
  assert.equal(text(final), text(whole));
  assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
});

test("a tool call streams and its result is taken", async () => {
  const asked = ask();
  const final = await client.messages.stream({ ...asked, tools, tool_choice: { type: "any" } }).finalMessage();
  const call = final.content.find((block) => block.type === "tool_use");
  assert.deepEqual(Object.keys(call.input).sort(), ["city", "days"]);
  asked.messages.push({ role: "assistant", content: final.content });
  const content = [{ type: "tool_result", tool_use_id: call.id, content: "Sun." }];
  asked.messages.push({ role: "user", content });
  const reply = await client.messages.create({ ...asked, tools, tool_choice: { type: "none" } });
  assert.ok(text(reply));
});

test("tokens are counted", async () => {
  assert.ok((await client.messages.countTokens(asks.chat())).input_tokens > 0);
});

for (const status of asks.statuses) {
  test(`a provider's ${status} raises its exception`, async () => {
    const once = make({ maxRetries: 0 });
    await assert.rejects(once.messages.create(ask(`status-${status}`)), { status: seen(status) });
  });
}

test("a wrong key is an authentication error", async () => {
  await assert.rejects(make({ apiKey: "sk-wrong" }).messages.create(ask()), Anthropic.AuthenticationError);
});

if (asks.has("truncated")) {
  test("a truncated stream raises", async () => {
    await assert.rejects(make().messages.stream(ask("truncated")).finalMessage());
  });
}
