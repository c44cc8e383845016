"""The tasks of a shop, for both sides: the program that sends them, and the worker that runs them.

The folder for messages and results, and the address of the service, come from the environment.
"""

from __future__ import annotations

import http.client
import os
from pathlib import Path

from celery import Celery

import breaker
from breaker.integrations.celery import BreakerTask

FOLDER = Path(os.environ["SHOP_FOLDER"])
PRICES = os.environ["SHOP_PRICES"]

app = Celery("shop", broker="filesystem://", backend=f"file://{FOLDER / 'results'}")
app.conf.broker_transport_options = {
    "data_folder_in": str(FOLDER / "messages"),
    "data_folder_out": str(FOLDER / "messages"),
    "control_folder": str(FOLDER / "control"),
    "polling_interval": 0.02,
}
for name in ("results", "messages", "control"):
    (FOLDER / name).mkdir(exist_ok=True)

# At module level: each process of a worker has breakers of its own.
policy = breaker.Policy(failure_threshold=3, success_threshold=1, open_state_timeout=2)
provider = breaker.Provider(breaker.get_default_config("shop", "development"), default_policy=policy)
prices = provider.get_breaker("http:prices")


@prices
def request(item: str) -> str:
    """What the service says. An answer that is none is an error, and a failure of the service."""
    connection = http.client.HTTPConnection(PRICES, timeout=5)
    try:
        connection.request("GET", f"/{item}")
        answer = connection.getresponse()
        if answer.status != 200:
            raise ConnectionError(f"status {answer.status}")
        return answer.read().decode()
    finally:
        connection.close()


@app.task(base=BreakerTask, autoretry_for=(ConnectionError,), default_retry_delay=2, max_retries=10)
def price(item: str) -> str:
    """Failures come back by ``autoretry_for``, rejections because it is a `BreakerTask`."""
    return request(item)
