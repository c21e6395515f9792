// A chat in React: what is said streams in, a question can be answered, a message edited.
import { useState } from "react";
import { createRoot } from "react-dom/client";
import { useStream } from "@langchain/langgraph-sdk/react";

const address = new URL(window.location);

function Chat() {
    const assistantId = address.searchParams.get("assistant");
    const [threadId, setThreadId] = useState(address.searchParams.get("thread"));
    const [text, setText] = useState("");
    const thread = useStream({
        apiUrl: address.searchParams.get("server"),
        assistantId,
        threadId,
        onThreadId: (id) => {
            setThreadId(id);
            address.searchParams.set("thread", id);
            window.history.replaceState(null, "", address);
        },
        reconnectOnMount: true,
        fetchStateHistory: true,
    });
    const said = () => ({ messages: [{ type: "human", content: text }] });

    // The hook itself sends what is submitted only when the run under way has come to its end.
    async function interrupt() {
        const run = await thread.client.runs.create(threadId, assistantId, {
            input: said(),
            multitaskStrategy: "interrupt",
            streamMode: ["values", "messages-tuple"],
            streamResumable: true,
        });
        await thread.joinStream(run.run_id);
    }

    return (
        <main>
            {thread.messages.map((message, index) => (
                <Message key={message.id ?? index} thread={thread} message={message} edit={said} />
            ))}
            {thread.interrupt?.value && (
                <p>
                    <em>{JSON.stringify(thread.interrupt.value)}</em>
                    <button onClick={() => thread.submit(undefined, { command: { resume: text } })}>
                        Answer
                    </button>
                </p>
            )}
            <input value={text} onChange={(event) => setText(event.target.value)} />
            <button onClick={() => thread.submit(said())}>Send</button>
            <button onClick={interrupt}>Interrupt</button>
            <button onClick={() => thread.stop()}>Stop</button>
            <output>{thread.isLoading ? "busy" : "idle"}</output>
            {thread.error && <strong>{String(thread.error)}</strong>}
        </main>
    );
}

function Message({ thread, message, edit }) {
    const { firstSeenState, branch, branchOptions = [] } = thread.getMessagesMetadata(message) ?? {};
    const from = { checkpoint: firstSeenState?.parent_checkpoint };
    return (
        <p>
            <span className={message.type}>{message.content}</span>
            {message.type === "human" && (
                <button onClick={() => thread.submit(edit(), from)}>Edit</button>
            )}
            {branchOptions.map((option, index) => (
                <button
                    key={option}
                    disabled={option === branch}
                    onClick={() => thread.setBranch(option)}
                >
                    {`Version ${index + 1}`}
                </button>
            ))}
        </p>
    );
}

createRoot(document.getElementById("root")).render(<Chat />);
