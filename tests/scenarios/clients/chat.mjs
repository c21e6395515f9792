// A person at the chat in a browser.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { open } from "./browser.mjs";

const [executablePath, port, sdk, gates, apiUrl] = process.argv.slice(2);
const { client, page, problems, home, said, status, messages, threadShown, ...chat } =
    await open({ executablePath, port, sdk, apiUrl, assistant: "talks" });
const { click, type, follow, close } = chat;

const report = {};
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
    await close();
}
console.log(JSON.stringify(report));
