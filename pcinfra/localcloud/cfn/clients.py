"""boto3 clients for the local services of this process.

moto's backends are plain dictionaries without locks, and the engine makes resources in parallel; so its calls go one
at a time, each in its turn at the gate that every other call takes too.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config

from pcinfra.localcloud import CREDENTIALS, gate

_CONFIG = Config(ignore_configured_endpoint_urls=True, retries={"max_attempts": 1}, parameter_validation=True)


class LocalSession(boto3.Session):  # type: ignore[misc]
    """A session whose clients reach moto in this process, whatever AWS_ENDPOINT_URL and profiles say."""

    def __init__(self, account: str, region: str) -> None:
        super().__init__(aws_access_key_id=CREDENTIALS[0], aws_secret_access_key=CREDENTIALS[1], region_name=region)
        self._account = account

    def client(self, service_name: Any, *args: Any, **kwargs: Any) -> Any:
        """As boto3's; every call waits for its turn and names the account in moto's own header."""
        config = kwargs.pop("config", None)
        kwargs["config"] = config.merge(_CONFIG) if config else _CONFIG
        client = super().client(service_name, *args, **kwargs)
        account = self._account

        def name_account(request: Any, **_: Any) -> None:
            request.headers["x-moto-account-id"] = account

        client.meta.events.register_first("before-sign", name_account)
        call = client._make_api_call

        def one_at_a_time(operation: str, arguments: dict[str, Any]) -> Any:
            with gate.turn(operation):
                return call(operation, arguments)

        client._make_api_call = one_at_a_time
        return client


class Clients:
    """Clients of one account and region, made once each. Safe to use from several threads."""

    def __init__(self, account: str, region: str) -> None:
        self.account = account
        self.region = region
        self._session: LocalSession | None = None
        self._made: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __call__(self, service: str) -> Any:
        with self._lock:
            if self._session is None:
                self._session = self.session()
            if service not in self._made:
                self._made[service] = self._session.client(service)
            return self._made[service]

    def session(self) -> LocalSession:
        """A session of its own making, for code that wants boto3 itself (a Lambda function)."""
        return LocalSession(self.account, self.region)


@lru_cache(maxsize=64)
def clients(account: str, region: str) -> Clients:
    """The clients of an account and region, shared by the whole process."""
    return Clients(account, region)
