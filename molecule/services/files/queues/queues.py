"""Jobs of four libraries. Each notes its library, its number, `begin` or `end`, and the release in which it ran."""

from __future__ import annotations

import itertools
import os
import time

import dramatiq
from celery import Celery
from dramatiq.brokers.redis import RedisBroker
from flask import Flask
from huey import RedisHuey
from redis import Redis
from rq import Queue, Retry

URL = os.environ["REDIS_URL"]
LOG = os.path.join(os.environ["DATA_DIR"], "jobs")
BEHIND = 6  # jobs

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY")
celery = Celery("queues", broker=os.environ.get("CELERY_BROKER_URL", URL))
late = {"acks_late": True, "reject_on_worker_lost": True}
celery.conf.broker_transport_options = {"visibility_timeout": 30}
dramatiq.set_broker(RedisBroker(url=URL))
huey = RedisHuey(url=URL)


@app.get("/")
def index() -> str:
    """Say the version."""
    return os.environ.get("VERSION", "")


def note(*words: object) -> None:
    """Append a line, in one write."""
    with open(LOG, "ab", buffering=0) as log:
        log.write(f"{' '.join(map(str, words))} {os.environ['RELEASE']}\n".encode())


def work(library: str, number: int, seconds: float) -> None:
    """Take some time, and no less than until the file `hold` is gone.

    Less than no time is an error, of which nothing is noted: a library tries such a job again, beside later tests too.
    """
    if seconds < 0:
        raise ValueError(seconds)
    note(library, number, "begin")
    time.sleep(seconds)
    while os.path.exists(f"{LOG}.hold"):
        time.sleep(0.1)
    note(library, number, "end")


on_celery = celery.task(name="queues.on_celery")(work)
on_celery_late = celery.task(name="queues.on_celery_late", **late)(work)
on_dramatiq = dramatiq.actor(work, actor_name="on_dramatiq")
on_huey = huey.task(name="on_huey")(work)
SEND = {
    "rq": lambda *job: Queue(connection=Redis.from_url(URL)).enqueue("queues.work", *job, retry=Retry(3)),
    "celery": on_celery.delay,
    "late": on_celery_late.delay,
    "dramatiq": on_dramatiq.send,
    "huey": on_huey,
}


def unfinished(library: str) -> int:
    """How many jobs of a library were sent and have not ended."""
    with open(LOG, "a+") as log:
        log.seek(0)
        notes = [line.split()[2] for line in log if line.startswith(f"{library} ")]
    return notes.count("sent") - notes.count("end")


def feed(libraries: str, seconds: float, every: float, count: int) -> None:
    """Give each library a job every so many seconds, until so many were given or the file `enough` is there.

    One that is behind, as a busy machine has it, gets none meanwhile: its queue would grow for as long as the test.
    """
    for number in itertools.count():
        if number >= count or os.path.exists(f"{LOG}.enough"):
            break
        for library in libraries.split(","):
            if unfinished(library) >= BEHIND:
                continue
            SEND[library](library, number, seconds)
            note(library, number, "sent")
        time.sleep(every)
