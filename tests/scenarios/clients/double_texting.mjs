// Send a second text while the first is being answered, with the `interrupt` strategy.
import { Client } from "@langchain/langgraph-sdk";

function prettyPrint(m) {
  const padded = " " + m['type'] + " ";
  const sepLen = Math.floor((80 - padded.length) / 2);
  const sep = "=".repeat(sepLen);
  const secondSep = sep + (padded.length % 2 ? "=" : "");

  console.log(`${sep}${padded}${secondSep}`);
  console.log("\n\n");
  console.log(m.content);
}

const client = new Client({ apiUrl: process.argv[2] });
// Using the graph deployed with the name "agent"
const assistantId = "agent";
const thread = await client.threads.create();

// the first run will be interrupted
let interruptedRun = await client.runs.create(
  thread["thread_id"],
  assistantId,
  { input: { messages: [{ role: "human", content: "what's the weather in sf?" }] } }
);
// sleep a bit to get partial outputs from the first run
await new Promise(resolve => setTimeout(resolve, 2000));

let run = await client.runs.create(
  thread["thread_id"],
  assistantId,
  {
    input: { messages: [{ role: "human", content: "what's the weather in nyc?" }] },
    multitaskStrategy: "interrupt"
  }
);

// wait until the second run completes
await client.runs.join(thread["thread_id"], run["run_id"]);

const state = await client.threads.getState(thread["thread_id"]);

for (const m of state['values']['messages']) {
  prettyPrint(m);
}

const first_status = (await client.runs.get(thread['thread_id'], interruptedRun["run_id"]))["status"];
console.log(first_status);

console.log(JSON.stringify({ thread_id: thread["thread_id"], state, first_status }));
