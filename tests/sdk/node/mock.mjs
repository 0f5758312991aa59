// The mock of the model providers (OpenAI's, Anthropic's and Gemini's wires on one port), with answers to
// what the tests ask. Prints its address.
import { LLMock } from "@copilotkit/aimock";

const CITY = { name: "Bern", inhabitants: 134000 };
const WEATHER = { name: "get_weather", arguments: { city: "Bern", days: 3 } };

// In the words of either wire.
const USAGE = { prompt_tokens: 11, completion_tokens: 9, input_tokens: 11, output_tokens: 9 };

const mock = new LLMock({ port: 0, host: "127.0.0.1", logLevel: "silent" });

for (const status of [400, 404, 429, 500]) {
  const error = { message: `The mock answers ${status}.`, type: "mock_error" };
  mock.onMessage(new RegExp(`Fail with ${status}`), { error, status });
}
mock.on({ predicate: (request) => mustCall(request, "get_weather") }, { toolCalls: [WEATHER], usage: USAGE });
mock.on({ predicate: (request) => mustCall(request, "City") }, {
  toolCalls: [{ name: "City", arguments: CITY }],
  usage: USAGE,
});
mock.on({ responseFormat: "json_schema" }, { content: JSON.stringify(CITY), usage: USAGE });
// Anthropic's field for it does not reach the mock's matching.
mock.onMessage(/As JSON/, { content: JSON.stringify(CITY), usage: USAGE });
mock.onEmbedding(/.*/, { embedding: [0.25, -0.5, 0.125] });
mock.onMessage(/.*/, { content: "Bern is a city in Switzerland, by the Aare.", usage: USAGE });

function mustCall(request, tool) {
  const offered = (request.tools ?? []).some((one) => one.function?.name === tool);
  const answered = request.messages.at(-1)?.role === "tool";
  return offered && !answered && !/none/.test(JSON.stringify(request.tool_choice ?? "auto"));
}

console.log(await mock.start());
