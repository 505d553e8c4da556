"""A gateway and its CLI that share the cron files of an older release, and misbehave as a test's script says.

The script, `<home>/script.json`: release, fires (runs come when they are due), keeps_marker, tasks (ids of jobs with a
run under way), next_s (how far ahead the next run lies after enabling), disable and enable (what each call of theirs
does in turn: ok, refuse, hang, wait; the last one stays). Calls are noted in `<home>/calls.txt`.
"""

import fcntl
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

HOME = Path(os.environ["HOME"])
CRON = HOME / ".openclaw" / "cron"
APART = CRON / "jobs-state.json"


def script():
    return json.loads((HOME / "script.json").read_text())


def load():
    jobs = json.loads((CRON / "jobs.json").read_text())["jobs"]
    if APART.exists():
        states = json.loads(APART.read_text())["jobs"]
        jobs = [{**each, "state": states.get(each["id"], {}).get("state", {})} for each in jobs]
    return jobs


def save(jobs, apart):
    if apart:
        write(APART, {"version": 1, "jobs": {each["id"]: {"state": each["state"]} for each in jobs}})
        jobs = [{**each, "state": {}} for each in jobs]
    write(CRON / "jobs.json", {"version": 1, "jobs": jobs})


def write(path, value):
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    fresh.write_text(json.dumps(value))
    fresh.replace(path)


def change(job_id, how):
    with (HOME / "changing").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        jobs = load()
        for each in jobs:
            if each["id"] == job_id:
                how(each)
        save(jobs, APART.exists())


# -- the CLI --------------------------------------------------------------------------------------------------------


def cli(words):
    with (HOME / "calls.txt").open("a") as file:
        file.write(" ".join(words) + "\n")
    said = script()
    if words == ["--version"]:
        print(f"OpenClaw {said['release']}")
    elif words[:2] in (["cron", "disable"], ["cron", "enable"]):
        switch(words[1], words[2], said)
    else:
        sys.exit(97)


def switch(verb, job_id, said):
    calls = (HOME / "calls.txt").read_text().splitlines()
    turn = sum(each.startswith(f"cron {verb} ") for each in calls) - 1
    act = said[verb][min(turn, len(said[verb]) - 1)]
    if act == "refuse":
        sys.exit("Error: gateway closed (1006 abnormal closure (no close frame)): no close reason")
    while act == "hang":
        signal.pause()

    def how(job):
        job["enabled"] = verb == "enable"
        job["updatedAtMs"] = round(time.time() * 1000)
        if not said["keeps_marker"]:
            job["state"].pop("runningAtMs", None)
        job["state"].pop("nextRunAtMs", None)
        if job["enabled"] and said["next_s"] is not None:
            job["state"]["nextRunAtMs"] = round((time.time() + said["next_s"]) * 1000)

    if not any(each["id"] == job_id for each in load()):
        sys.exit(f"Error: Error: unknown cron job id: {job_id}")
    change(job_id, how)
    if act == "wait":
        (HOME / "waits").touch()
        while (HOME / "waits").exists():
            time.sleep(0.02)
    print(json.dumps(next(each for each in load() if each["id"] == job_id)))


# -- the gateway ----------------------------------------------------------------------------------------------------


def payload(frame):
    match frame["method"]:
        case "status":
            return {"heartbeat": {}}
        case "cron.status":
            return {"enabled": True, "jobs": 1}
        case "cron.list":
            return {"jobs": load()}
        case "cron.runs":
            return {"entries": []}
        case "tasks.list":
            return {"tasks": [{"runtime": "cron", "status": "running", "sourceId": each} for each in script()["tasks"]]}


def schedule():
    """Runs that are due begin and end at once, unless a marker or the script keeps them from it."""
    while True:
        time.sleep(0.1)
        now_ms = round(time.time() * 1000)
        for job in load():
            due_ms = job["state"].get("nextRunAtMs")
            held = "runningAtMs" in job["state"] or not script()["fires"]
            if job["enabled"] and due_ms is not None and due_ms <= now_ms and not held:

                def ran(each, now_ms=now_ms):
                    each["state"] |= {"lastRunAtMs": now_ms, "lastStatus": "ok", "nextRunAtMs": now_ms + 3_600_000}

                change(job["id"], ran)


def serve_gateway():
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.server import serve

    from tests.fakes.fake_gateway import METHODS, Talk, hello
    from tests.support.machine import HTTP

    def http(connection, request):
        if "Upgrade" in request.headers:
            return None
        response = connection.respond(200, json.dumps(HTTP.get(request.path)))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json; charset=utf-8"
        return response

    def rpc(connection):
        talk = Talk(connection, [])
        try:
            talk.challenge()
            greeting = hello()
            greeting["features"]["methods"] = [*METHODS, "cron.runs", "tasks.list"]
            talk.answer(talk.take(), greeting)
            while True:
                frame = talk.take()
                talk.answer(frame, payload(frame))
        except ConnectionClosed:
            return

    threading.Thread(target=schedule, daemon=True).start()
    with serve(rpc, "127.0.0.1", 0, process_request=http, compression=None) as server:
        print(server.socket.getsockname()[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["gateway"] and len(words) == 1:
        serve_gateway()
    else:
        cli(words)
