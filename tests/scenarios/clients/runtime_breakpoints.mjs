// Stop at breakpoints that are given with the run.
import { Client } from "@langchain/langgraph-sdk";
const client = new Client({ apiUrl: process.argv[2] });

const input = { visited: [] };
const assistantID = "agent";
const threadID = (await client.threads.create())["thread_id"];

const result = await client.runs.wait(
    threadID,
    assistantID,
    {
    input: input,
    interruptBefore: ["node_a"],
    interruptAfter: ["node_b", "node_c"]
    }
)

// The breakpoints hold for that run only: they are given again to stop again.
const resumed = await client.runs.wait(
    threadID,
    assistantID,
    {
    input: null,
    interruptBefore: ["node_a"],
    interruptAfter: ["node_b", "node_c"]
    }
)

console.log(JSON.stringify({ thread_id: threadID, result, resumed }));
