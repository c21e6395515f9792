// Text on while the first text is being answered, with `merge`, `steer` and `debounce`.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@langchain/langgraph-sdk";

const client = new Client({ apiUrl: process.argv[2], callerOptions: { maxRetries: 0 } });
const gate = join(mkdtempSync(join(tmpdir(), "gate")), "gate");
const metadata = { multitask_strategy: "reject" };
const threadId = (await client.threads.create({ metadata }))["thread_id"];

async function text(word, multitaskStrategy, how = {}) {
  const input = { text: word, gate };
  const run = await client.runs.create(threadId, "gated", { input, multitaskStrategy, ...how });
  return run["run_id"];
}

// A run that has read its text and is held at the gate.
async function first(word, seen) {
  rmSync(gate, { force: true });
  const runId = await text(word, "enqueue");
  while (true) {
    const { values } = await client.threads.getState(threadId);
    if ((values?.log ?? []).length === seen) return runId;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// The run that answered each, and how each ended.
async function answered(...runIds) {
  const runs = await Promise.all(runIds.map((runId) => client.runs.get(threadId, runId)));
  return runs.map((run) => [run.metadata.answered_by_run_id ?? null, run.status]);
}

async function status(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return error.status;
  }
}

const one = await first("one", 1);
const refused = await status(() => text("no", undefined));
const merged = [await text("two", "merge"), await text("three", "merge")];
writeFileSync(gate, "");
const merge = await client.runs.join(threadId, merged[0]);

const four = await first("four", 7);
const five = await text("five", "steer");
writeFileSync(gate, "");
const steer = await client.runs.join(threadId, five);

const invalid = await status(() => text("six", "debounce"));
const how = { afterSeconds: 0.5 };
const waited = [await text("six", "debounce", how), await text("seven", "debounce", how)];
const debounce = await client.runs.join(threadId, waited[0]);

console.log(JSON.stringify({
  refused,
  merge: merge.log,
  merged: await answered(one, ...merged),
  steer: steer.log,
  steered: await answered(four, five),
  invalid,
  debounce: debounce.log,
  debounced: await answered(...waited),
  runs: [one, ...merged, four, five, ...waited],
}));
