"""What a run is asked to do: checked, and made into the message that its thread gets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, get_args
from uuid import UUID

from greenroom.graph.contract import Graph
from greenroom.graph.isolation import isolated
from greenroom.graph.job import Durability
from greenroom.storage import Unstorable
from greenroom.storage.codec import decode, kept
from greenroom.storage.records import Assistant, Run

from ..active import command_of
from ..arrivals import check_strategy
from ..errors import Invalid, Refused
from ..joining import HOST
from ..mailbox import Submit
from ..multitask import DEFAULT_STRATEGY, STRATEGIES, STRATEGY_KEY
from ..remote import take_answers
from ..schedule import iso
from ..supervisor import Supervisor
from .assistants import AssistantsClient
from .checks import (
    check_choice,
    check_mapping,
    check_modes,
    check_names,
    check_settings,
    check_uuid,
)
from .threads import new_thread

__all__ = ["own_thread", "submission"]

LONGEST_DELAY: Final = 100 * 366 * 24 * 3600.0  # seconds


async def submission(
    supervisor: Supervisor,
    assistants: AssistantsClient,
    thread_id: str | None,
    assistant_id: str,
    *,
    input: Any = None,
    command: Mapping[str, Any] | None = None,
    stream_mode: str | Sequence[str] = "values",
    stream_subgraphs: bool = False,
    stream_resumable: bool = False,
    metadata: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    checkpoint: Mapping[str, Any] | None = None,
    checkpoint_id: str | None = None,
    interrupt_before: str | Sequence[str] | None = None,
    interrupt_after: str | Sequence[str] | None = None,
    feedback_keys: Sequence[str] | None = None,
    multitask_strategy: str | None = None,
    if_not_exists: str | None = None,
    on_completion: str | None = None,
    after_seconds: float | None = None,
    webhook: str | None = None,
    durability: str | None = None,
    checkpoint_during: bool | None = None,
    strict_resume: bool | None = None,
    follow: bool = True,
) -> Submit:
    """A run, to be sent to its thread. Arguments and errors as `RunsClient.start`."""
    ident = None if thread_id is None else check_uuid("thread_id", thread_id)
    assistant = await assistants.resolve(assistant_id)
    graph = supervisor.graph(assistant.graph_id)
    strategy: Any = multitask_strategy or None
    if strategy is not None:
        check_choice("multitask_strategy", strategy, STRATEGIES)
        check_strategy(strategy, assistant.graph_id, graph)
    if durability is None and checkpoint_during is False:
        durability = "exit"  # as it was called before
    check_choice("durability", durability or "async", get_args(Durability))
    create = check_choice("if_not_exists", if_not_exists or "reject", ("reject", "create"))
    completion = check_choice("on_completion", on_completion or "delete", ("delete", "keep"))
    if on_completion is not None and ident is not None:
        raise Invalid("on_completion: only a run without a thread_id has a thread of its own")
    settings, shown, answers = _settings(assistant, config, context)
    settings["configurable"] |= _checkpoint(checkpoint, checkpoint_id)
    if command is not None:
        command_of(_object("command", command))
        if ident is None and command.get("resume") is not None:
            raise Refused("command.resume: a run without a thread_id has nothing to resume")
    delay = _delay(after_seconds)
    if strategy == "debounce" and delay is None:
        given = "missing" if after_seconds is None else f"{after_seconds!r} is no wait"
        raise Invalid(f"after_seconds: {given}; multitask_strategy 'debounce' needs one")
    if webhook is not None:
        if not isinstance(webhook, str):
            raise Invalid(f"webhook: {webhook!r} is no URL")
        await supervisor.webhooks.check(webhook)
    now = supervisor.world.timestamp()
    kwargs = {
        "input": None if input is None else _input(input, graph),
        "command": command,
        "config": settings,
        "context": shown,
        "stream_mode": list(check_modes(stream_mode)) or ["values"],
        "interrupt_before": _breakpoints("interrupt_before", interrupt_before),
        "interrupt_after": _breakpoints("interrupt_after", interrupt_after),
        "webhook": webhook,
        "feedback_keys": check_names("feedback_keys", feedback_keys),
        "temporary": ident is None and completion == "delete",
        "subgraphs": stream_subgraphs,
        "resumable": stream_resumable,
        "checkpoint_during": checkpoint_during,
        "durability": durability or "async",
    }
    if delay is not None:
        kwargs["after_seconds"] = delay
    if strict_resume:
        kwargs["strict_resume"] = True
    run_id = supervisor.world.record_id()
    if ident is None:
        ident, create = own_thread(run_id), "create"
        supervisor.new_threads.add(ident)
    own = {**settings.get("metadata", {}), **check_mapping("metadata", metadata)}
    run = Run(
        run_id=run_id,
        thread_id=ident,
        assistant_id=assistant.assistant_id,
        seq=0,  # its actor gives it its place
        status="pending",
        created_at=now if delay is None else iso(supervisor.world.now() + timedelta(seconds=delay)),
        updated_at=now,
        multitask_strategy=strategy or DEFAULT_STRATEGY,  # unless its thread has another
        kwargs=_as_kept(supervisor, kwargs),
        metadata={
            **own,
            "graph_id": assistant.graph_id,
            "assistant_id": assistant.assistant_id,
        },
    )
    thread = None
    if create == "create":  # with the metadata of its first run, whose strategy is its own
        named = {key: value for key, value in own.items() if key not in (STRATEGY_KEY, HOST)}
        thread = new_thread(supervisor, ident, metadata=named)
    return Submit(run, strategy, thread, follow, below=assistant.metadata, answers=answers)


def own_thread(run_id: str) -> str:
    """The thread of a run that was given none: who has only the run's id finds it too."""
    # A bit of the random ones, so that the two sort alike.
    return str(UUID(int=UUID(run_id).int ^ 1 << 61))


def _as_kept(supervisor: Supervisor, kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a run is asked to do, as it would be after a restart. Raises Invalid."""
    types = supervisor.session.storage.types
    try:
        data, unknown = kept(kwargs, "", types)
    except Unstorable as error:
        raise Invalid(str(error)) from error
    if unknown:
        types.tell(unknown, "a run's input or command")
    plain: dict[str, Any] = decode(data, types)
    return plain


def _delay(after_seconds: float | None) -> float | None:
    """None where the run is to start at once."""
    if after_seconds is None or after_seconds == 0:
        return None
    is_number = isinstance(after_seconds, (int, float)) and not isinstance(after_seconds, bool)
    if not is_number or math.isnan(after_seconds) or not 0 < after_seconds <= LONGEST_DELAY:
        raise Invalid(
            f"after_seconds: {after_seconds!r} is no number of seconds up to a hundred years"
        )
    return after_seconds


def _settings(
    assistant: Assistant, config: Mapping[str, Any] | None, context: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
    """A run's config and context, which `configurable` stands for too, and the answers of a
    resumption."""
    given, own = check_settings(config, context)
    merged = {**assistant.context, **(own or {})}
    answers = take_answers(merged)
    settings = {
        **assistant.config,
        **given,
        "configurable": dict(merged),
        "metadata": check_mapping("config.metadata", given.get("metadata")),
    }
    return settings, merged, answers


def _checkpoint(checkpoint: Mapping[str, Any] | None, checkpoint_id: str | None) -> dict[str, Any]:
    """What a config says of the checkpoint to go on from; one of an inner graph says where those
    around it were."""
    given = (checkpoint or {}).get("checkpoint_id")
    if given is None:
        given = checkpoint_id
    if given is None:
        return {}
    own: dict[str, Any] = {"checkpoint_id": check_uuid("checkpoint_id", given)}
    if checkpoint is not None and checkpoint.get("checkpoint_ns"):
        ids = check_mapping("checkpoint.checkpoint_map", checkpoint.get("checkpoint_map"))
        own["checkpoint_ns"] = str(checkpoint["checkpoint_ns"])
        own["checkpoint_map"] = {
            ns: check_uuid(f"checkpoint.checkpoint_map[{ns!r}]", ident) for ns, ident in ids.items()
        }
    return own


def _input(given: Any, graph: Graph) -> Any:
    return isolated(given) if graph.takes_any else _object("input", given)


def _object(name: str, given: Any) -> dict[str, Any]:
    """What may hold any value that can be stored."""
    if not isinstance(given, Mapping):
        raise Invalid(f"{name}: {given!r} is not an object")
    return dict(given)


def _breakpoints(name: str, given: str | Sequence[str] | None) -> str | list[str] | None:
    return "*" if given == "*" else check_names(name, given, "neither '*' nor a list of node names")
