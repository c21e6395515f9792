// Pause at `interrupt()` and resume, as the LangGraph documentation shows it.
import { Client } from "@langchain/langgraph-sdk";
const client = new Client({ apiUrl: process.argv[2] });

// Using the graph deployed with the name "agent"
const assistantID = "agent";

// create a thread
const thread = await client.threads.create();
const threadID = thread["thread_id"];

// Run the graph until the interrupt is hit.
const result = await client.runs.wait(
  threadID,
  assistantID,
  { input: { "some_text": "original text" } }
);

console.log(result['__interrupt__']);

// Resume the graph
const final = await client.runs.wait(
    threadID,
    assistantID,
    { command: { resume: "Edited text" }}
);
console.log(final);

console.log(JSON.stringify({ thread_id: threadID, result, final }));
