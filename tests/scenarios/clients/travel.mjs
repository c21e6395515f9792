// A traveller at the chat in a browser; the agent is held after the word "for" now and then.
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { open } from "./browser.mjs";

const [executablePath, port, sdk, gates, apiUrl] = process.argv.slice(2);
const { client, page, problems, home, said, status, messages, threadShown, type, close } =
    await open({ executablePath, port, sdk, apiUrl, assistant: "agent" });

const gate = join(gates, "for");
const lisbon = "TP573 flies to Lisbon for";
const statuses = async () => (await client.runs.list(threadShown())).map((run) => run.status);

const report = {};
try {
    // Tokens as they come; a reload in the middle of them.
    await writeFile(gate, "");
    await page.goto(home);
    await type("to Lisbon", "Send");
    await said(lisbon);
    await page.reload();
    await said(lisbon);
    await status("busy");
    await rm(gate);
    await said(`${lisbon} 180 euros. Shall I book it?`);
    await status("idle");

    // A question, and an answer after a reload.
    await type("book TP573", "Send");
    await page.getByText("Book TP573?").waitFor();
    await status("idle");
    await page.reload();
    await page.getByText("Book TP573?").waitFor();
    await type("yes", "Answer");
    await said("TP573 is booked.");
    await status("idle");
    report.booked = await messages();
    report.asked = await page.getByText("Book TP573?").count();
    await page.reload();
    await said("TP573 is booked.");
    report.reloaded = await messages();

    // A second text in the middle of the answer to the first.
    await writeFile(gate, "");
    await page.goto(home);
    await type("to Oslo", "Send");
    await said("SK1486 flies to Oslo for");
    await type("to Lisbon", "Interrupt");
    await said(lisbon);
    await rm(gate);
    await said(`${lisbon} 180 euros. Shall I book it?`);
    await status("idle");
    report.texted = await messages();
    report.statuses = await statuses();
    await page.reload();
    await said(`${lisbon} 180 euros. Shall I book it?`);
    report.kept = await messages();
    report.problems = [...problems];
} finally {
    await close();
}
console.log(JSON.stringify(report));
