// A person at the chat in a browser. The page comes from another origin than the API.
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "@langchain/langgraph-sdk";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const [executablePath, port, sdk, gates, apiUrl] = process.argv.slice(2);
const client = new Client({ apiUrl });
const { outputFiles: [script] } = await build({
    absWorkingDir: fileURLToPath(new URL(".", import.meta.url)),
    entryPoints: ["chat.jsx"],
    alias: { "@langchain/langgraph-sdk/react": `${sdk}/react` },
    define: { "process.env.NODE_ENV": '"production"' },
    bundle: true,
    jsx: "automatic",
    write: false,
});
const site = createServer((request, answer) => {
    const [type, body] = request.url === "/chat.js"
        ? ["text/javascript", script.contents]
        : ["text/html", '<!doctype html><div id="root"></div><script src="/chat.js"></script>'];
    answer.setHeader("Content-Type", `${type}; charset=utf-8`).end(body);
}).listen(Number(port), "127.0.0.1");
const browser = await chromium.launch({ executablePath });
const page = await browser.newPage();
const problems = [];
page.on("pageerror", (error) => problems.push(String(error)));
page.on("console", (line) => line.type() === "error" && problems.push(line.text()));

const said = (text) => page.locator(".ai").getByText(text, { exact: true }).waitFor();
const status = (text) => page.locator("output").getByText(text).waitFor();
const messages = () => page.locator("span").allTextContents();
const click = (name) => page.getByRole("button", { name, exact: true }).first().click();

async function type(text, button) {
    await page.getByRole("textbox").fill(text);
    await click(button);
}

const threadShown = () => new URL(page.url()).searchParams.get("thread");

async function follow(thread, text) {
    const [run] = await client.runs.list(thread);
    for await (const part of client.runs.joinStream(thread, run.run_id, { lastEventId: "-1" })) {
        if (part.event.startsWith("messages") && part.data[0].content.trim() === text) return;
    }
    throw new Error(`the run ended without saying ${text}`);
}

const report = {};
const home = `http://127.0.0.1:${port}/?server=${encodeURIComponent(apiUrl)}`;
try {
    // Reload in the middle of an answer, then leave while it goes on, and come back.
    const [first, second] = [join(gates, "first"), join(gates, "second")];
    await page.goto(home);
    await type(`one two ${first} three ${second} four`, "Send");
    await said("one two");
    await page.reload();
    await said("one two");
    await status("busy");
    const [address, left] = [page.url(), threadShown()];
    await page.goto("about:blank");
    await writeFile(first, "");
    await follow(left, "three");
    await page.goto(address);
    await said(`one two ${first} three`);
    await writeFile(second, "");
    await said(`one two ${first} three ${second} four`);
    await status("idle");
    report.streamed = (await messages()).at(-1).split(" ").filter((word) => !word.startsWith("/"));
    await page.reload();
    await said(`one two ${first} three ${second} four`);

    // Answer a question that was asked before the page was reloaded.
    await page.goto(home);
    await type("ask", "Send");
    await page.getByText("what?").waitFor();
    await status("idle");
    await page.reload();
    await page.getByText("what?").waitFor();
    await type("this", "Answer");
    await said("so this");
    await status("idle");
    report.answered = await messages();
    report.asked = await page.getByText("what?").count();

    // Say something else instead, and look at both.
    await type("hello", "Edit");
    await said("hello");
    await status("idle");
    report.edited = await messages();
    await click("Version 1");
    await said("so this");
    report.before = await messages();

    // Stop.
    await page.goto(home);
    await type("wait", "Send");
    await page.locator(".human").getByText("wait").waitFor();
    await click("Stop");
    await status("idle");
    const thread = threadShown();
    const [run] = await client.runs.list(thread);
    await client.runs.join(thread, run.run_id);
    report.stopped = (await client.runs.get(thread, run.run_id)).status;
    report.problems = [...problems];

    // Only pages of the origin that the server names may ask it.
    const ask = (url) => fetch(url).then((answer) => answer.status, () => "refused");
    report.here = await page.evaluate(ask, `${apiUrl}/info`);
    await page.goto(home.replace("127.0.0.1", "localhost"));
    report.elsewhere = await page.evaluate(ask, `${apiUrl}/info`);
} finally {
    await browser.close();
    site.close();
}
console.log(JSON.stringify(report));
