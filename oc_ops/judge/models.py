"""Can an agent answer: is there a credential, is the model there, is its provider left alone, did it when asked."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from oc_ops.judge.finding import Finding, Severity, finds, none
from oc_ops.judge.job_words import cut
from oc_ops.judge.schedule import moment
from oc_ops.observe.jobs import Job
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.work import Agent, Model, Refusal, WorkView
from oc_ops.process.jsontext import at, text_at
from oc_ops.text import clock, listing, span

_REASONS = {
    "billing": "its account has no credit",
    "auth": "it refuses the credential",
    "auth_permanent": "it refuses the credential for good",
    "rate_limit": "it slows this account down",
    "overloaded": "it is overloaded",
    "timeout": "it does not answer in time",
    "model_not_found": "it does not know the model",
}
"""OpenClaw's own words for why it leaves a provider alone."""
_LASTING = ("billing", "auth", "auth_permanent")
"""Reasons that do not pass by themselves: OpenClaw asks again after a while, and is refused again."""
_BRIEF_MS = 600_000
"""A pause for a rate or an overload that ends so soon is a warning: a busy hour has many of them."""
_UNKNOWN = "Unknown model"
_OF_ITS_OWN = (":cron:", ":heartbeat", ":subagent:")


def need(view: WorkView, jobs: Sequence[Job]) -> str:
    """Needs for an agent here, in words; nothing where no job, channel or session has one, as on a fresh gateway."""
    asking = [each.name for each in jobs if each.enabled and each.payload_kind == "agentTurn" and not each.managed]
    if asking:
        return f"the job {listing(asking, 1)}"
    for each in view.accounts or ():
        if each.enabled and each.configured:
            return f"the channel {each.label}"
    used = next((key for agent in view.agents or () for key in agent.recent if _by_somebody(key)), "")
    return f"the session {used}" if used else ""


def _by_somebody(key: str) -> bool:
    return not any(each in f"{key}:" for each in _OF_ITS_OWN)


def unanswerable(view: WorkView, needed: str, jobs: Sequence[Job] = ()) -> Finding | None:
    """Why the default agent cannot answer now, None where one of its models can, or where that cannot be told.

    Nor is anything said where nothing needs it: a fresh gateway without an account is well.
    """
    if not needed:
        return None
    agent = next((each for each in view.agents or () if each.id == view.default_agent), None)
    if agent is None or not agent.models or view.models is None or view.providers is None:
        return None
    known = {f"{each.provider}/{each.id}": each for each in view.models}
    first = agent.models[0]
    answers = next((each for each in agent.models[1:] if each in known and known[each].available is not False), "")
    if (model := known.get(first)) is not None and model.available is not False:
        last = last_refusal(model.provider, agent, view, jobs)
        return refused(agent, model, last, needed, answers) if last else None
    if model is not None and model.available is False and model.until_ms is not None:
        return parked(agent, model, view, needed, answers)
    if model is None and any(f"{_UNKNOWN}: {first}" in each.last_error for each in jobs if _failed(each)):
        return unknown(agent, needed, answers, jobs)
    if first.partition("/")[0] not in view.providers:
        return no_credentials(agent, needed, answers)
    if model is None:
        return None if any(map(_was_answered, jobs)) else unknown(agent, needed, answers, jobs)
    return parked(agent, model, view, needed, answers)


@finds(
    "models/no-credentials",
    checks=("models/answerable",),
    cure=none("a restart brings no credential"),
    means="an agent's provider has no credential: no turn of it can succeed",
    helps="`openclaw models auth login --provider NAME`, or its API key in the gateway's environment",
)
def no_credentials(agent: Agent, needed: str, answers: str) -> Finding:
    """The provider of the agent's first model has neither profile nor key."""
    provider = agent.models[0].partition("/")[0]
    return Finding(
        "models/no-credentials",
        _severity(answers),
        fact=f"the agent {agent.id} cannot ask {agent.models[0]}: the provider {provider} has no credential"
        + _beside(answers),
        saw=f"models.authStatus lists no profile and no key for {provider}; {_by(needed)}",
        fix=f"openclaw models auth login --provider {provider}",
        subject=agent.id,
    )


@finds(
    "models/unknown",
    checks=("models/answerable",),
    cure=none("a restart makes no model known"),
    means="an agent is to ask a model that its provider does not list (an error once a run died of it)",
    helps="`openclaw models list` shows what there is; `openclaw models set PROVIDER/MODEL` chooses one",
)
def unknown(agent: Agent, needed: str, answers: str, jobs: Sequence[Job] = ()) -> Finding:
    """The provider has a credential, and the model is not among those that it offers: an error once a run died of it.

    A list alone is a warning: 2026.9.6 asks a custom provider for a model that it does not list, and is answered.
    """
    died = any(_UNKNOWN in each.last_error for each in jobs if _failed(each))
    return Finding(
        "models/unknown",
        _severity(answers) if died else "warning",
        fact=f"the agent {agent.id} is to ask {agent.models[0]}, which its provider does not offer" + _beside(answers),
        saw=f"models.list has no such model; {_by(needed)}",
        fix="none automatic: openclaw models list shows what there is; then openclaw models set PROVIDER/MODEL",
        subject=agent.id,
    )


@finds(
    "models/parked",
    checks=("models/answerable",),
    cure=none("the provider is left alone over a restart as well"),
    means="a provider refused, and OpenClaw leaves it alone for a while: no agent answers unless a fallback does",
    helps="pay, renew the credential, or wait until the time it names; a fallback model bridges the gap",
)
def parked(agent: Agent, model: Model, view: WorkView, needed: str, answers: str) -> Finding:
    """OpenClaw leaves the provider of the first model alone: why, until when, and what answers meanwhile."""
    last = (view.refusals or {}).get(model.provider)
    until = f" until {clock(moment(model.until_ms))}" if model.until_ms else ""
    passing = last is not None and last.reason not in _LASTING
    brief = passing and model.until_ms is not None and model.until_ms - view.at_ms < _BRIEF_MS
    return Finding(
        "models/parked",
        "warning" if brief else _severity(answers),
        fact=f"the agent {agent.id} gets no answer of {model.provider}/{model.id}: "
        + (_why(last.reason) if last else model.reason or "no reason given")
        + _beside(answers),
        saw=f"models.list: available false, {model.reason or 'no reason'}{until}; {_by(needed)}",
        fix=f"none automatic: see to the account at {model.provider}, then openclaw models status; a restart changes "
        "nothing",
        subject=agent.id,
    )


def refused(agent: Agent, model: Model, last: Refusal, needed: str, answers: str) -> Finding:
    """Its provider is asked again, since its pause is over, and the last it said was no: twice that is an error."""
    again = last.times > 1
    return Finding(
        "models/parked",
        _severity(answers) if again else "warning",
        fact=f"the agent {agent.id} got no answer of {model.provider}/{model.id} when it asked last: "
        + _why(last.reason)
        + _beside(answers),
        saw=f"refused at {clock(moment(last.at_ms))} ({last.reason}{f', {last.times} times' if again else ''}) and no "
        f"answer since, though models.list calls it available; {_by(needed)}",
        fix=f"none automatic: see to the account at {model.provider}; oc-ops doctor --deep --deep-model asks it once",
        subject=agent.id,
    )


def last_refusal(provider: str, agent: Agent, view: WorkView, jobs: Sequence[Job]) -> Refusal | None:
    """A refusal that does not pass by itself, with no answer of that provider since, nor a change of the config.

    Told by the runs of the jobs that ask it, and by what OpenClaw keeps of the account.
    """
    asking = [each for each in jobs if each.payload_kind == "agentTurn" and _provider(each, agent) == provider]
    answered_ms = max((each.last_run_ms or 0 for each in asking if each.last_status == "ok"), default=0)
    told = [
        Refusal(each.error_reason, each.last_run_ms or 0, times=each.consecutive_errors)
        for each in asking
        if each.enabled and each.last_status == "error"
    ]
    if kept := (view.refusals or {}).get(provider):
        told.append(kept)
    known_ms = max(answered_ms, view.config_ms)
    lasting = [each for each in told if each.reason in _LASTING and each.at_ms > known_ms]
    newest = max(lasting, key=lambda each: each.at_ms, default=None)
    return replace(newest, times=max(each.times for each in lasting)) if newest else None


def _provider(job: Job, agent: Agent) -> str:
    return (job.model or agent.models[0]).partition("/")[0]


def _why(reason: str) -> str:
    return _REASONS.get(reason, f"reason {reason}")


@finds(
    "models/unanswered",
    checks=("models/answers",),
    cure=none("a restart answers no prompt"),
    means="a real prompt, sent through the gateway because it was asked for, got no answer",
    helps="what its own words say: a credential, credit, another model; `openclaw models status` shows the accounts",
)
def unanswered(answer: Answer) -> Finding | None:
    """The default agent's model gave no text: refused, silent beyond the deadline, or nothing in it."""
    if _said(answer):
        return None
    why = cut(" ".join((answer.error or answer.call.summary).split()), 240)
    return Finding(
        "models/unanswered",
        "error",
        fact="no model answered a real prompt through the gateway"
        + (f" within {span(answer.call.deadline_s)}" if answer.call.outcome == "timed-out" else ""),
        saw=f"openclaw infer model run --gateway, {span(answer.call.wall_s)}: {why}",
        fix="none automatic: openclaw models status shows accounts and pauses; mend what it names",
        verify="oc-ops doctor --deep --deep-model --check models/answers",
    )


@finds(
    "models/answered",
    checks=("models/answers",),
    cure=none("it says how fast an answer came, and nothing is wrong"),
    means="a real prompt, sent through the gateway because it was asked for, was answered: how fast (information)",
    helps="nothing to do",
)
def answered(answer: Answer) -> Finding | None:
    """How long the answer took, by which model."""
    if not _said(answer):
        return None
    model = "/".join(filter(None, (text_at(answer.value, "provider"), text_at(answer.value, "model"))))
    return Finding(
        "models/answered",
        "info",
        fact=f"{model or 'the default agent'} answered a real prompt through the gateway in {span(answer.call.wall_s)}",
        saw=f"openclaw infer model run --gateway, the start of the command included: {cut(_said(answer), 60)}",
        fix="none automatic: nothing is wrong; it has cost what the provider asks for a few words",
        verify="oc-ops doctor --deep --deep-model --check models/answers",
    )


def _said(answer: Answer) -> str:
    outputs = at(answer.value, "outputs") if answer.came and at(answer.value, "ok") is not False else None
    first = outputs[0] if isinstance(outputs, list) and outputs else None
    return " ".join(text_at(first, "text").split())


def _failed(job: Job) -> bool:
    return job.enabled and job.last_status == "error"


def _was_answered(job: Job) -> bool:
    """True if an agent answered the last run of this job."""
    return job.enabled and job.payload_kind == "agentTurn" and not job.managed and job.last_status == "ok"


def _severity(answers: str) -> Severity:
    return "warning" if answers else "error"


def _beside(answers: str) -> str:
    return f"; its fallback {answers} answers" if answers else ""


def _by(needed: str) -> str:
    return f"needed by {needed}"
