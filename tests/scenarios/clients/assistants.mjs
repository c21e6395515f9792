// Make an assistant, change it, run it, take it back, and look at its graph.
import { Client } from "@langchain/langgraph-sdk";
const client = new Client({ apiUrl: process.argv[2] });
const assistants = client.assistants;

const made = await assistants.create({
    graphId: "configured", context: { model: "old" }, metadata: { team: "x" }, name: "Mine",
});
const ident = made.assistant_id;
const same = await assistants.create({
    graphId: "configured", assistantId: ident, ifExists: "do_nothing",
});

async function model() {
    const threadID = (await client.threads.create())["thread_id"];
    return (await client.runs.wait(threadID, ident, { input: {} })).model;
}

const models = [await model()];
const changed = await assistants.update(ident, {
    config: { configurable: { model: "new" } }, metadata: { n: 1 }, description: "d",
});
models.push(await model());
const versions = await assistants.getVersions(ident, { limit: 5 });
const back = await assistants.setLatest(ident, 1);
models.push(await model());

const search = { metadata: { team: "x" }, graphId: "configured", limit: 1 };
const found = await assistants.search(search);
const count = await assistants.count({ metadata: { team: "x" } });
const graph = await assistants.getGraph(ident, { xray: true });
const schemas = await assistants.getSchemas(ident);
const subgraphs = await assistants.getSubgraphs(ident, { recurse: true });

const other = (await assistants.create({ graphId: "configured" })).assistant_id;
await assistants.delete(other, { deleteThreads: true });
const left = (await assistants.search({ graphId: "configured" })).map((one) => one.assistant_id);

console.log(JSON.stringify({
    assistant: ident,
    same: JSON.stringify(same) === JSON.stringify(made),
    models: models,
    changed: [changed.version, changed.context, changed.metadata],
    versions: versions.map((one) => [one.version, one.context]),
    back: [back.version, back.context, back.description],
    found: found.map((one) => one.assistant_id),
    count: count,
    nodes: graph.nodes.map((node) => node.id).sort(),
    context: Object.keys(schemas.context_schema.properties),
    inside: Object.fromEntries(
        Object.entries(subgraphs).map(([name, one]) => [name, Object.keys(one).sort()])
    ),
    gone: !left.includes(other) && left.includes(ident),
}));
