// Stop at breakpoints that were set at compile time, and go on with null as the input.
import { Client } from "@langchain/langgraph-sdk";
const client = new Client({ apiUrl: process.argv[2] });

const input = { visited: [] };

// Using the graph deployed with the name "agent"
const assistantID = "agent";

// create a thread
const thread = await client.threads.create();
const threadID = thread["thread_id"];

// Run the graph until the breakpoint
const result = await client.runs.wait(
  threadID,
  assistantID,
  { input: input }
);

// Resume the graph
const resumed = await client.runs.wait(
  threadID,
  assistantID,
  { input: null }
);

console.log(JSON.stringify({ thread_id: threadID, result, resumed }));
