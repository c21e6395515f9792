"""Talk to an agent: in one piece and word by word, answer it, look after a task and stop one."""

import asyncio
import json
import sys

from a2a.client import ClientConfig, create_client
from a2a.helpers import get_artifact_text, get_message_text, new_text_message
from a2a.types import CancelTaskRequest, GetTaskRequest, Role, SendMessageRequest, TaskState
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError

CARD = "/.well-known/agent-card.json?assistant_id=talks"


def said(text: str, **more: str) -> SendMessageRequest:
    return SendMessageRequest(message=new_text_message(text, role=Role.ROLE_USER, **more))


def state(task: object) -> str:
    return TaskState.Name(task.status.state)


async def main(deployment_url: str) -> None:
    whole = ClientConfig(streaming=False)
    polling = ClientConfig(streaming=False, polling=True)

    async with await create_client(deployment_url, whole, relative_card_path=CARD) as client:
        [answer] = [part async for part in client.send_message(said("hello there"))]
        hello = answer.task
        here = {"context_id": hello.context_id}
        [answer] = [part async for part in client.send_message(said("ask", **here))]
        asked = answer.task
        reply = said("this", task_id=asked.id, **here)
        [answer] = [part async for part in client.send_message(reply)]
        replied = answer.task
        again = await client.get_task(GetTaskRequest(id=replied.id))
        try:
            await client.get_task(GetTaskRequest(id="nothing"))
        except TaskNotFoundError:
            unknown = True

    async with await create_client(deployment_url, relative_card_path=CARD) as client:
        heard, states = [], []
        async for part in client.send_message(said("one two", **here)):
            if part.HasField("artifact_update"):
                update = part.artifact_update
                heard.append([update.append, get_artifact_text(update.artifact)])
            elif part.HasField("status_update"):
                states.append(state(part.status_update))
            else:
                states.append(state(part.task))

    async with await create_client(deployment_url, polling, relative_card_path=CARD) as client:
        [answer] = [part async for part in client.send_message(said("wait"))]
        cancelled = await client.cancel_task(CancelTaskRequest(id=answer.task.id))
        try:
            await client.cancel_task(CancelTaskRequest(id=cancelled.id))
        except TaskNotCancelableError:
            over = True

    print(
        json.dumps(
            {
                "hello": [state(hello), get_artifact_text(hello.artifacts[0])],
                "asked": [state(asked), get_message_text(asked.status.message)],
                "replied": [state(replied), get_artifact_text(replied.artifacts[0])],
                "same": [replied.context_id == hello.context_id, again == replied],
                "unknown": unknown,
                "heard": heard,
                "states": states,
                "cancelled": state(cancelled),
                "over": over,
                "context_id": hello.context_id,
            }
        )
    )


asyncio.run(main(sys.argv[1]))
