// The gateway under test, as the Rust test that started it describes it in TOLLGATE_SDK.
const TARGET = JSON.parse(process.env.TOLLGATE_SDK);

export const baseURL = TARGET.base_url;
export const rootURL = TARGET.base_url.replace(/\/v1$/, "");
export const keys = TARGET.keys;

// Whether the far side can do it.
export const can = (what) => !TARGET.lacks.includes(what);

// The status that a client sees: a provider's own failures are the gateway's 502.
export const seen = (status) => (status === 500 ? 502 : status);

// The behaviours that the target has for clients of a wire, and the arguments that bring one about.
export function behaviours(asks) {
  return {
    has: (name) => name in TARGET[asks],
    model: (name = "chat") => TARGET[asks][name][0],
    chat: (name = "chat") => {
      const [model, words] = TARGET[asks][name];
      return { model, messages: [{ role: "user", content: `Name a city. ${words}`.trim() }] };
    },
    statuses: Object.keys(TARGET[asks])
      .filter((name) => name.startsWith("status-"))
      .map((name) => Number(name.slice(7))),
  };
}

export const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
