// The official client of Anthropic.
import Anthropic from "@anthropic-ai/sdk";
import { ATTACK, ERRORS, FORBIDDEN, MAIL, TOOL_WORDS, TWO_TOOLS, WORDS, collected, drive } from "./driving.mjs";

const at = (url, maxRetries = 0) => new Anthropic({ baseURL: url, apiKey: "test", maxRetries });
const ask = (words, more = {}) => ({ model: "scripted", max_tokens: 1000, messages: [{ role: "user", content: words }], ...more });
const SCHEMA = { type: "object", properties: { to: { type: "string" } }, required: ["to"] };
const TOOLS = [{ name: "send_mail", input_schema: SCHEMA }];

const same = {};
const cases = {
  ...Object.fromEntries(WORDS.filter((words) => words !== "echo: ").map((words) => [words, ask(words)])),
  tool: ask(TOOL_WORDS, { tools: TOOLS }),
  tools: ask(TWO_TOOLS, { tools: TOOLS }),
  thinking: ask("think of a number", { thinking: { type: "enabled", budget_tokens: 1024 } }),
};
for (const [name, body] of Object.entries(cases)) {
  same[`plain ${name}`] = (url) => at(url).messages.create(body);
  same[`stream ${name}`] = async (url) => collected(await at(url).messages.create({ ...body, stream: true }));
  same[`helper ${name}`] = (url) => at(url).messages.stream(body).finalMessage();
}
same["beta"] = (url) =>
  at(url).beta.messages.create(ask("hello", { betas: ["context-management-2025-06-27"], context_management: { edits: [] } }));
same["beta stream"] = async (url) => collected(await at(url).beta.messages.create(ask("hello", { betas: ["fine-grained-tool-streaming-2025-05-14"], stream: true })));
same["count"] = (url) => at(url).messages.countTokens({ model: "scripted", messages: [{ role: "user", content: "one two" }] });
same["models"] = async (url) => collected(at(url).models.list());
for (const status of [...ERRORS, 529]) same[`error ${status}`] = (url) => at(url).messages.create(ask(`error ${status}`));

async function kept(stream, before) {
  for await (const item of stream) before.push(item);
}

const guarded = {
  block: (url) => at(url, 2).messages.create(ask(ATTACK)),
  "stream block": (url) => at(url, 2).messages.create(ask(ATTACK, { stream: true })),
  "answer block": (url) => at(url, 2).messages.create(ask(FORBIDDEN)),
  "stream stopped": async (url) => collected(await at(url, 2).messages.create(ask(FORBIDDEN, { stream: true }))),
  "helper stopped": (url) => at(url, 2).messages.stream(ask(FORBIDDEN)).finalMessage(),
  restored: async (url) => (await at(url).messages.stream(ask(`echo: ${MAIL}!`)).finalMessage()).content[0].text,
  cut: async (url, before) => kept(await at(url, 2).messages.create(ask("cut stream words: 40", { stream: true })), before),
  "helper cut": (url) => at(url, 2).messages.stream(ask("cut stream words: 40")).finalMessage(),
  reset: async (url, before) => kept(await at(url, 2).messages.create(ask("reset stream words: 40", { stream: true })), before),
};

await drive({ same, guarded });
