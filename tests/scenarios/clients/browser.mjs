// A chat in a browser. The page comes from another origin than the API.
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { Client } from "@langchain/langgraph-sdk";
import { build } from "esbuild";
import { chromium } from "playwright-core";

// `sdk`: the package whose hook the page uses. `problems`: what the page complained of.
export async function open({ executablePath, port, sdk, apiUrl, assistant }) {
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

    const click = (name) => page.getByRole("button", { name, exact: true }).first().click();

    return {
        client,
        page,
        problems,
        click,
        home: `http://127.0.0.1:${port}/?${new URLSearchParams({ server: apiUrl, assistant })}`,
        said: (text) => page.locator(".ai").getByText(text, { exact: true }).waitFor(),
        status: (text) => page.locator("output").getByText(text).waitFor(),
        messages: () => page.locator("span").allTextContents(),
        threadShown: () => new URL(page.url()).searchParams.get("thread"),
        async type(text, button) {
            await page.getByRole("textbox").fill(text);
            await click(button);
        },
        async follow(thread, text) {
            const [run] = await client.runs.list(thread);
            const parts = client.runs.joinStream(thread, run.run_id, { lastEventId: "-1" });
            for await (const part of parts) {
                if (!part.event.startsWith("messages")) continue;
                if (part.data[0].content.trim() === text) return;
            }
            throw new Error(`the run ended without saying ${text}`);
        },
        async close() {
            await browser.close();
            site.close();
        },
    };
}
