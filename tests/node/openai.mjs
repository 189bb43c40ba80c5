// The official client of OpenAI.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { ATTACK, ERRORS, FORBIDDEN, MAIL, SCHEMA_WORDS, TOOL_WORDS, TWO_TOOLS, WORDS, collected, drive } from "./driving.mjs";

const at = (url, maxRetries = 0) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "test", maxRetries });
const ask = (words, more = {}) => ({ model: "scripted", messages: [{ role: "user", content: words }], ...more });
const put = (words, more = {}) => ({ model: "scripted", input: words, ...more });
const Person = z.object({ name: z.string(), age: z.number() });
const PARAMETERS = { type: "object", properties: { to: { type: "string" } }, required: ["to"] };
const TOOLS = [{ type: "function", function: { name: "send_mail", parameters: PARAMETERS } }];
const FLAT_TOOLS = [{ type: "function", name: "send_mail", parameters: PARAMETERS, strict: false }];

const same = {};
const chat = {
  ...Object.fromEntries(WORDS.map((words) => [words, ask(words)])),
  tool: ask(TOOL_WORDS, { tools: TOOLS }),
  tools: ask(TWO_TOOLS, { tools: TOOLS }),
  "three choices": ask("hello", { n: 3, logprobs: true }),
};
for (const [name, body] of Object.entries(chat)) {
  same[`chat ${name}`] = (url) => at(url).chat.completions.create(body);
  same[`chat stream ${name}`] = async (url) =>
    collected(await at(url).chat.completions.create({ ...body, stream: true, stream_options: { include_usage: true } }));
}
same["chat helper"] = (url) => at(url).chat.completions.stream(ask("hello")).finalChatCompletion();
same["chat helper tool"] = (url) => at(url).chat.completions.stream(ask(TOOL_WORDS, { tools: TOOLS })).finalChatCompletion();
same["chat parse"] = (url) =>
  at(url).chat.completions.parse(ask(SCHEMA_WORDS, { response_format: zodResponseFormat(Person, "person") }));

const responses = {
  ...Object.fromEntries(WORDS.map((words) => [words, put(words)])),
  tool: put(TOOL_WORDS, { tools: FLAT_TOOLS }),
  tools: put(TWO_TOOLS, { tools: FLAT_TOOLS }),
};
for (const [name, body] of Object.entries(responses)) {
  same[`responses ${name}`] = (url) => at(url).responses.create(body);
  same[`responses stream ${name}`] = async (url) => collected(await at(url).responses.create({ ...body, stream: true }));
}
same["responses helper"] = (url) => at(url).responses.stream(put("hello")).finalResponse();
same["responses parse"] = (url) =>
  at(url).responses.parse(put(SCHEMA_WORDS, { text: { format: zodTextFormat(Person, "person") } }));
same["completions"] = (url) => at(url).completions.create({ model: "scripted", prompt: "hello" });
same["completions stream"] = async (url) =>
  collected(await at(url).completions.create({ model: "scripted", prompt: "hello", stream: true }));
same["embeddings"] = (url) => at(url).embeddings.create({ model: "scripted", input: ["hello", "there"] });
same["moderations"] = (url) => at(url).moderations.create({ model: "scripted", input: "hello" });
same["models"] = async (url) => collected(at(url).models.list());
for (const status of ERRORS) {
  same[`error ${status}`] = (url) => at(url).chat.completions.create(ask(`error ${status}`));
  same[`responses error ${status}`] = (url) => at(url).responses.create(put(`error ${status}`, { stream: true }));
}

async function kept(stream, before) {
  for await (const item of stream) before.push(item);
}

const guarded = {
  "chat block": (url) => at(url, 2).chat.completions.create(ask(ATTACK)),
  "chat stream block": (url) => at(url, 2).chat.completions.create(ask(ATTACK, { stream: true })),
  "responses block": (url) => at(url, 2).responses.create(put(ATTACK)),
  "responses stream block": (url) => at(url, 2).responses.create(put(ATTACK, { stream: true })),
  "embeddings block": (url) => at(url, 2).embeddings.create({ model: "scripted", input: ATTACK }),
  "chat answer block": (url) => at(url, 2).chat.completions.create(ask(FORBIDDEN)),
  "responses answer block": (url) => at(url, 2).responses.create(put(FORBIDDEN)),
  "chat stream stopped": async (url) => collected(await at(url, 2).chat.completions.create(ask(FORBIDDEN, { stream: true }))),
  "chat helper stopped": (url) => at(url, 2).chat.completions.stream(ask(FORBIDDEN)).finalChatCompletion(),
  "responses stream stopped": async (url) => collected(await at(url, 2).responses.create(put(FORBIDDEN, { stream: true }))),
  "chat restored": async (url) => (await at(url).chat.completions.create(ask(`echo: ${MAIL}!`))).choices[0].message.content,
  "responses restored": async (url) => (await at(url).responses.stream(put(`echo: ${MAIL}!`)).finalResponse()).output_text,
  "chat cut": async (url, before) => kept(await at(url, 2).chat.completions.create(ask("cut stream words: 40", { stream: true })), before),
  "chat helper cut": (url) => at(url, 2).chat.completions.stream(ask("cut stream words: 40")).finalChatCompletion(),
  "responses cut": async (url, before) => kept(await at(url, 2).responses.create(put("cut stream words: 40", { stream: true })), before),
  "responses helper cut": (url) => at(url, 2).responses.stream(put("cut stream words: 40")).finalResponse(),
  "chat reset": async (url, before) => kept(await at(url, 2).chat.completions.create(ask("reset stream words: 40", { stream: true })), before),
};

await drive({ same, guarded });
