// The AI SDK of Vercel, with its providers for OpenAI (chat and responses) and Anthropic.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, streamText, tool } from "ai";
import { z } from "zod";
import { ATTACK, FORBIDDEN, MAIL, ODD_WORDS, SCHEMA_WORDS, TOOL_WORDS, drive } from "./driving.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const MODELS = {
  chat: (url) => createOpenAI({ baseURL: `${url}/v1`, apiKey: "test" }).chat("scripted"),
  responses: (url) => createOpenAI({ baseURL: `${url}/v1`, apiKey: "test" }).responses("scripted"),
  anthropic: (url) => createAnthropic({ baseURL: `${url}/v1`, apiKey: "test" })("scripted"),
};
const tools = { send_mail: tool({ description: "Sends a mail", inputSchema: z.object({ to: z.string(), n: z.number().optional() }) }) };
const schema = z.object({ name: z.string(), age: z.number() });

// Without identifiers and times that the SDK makes itself.
const VOLATILE = new Set(["id", "responseId", "timestamp", "headers", "request", "response", "messageId", "providerMetadata"]);
function plain(value) {
  return JSON.parse(JSON.stringify(value, (key, inner) => (VOLATILE.has(key) ? undefined : inner)));
}

async function whole(model, words, more = {}) {
  const { text, reasoningText, toolCalls, finishReason, usage, response } = await generateText({ model, prompt: words, ...more });
  return plain({ text, reasoningText, toolCalls, finishReason, usage, answer: response.body });
}

async function streamed(model, words, before, more = {}) {
  const parts = before ?? [];
  const result = streamText({ model, prompt: words, onError: () => {}, ...more });
  for await (const part of result.fullStream) {
    if (part.type === "error") throw part.error;
    parts.push(plain(part));
  }
  return parts;
}

const same = {};
const guarded = {};
for (const [name, at] of Object.entries(MODELS)) {
  for (const words of ["hello", ODD_WORDS, "refuse", "think of a number"]) {
    same[`${name} ${words}`] = (url) => whole(at(url), words, { maxRetries: 0 });
    same[`${name} stream ${words}`] = (url, before) => streamed(at(url), words, before, { maxRetries: 0 });
  }
  same[`${name} tool`] = (url) => whole(at(url), TOOL_WORDS, { tools });
  same[`${name} stream tool`] = (url, before) => streamed(at(url), TOOL_WORDS, before, { tools });
  if (name !== "anthropic") {
    same[`${name} object`] = async (url) => plain((await generateObject({ model: at(url), prompt: SCHEMA_WORDS, schema })).object);
  }
  for (const status of [400, 429, 500]) {
    same[`${name} error ${status}`] = (url) => whole(at(url), `error ${status}`, { maxRetries: 0 });
  }
  guarded[`${name} block`] = (url) => whole(at(url), ATTACK);
  guarded[`${name} stream block`] = (url, before) => streamed(at(url), ATTACK, before);
  guarded[`${name} answer block`] = (url) => whole(at(url), FORBIDDEN);
  guarded[`${name} stream stopped`] = (url, before) => streamed(at(url), FORBIDDEN, before);
  guarded[`${name} restored`] = async (url) => (await whole(at(url), `echo: ${MAIL}!`)).text;
  guarded[`${name} cut`] = (url, before) => streamed(at(url), "cut stream words: 40", before);
  guarded[`${name} reset`] = (url, before) => streamed(at(url), "reset stream words: 40", before);
}

await drive({ same, guarded });
