"""Follows a job to its true end: its log as it arrives, then its exit code, whatever happens to the connection.

A job ends when the cluster says so. The end of the log's stream says nothing: a proxy may have closed it.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mcmfh.errors import InputError

if TYPE_CHECKING:
    from ray.job_submission import JobDetails, JobSubmissionClient

STILL_RUNNING = 3  # exit code; a job itself ends with 0, 1 or 2
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


class Log:
    """What has arrived of a job's log. Each connection sends it from its beginning; `write` gets every part once."""

    def __init__(self, write: Callable[[str], object]):
        self.write = write
        self.written = self.position = 0  # characters: of all connections, of the current one

    def restart(self) -> None:
        self.position = 0

    def add(self, text: str) -> None:
        new = text[max(0, self.written - self.position) :]
        self.position += len(text)
        self.written = max(self.written, self.position)
        if new:
            self.write(new)


def follow(
    client: "JobSubmissionClient",
    name: str,
    write: Callable[[str], object] | None = None,
    patience_s: float = 600,
    quiet_s: float = 30,
    longest_wait_s: float = 15,
) -> int:
    """The exit code of job `name`; its log goes to `write` as it arrives, by default to stdout.

    STILL_RUNNING where the user interrupts, or the cluster has not answered for `patience_s`. The cluster is asked for
    the job's state after every `quiet_s` without a line; between tries to connect there are up to `longest_wait_s`.
    Raises InputError where the cluster does not know the job.
    """
    follower = _Follower(client, name, Log(write or _print), patience_s, quiet_s, longest_wait_s)
    try:
        details = asyncio.run(follower.until_end())
    except KeyboardInterrupt:
        _say(f"detached; {name} runs on. Follow it: mcmfh jobs logs {name}   End it: mcmfh jobs stop {name}")
        return STILL_RUNNING
    except TimeoutError as error:
        _say(f"{error}; whether {name} still runs is not known. Follow it: mcmfh jobs logs {name}")
        return STILL_RUNNING
    return _exit_code(name, details)


class _Follower:
    def __init__(
        self,
        client: "JobSubmissionClient",
        name: str,
        log: Log,
        patience_s: float,
        quiet_s: float,
        longest_wait_s: float,
    ):
        self.client, self.name, self.log = client, name, log
        self.patience_s, self.quiet_s, self.longest_wait_s = patience_s, quiet_s, longest_wait_s

    async def until_end(self) -> "JobDetails":
        import aiohttp

        lost = (OSError, RuntimeError, aiohttp.ClientError)
        first_wait = min(0.5, self.longest_wait_s)
        answered, wait = time.monotonic(), first_wait
        while True:
            written = self.log.written
            with suppress(*lost):
                await self._tail()
            if self.log.written > written:
                answered, wait = time.monotonic(), first_wait
            try:
                details = await self._details()
            except lost as error:
                if time.monotonic() - answered > self.patience_s:
                    raise TimeoutError(
                        f"the cluster has not answered for {self.patience_s:.0f} s ({error!r})"
                    ) from error
            else:
                answered = time.monotonic()
                if str(details.status) in ENDED:
                    await self._rest_of_log()
                    return details
            await asyncio.sleep(wait)
            wait = min(2 * wait, self.longest_wait_s)

    async def _tail(self) -> None:
        """Read the log's stream to its end, or until the job has ended while nothing arrives."""
        self.log.restart()
        stream = self.client.tail_job_logs(self.name).__aiter__()
        part = None
        try:
            while True:
                part = asyncio.ensure_future(anext(stream, None))
                while not (await asyncio.wait([part], timeout=self.quiet_s))[0]:
                    if str((await self._details()).status) in ENDED:
                        return
                text = part.result()
                if text is None:
                    return
                self.log.add(text)
        finally:
            if part:
                part.cancel()

    async def _details(self) -> "JobDetails":
        try:
            return await asyncio.to_thread(self.client.get_job_info, self.name)
        except RuntimeError as error:
            if "does not exist" in str(error):
                raise InputError(
                    f"the cluster knows no job '{self.name}'; mcmfh jobs list shows its jobs. A head node that was "
                    "started anew has forgotten its earlier ones"
                ) from error
            raise

    async def _rest_of_log(self) -> None:
        """What the stream did not bring before it broke off."""
        try:
            text = await asyncio.to_thread(self.client.get_job_logs, self.name)
        except (OSError, RuntimeError) as error:
            _say(f"the end of the log of {self.name} is lost ({error!r})")
            return
        self.log.restart()
        self.log.add(text)


def _exit_code(name: str, details: Any) -> int:
    status, code = str(details.status), details.driver_exit_code
    if status == "SUCCEEDED":
        return int(code or 0)
    if status == "STOPPED":
        _say(f"{name} was stopped")
    elif not code:  # the driver did not come to its own end
        _say(f"{name} failed: {details.message}")
    # A shell's code for a process that a signal ended.
    return 128 - int(code) if code and code < 0 else int(code or 1)


def _print(text: str) -> None:
    print(text, end="", flush=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
