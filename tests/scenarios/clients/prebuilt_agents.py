"""Play one scene with each agent, all at once: a turn, an approval, a double-text, a crash."""

import asyncio
import json
import sys
from pathlib import Path

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

APPROVED = {"command": {"resume": {"decisions": [{"type": "approve"}]}}}
YES = {"command": {"resume": "yes"}}
# What has an agent pause, and the answer.
PAUSES = {
    "react": ("look_up", {"interrupt_before": ["tools"]}, {"input": None}),
    "middleware": ("buy", {}, APPROVED),
    "supervisor": ("book", {}, YES),
    "swarm": ("book", {}, YES),
    "deep": ("buy", {}, APPROVED),
}


class Scene:
    """With one agent, on a thread of its own. `gates`: the folder of what the tools wait for."""

    def __init__(self, client: LangGraphClient, gates: Path, agent: str, thread_id: str) -> None:
        self.client, self.gates, self.agent, self.thread_id = client, gates, agent, thread_id

    def open(self, what: str) -> None:
        (self.gates / what).touch()

    def notes(self, what: str) -> list:
        """What the models and tools did about it."""
        file = self.gates / f"{what}.notes"
        return file.read_text().splitlines() if file.exists() else []

    async def start(self, what: str, **how) -> str:
        asked = text("look_up", what)
        run = await self.client.runs.create(self.thread_id, self.agent, input=asked, **how)
        return run["run_id"]

    async def held(self, what: str) -> None:
        while "began" not in self.notes(what):  # noqa: ASYNC110  (another process does)
            await asyncio.sleep(0.01)

    async def messages(self) -> list:
        return (await self.client.threads.get_state(self.thread_id))["values"]["messages"]

    async def report(self, *runs: str, **more) -> dict:
        messages = await self.messages()
        kept = await self.client.runs.list(self.thread_id)
        statuses = {run["run_id"]: run["status"] for run in kept}
        return {
            "texts": [one["content"] for one in messages if one["type"] == "human"],
            "last": messages[-1]["content"].strip(),
            "statuses": [statuses.get(run) for run in runs],
            **more,
        }


def text(verb: str, what: str) -> dict:
    return {"messages": [{"role": "user", "content": f"{verb} {what}"}]}


async def turn(scene: Scene, what: str) -> dict:
    scene.open(what)
    said = {}
    async for part in scene.client.runs.stream(
        scene.thread_id,
        scene.agent,
        input=text("look_up", what),
        stream_mode=["messages-tuple", "updates"],
        stream_subgraphs=True,
    ):
        if part.event.split("|")[0] == "messages":
            message, _ = part.data
            if message["type"] == "AIMessageChunk" and message["content"]:
                said.setdefault(message["id"], []).append(message["content"].strip())
    last = (await scene.messages())[-1]["id"]
    return await scene.report(tokens=said.get(last), notes=scene.notes(what))


async def approval(scene: Scene, what: str) -> dict:
    runs, threads = scene.client.runs, scene.client.threads
    verb, how, answer = PAUSES[scene.agent]
    scene.open(what)
    asked = await runs.wait(scene.thread_id, scene.agent, input=text(verb, what), **how)
    status = (await threads.get(scene.thread_id))["status"]
    paused_at = (await threads.get_state(scene.thread_id))["next"]
    before = scene.notes(what)
    await runs.wait(scene.thread_id, scene.agent, **answer)
    return await scene.report(
        asked=[one["value"] for one in asked.get("__interrupt__", ())],
        paused=[status, paused_at],
        done=[notes.count("done") for notes in (before, scene.notes(what))],
    )


async def double_text(scene: Scene, what: str, strategy: str) -> dict:
    one, two = f"one-{what}", f"two-{what}"
    first = await scene.start(one)
    await scene.held(one)
    scene.open(two)
    second = await scene.start(two, multitask_strategy=strategy)
    if strategy == "enqueue":
        scene.open(one)
    try:
        await scene.client.runs.join(scene.thread_id, second)
    finally:
        scene.open(one)  # a thread may still wait for it
    return await scene.report(first, second)


async def before_crash(scene: Scene, what: str) -> dict:
    run_id = await scene.start(what)
    await scene.held(what)
    return {"thread_id": scene.thread_id, "run_id": run_id}


async def after_crash(scene: Scene, what: str, run_id: str) -> dict:
    scene.open(what)
    await scene.client.runs.join(scene.thread_id, run_id)
    return await scene.report(run_id, notes=scene.notes(what))


async def main(gates: str, name: str, left: str, url: str) -> None:
    """`left`: what `before_crash` reported, for `after_crash`."""
    client = get_client(url=url)

    async def play(agent: str) -> dict:
        if name == "after_crash":
            thread_id, run_id = json.loads(left)[agent].values()
            scene = Scene(client, Path(gates), agent, thread_id)
            return await after_crash(scene, f"crash-{agent}", run_id)
        thread_id = (await client.threads.create())["thread_id"]
        scene = Scene(client, Path(gates), agent, thread_id)
        if name == "before_crash":
            return await before_crash(scene, f"crash-{agent}")
        if name in ("turn", "approval"):
            return await {"turn": turn, "approval": approval}[name](scene, f"{name}-{agent}")
        return await double_text(scene, f"{name}-{agent}", name)

    async def played(agent: str) -> dict:
        try:
            return await asyncio.wait_for(play(agent), 45)
        except Exception as error:
            return {"failed": repr(error)}

    reports = await asyncio.gather(*map(played, PAUSES))
    print(json.dumps(dict(zip(PAUSES, reports, strict=True))))


asyncio.run(main(*sys.argv[1:]))
