// The official client of MCP, over HTTP and over standard streams, in both revisions.
//
// In: the addresses of the servers `stream` and `json` as JSON, and the base URLs of a proxy that changes nothing and of one that
// guards; two commands as JSON: a server and the same behind a guard; public servers as JSON, each {name, direct, guarded, calls}.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { ATTACK, MAIL, ODD_WORDS, drive } from "./driving.mjs";

const [direct, guarded, publics] = process.argv.slice(5).map((word) => JSON.parse(word));
const MODES = { "2025-11-25": "legacy", "2026-07-28": { pin: "2026-07-28" } };

const at = (url, kind) => (url === process.argv[2] ? JSON.parse(url)[kind] : `${url}/mcp/${kind}`);

function over(target) {
  if (Array.isArray(target)) return new StdioClientTransport({ command: target[0], args: target.slice(1), stderr: "ignore" });
  return new StreamableHTTPClientTransport(new URL(target));
}

async function within(target, mode, run) {
  const heard = [];
  const client = new Client(
    { name: "judge", version: "1" },
    { capabilities: { elicitation: {}, sampling: {}, roots: {} }, versionNegotiation: { mode } },
  );
  client.setRequestHandler("elicitation/create", async (request) => {
    heard.push(request.params);
    return { action: "accept", content: { street: "Long Lane 3", floor: 2 } };
  });
  client.setRequestHandler("sampling/createMessage", async (request) => {
    heard.push(request.params);
    return { role: "assistant", content: { type: "text", text: `roses, ${ODD_WORDS}` }, model: "tiny", stopReason: "endTurn" };
  });
  await client.connect(over(target));
  try {
    const found = await run(client, heard);
    return { found, heard };
  } finally {
    await client.close();
  }
}

const call = (name, args = {}, options = {}) => (client) => client.callTool({ name, arguments: args }, options);
const CASES = {
  server: async (client) => [client.getServerVersion(), client.getServerCapabilities(), client.getInstructions()],
  tools: (client) => client.listTools(),
  prompts: (client) => client.listPrompts(),
  resources: (client) => client.listResources(),
  templates: (client) => client.listResourceTemplates(),
  echo: call("echo", { text: ODD_WORDS }),
  large: call("echo", { text: "x".repeat(100000) }),
  weather: call("weather", { city: "Oslo" }),
  fails: call("fails", { reason: "none" }),
  wrong: call("echo", { test: 1 }),
  "asks user": call("asks_user"),
  // The client forgets who listens once it has the result, before it hands out notices that came with it in one read. So it is
  // asked again until all came apart from it.
  counts: async (client, heard) => {
    for (let attempt = 0; ; attempt++) {
      const own = [];
      const asked = { name: "counts", arguments: { to: 4 } };
      const result = await client.callTool(asked, { onprogress: (progress) => own.push(progress) });
      if (own.length === 4 || attempt === 50) {
        heard.push(...own);
        return result;
      }
    }
  },
  prompt: (client) => client.getPrompt({ name: "greet", arguments: { name: "Ada" } }),
  memo: (client) => client.readResource({ uri: "memo://one" }),
  page: (client) => client.readResource({ uri: "memo://three/page" }),
  complete: (client) =>
    client.complete({ ref: { type: "ref/prompt", name: "greet" }, argument: { name: "name", value: "Ad" } }),
  many: async (client) => Promise.all([1, 2, 3, 4].map((number) => call("echo", { text: `number ${number}` })(client))),
  "error prompt": (client) => client.getPrompt({ name: "none" }),
  "error page": (client) => client.readResource({ uri: "memo://nothing" }),
  "error late": call("waits", {}, { timeout: 200 }),
};
const OF_SESSIONS = { "asks model": call("asks_model"), "breaks off": call("breaks_off") };

const same = {};
for (const [revision, mode] of Object.entries(MODES)) {
  for (const [name, run] of Object.entries(CASES)) {
    for (const kind of ["stream", "json"]) {
      if (kind === "json" && name === "asks user" && mode === "legacy") continue; // such a server cannot ask
      same[`${kind} ${revision} ${name}`] = (url) => within(at(url, kind), mode, run);
    }
  }
}
for (const [name, run] of Object.entries(OF_SESSIONS)) {
  same[`stream 2025-11-25 ${name}`] = (url) => within(at(url, "stream"), "legacy", run);
}
same["stream session ends"] = async (url) => {
  const transport = new StreamableHTTPClientTransport(new URL(at(url, "stream")));
  const client = new Client({ name: "judge", version: "1" });
  await client.connect(transport);
  const has = Boolean(transport.sessionId);
  await transport.terminateSession();
  return [has, transport.sessionId ?? null];
};
const both = (pair, run) => (url) => run(url === process.argv[2] ? pair.direct : pair.guarded);
const tour = (calls) => async (client) => {
  const found = [await client.listTools()];
  for (const [name, args] of calls) found.push(await client.callTool({ name, arguments: args }));
  return found;
};
for (const [revision, mode] of Object.entries(MODES)) {
  const all = async (client, heard) => {
    const found = [];
    for (const name of ["tools", "echo", "weather", "fails", "asks user", "counts", "prompt", "memo"]) {
      found.push(await CASES[name](client, heard));
    }
    return found;
  };
  same[`stdio ${revision}`] = both({ direct, guarded }, (target) => within(target, mode, all));
}
for (const server of publics) {
  same[`public ${server.name}`] = both(server, (target) => within(target, "legacy", tour(server.calls)));
}

const guardedCases = {};
for (const [revision, mode] of Object.entries(MODES)) {
  guardedCases[`${revision} block`] = (url) => within(at(url, "stream"), mode, call("echo", { text: ATTACK }));
  guardedCases[`${revision} restored`] = async (url) => {
    const { found } = await within(at(url, "json"), mode, call("echo", { text: `${MAIL}!` }));
    return [found.content[0].text, found.structuredContent.result];
  };
}

await drive({ same, guarded: guardedCases });
