// Keep items in the store, find them again, and delete one.
import { Client } from "@langchain/langgraph-sdk";
const client = new Client({ apiUrl: process.argv[2] });
const store = client.store;

await store.putItem(["users", "ada"], "likes", { food: "soup" }, { ttl: 60 });
await store.putItem(["users", "bob"], "likes", { food: "cake" });
await store.putItem(["users", "bob"], "gone", { food: "tea" }, { index: false });
await store.deleteItem(["users", "bob"], "gone");

const threadID = (await client.threads.create())["thread_id"];
const ran = await client.runs.wait(threadID, "remembers", { input: { name: "ada" } });

const ada = await store.getItem(["users", "ada"], "likes", { refreshTtl: true });
const gone = await store.getItem(["users", "bob"], "gone");
const cake = await store.searchItems(["users"], { query: "cake", limit: 1 });
const soup = await store.searchItems(["users"], { filter: { food: { $ne: "cake" } }, offset: 0 });
const names = await store.listNamespaces({ prefix: ["users"], maxDepth: 2 });

const shown = (item) => [item.namespace, item.key, item.value];
console.log(JSON.stringify({
    ran: ran.known,
    ada: shown(ada),
    gone: gone,
    cake: cake.items.map(shown),
    soup: soup.items.map(shown),
    names: names.namespaces,
}));
