// The npm package llm_guardrail, as quality_peers.py has the Python ones: the same lines of JSON in and out.
// Run by node in a folder where it is installed (`npm install llm_guardrail`): `node quality_peers.mjs FOLDER`.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const folder = join(process.argv[2], "node_modules", "llm_guardrail");
const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
const guard = await import(pathToFileURL(join(folder, "index.js")));
console.log(JSON.stringify({ "llm_guardrail": about.version }));
for await (const line of createInterface({ input: process.stdin })) {
  const answers = [];
  for (const text of JSON.parse(line).texts) {
    const begun = process.cpuUsage();
    const result = await guard.checkAll(text);
    const took = process.cpuUsage(begun);
    const parts = [result.injection, result.jailbreak];
    const score = Math.max(...parts.map((one) => one.confidence));
    answers.push([score, parts.some((one) => one.detected), took.user + took.system]);
  }
  console.log(JSON.stringify(answers));
}
