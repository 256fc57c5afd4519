"""Following a job over a bad connection: the log comes once and whole, and the exit code is that of the job's true end.

The cluster here is scripted; tests/end_to_end/test_submit.py cuts the connection to a real one.
"""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest

from mcmfh.errors import InputError
from mcmfh.submission.follow import STILL_RUNNING, Log, follow
from mcmfh.submission.submit import send

LINES = [f"line {n}\n" for n in range(40)]


class Cluster:
    """A job that writes LINES and ends with its last connection. `script`: how each connection to its log ends.

    Each brings five more lines than the one before. "end": the job ends too; "close": as if it had ended; "silence":
    nothing comes any more; "cut", "error", "refused": exceptions.
    """

    def __init__(self, *script: str, status: str = "SUCCEEDED", code: int | None = 0, deaf: int = 0):
        self.script, self.connections, self.deaf = [*script], 0, deaf
        self.status, self.code = status, code
        self.logs = "".join(LINES)

    async def tail_job_logs(self, name):
        self.connections += 1
        how = self.script.pop(0)
        if how == "refused":
            raise ConnectionRefusedError("nobody listens")
        for line in LINES[: 5 * self.connections]:
            yield line
        if how == "cut":
            raise aiohttp.ServerDisconnectedError
        if how == "error":
            raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")
        if how == "silence":
            await asyncio.sleep(3600)
        if how == "interrupt":
            raise KeyboardInterrupt

    def get_job_info(self, name):
        if self.script[:1] == ["refused"]:
            raise ConnectionRefusedError("nobody listens")
        if name == "unknown":
            raise RuntimeError("Request failed with status code 404: Job unknown does not exist.")
        if self.deaf:
            self.deaf -= 1
            raise ConnectionResetError("cut")
        status = "RUNNING" if self.script else self.status
        return SimpleNamespace(status=status, driver_exit_code=self.code, message="a node died")

    def get_job_logs(self, name):
        if self.logs is None:
            raise RuntimeError("Request failed with status code 500")
        return self.logs


def followed(cluster: Cluster, name: str = "night-hash", patience_s: float = 60) -> tuple[int, str]:
    written: list[str] = []
    code = follow(cluster, name, written.append, patience_s, quiet_s=0.05, longest_wait_s=0.01)
    return code, "".join(written)


@pytest.mark.parametrize(
    "script",
    [
        ["end"],
        ["cut", "error", "refused", "cut", "close", "end"],
        ["close", "close", "close", "end"],
        ["refused", "refused", "end"],
        ["cut", "silence"],
        ["cut", "cut", "cut", "cut", "cut", "cut"],
    ],
)
def test_the_log_comes_once_and_whole(script):
    assert followed(Cluster(*script)) == (0, "".join(LINES))


def test_questions_about_the_state_may_be_lost_too():
    assert followed(Cluster("close", "close", "end", deaf=2)) == (0, "".join(LINES))


@pytest.mark.parametrize(
    ("status", "code", "expected", "said"),
    [
        ("SUCCEEDED", None, 0, ""),
        ("FAILED", 2, 2, ""),
        ("FAILED", 1, 1, ""),
        ("FAILED", None, 1, "a node died"),
        ("FAILED", -9, 137, ""),
        ("STOPPED", None, 1, "was stopped"),
        ("STOPPED", -15, 143, "was stopped"),
    ],
)
def test_the_exit_code_is_the_job_s(status, code, expected, said, capsys):
    assert followed(Cluster("cut", "end", status=status, code=code))[0] == expected
    assert said in capsys.readouterr().err


def test_an_interruption_detaches_and_says_how_to_follow_again(capsys):
    assert followed(Cluster("interrupt", "end"))[0] == STILL_RUNNING
    said = capsys.readouterr().err
    assert "mcmfh jobs logs night-hash" in said
    assert "mcmfh jobs stop night-hash" in said


def test_a_cluster_that_stays_silent_is_given_up(capsys):
    code, _ = followed(Cluster(*["refused"] * 1000), patience_s=0.2)
    assert code == STILL_RUNNING
    assert "whether night-hash still runs is not known" in capsys.readouterr().err


def test_an_unknown_job_is_named():
    with pytest.raises(InputError, match=r"no job 'unknown'.*mcmfh jobs list"):
        followed(Cluster("cut", "cut"), "unknown")


def test_a_log_that_went_with_its_node_does_not_hide_the_end(capsys):
    cluster = Cluster("cut")
    cluster.logs = None
    assert followed(cluster) == (0, "".join(LINES[:5]))
    assert "the end of the log of night-hash is lost" in capsys.readouterr().err


def test_parts_of_a_log_are_joined_wherever_they_were_cut():
    text = "abcdefgh" * 9
    for first in (0, 1, 8, 70, 72):
        for size in (1, 5, 100):
            written: list[str] = []
            log = Log(written.append)
            log.add(text[:first])
            for _ in range(2):
                log.restart()
                for start in range(0, len(text), size):
                    log.add(text[start : start + size])
            assert "".join(written) == text


class Sending:
    """Accepts a job after the errors of `script`; the job of a lost answer exists."""

    def __init__(self, *script: Exception):
        self.script, self.names = [*script], []

    def submit_job(self, submission_id):
        error = self.script.pop(0) if self.script else None
        if error is None or isinstance(error, OSError):
            if submission_id in self.names:
                raise RuntimeError(f"Job with submission_id {submission_id} already exists.")
            self.names.append(submission_id)
        if error:
            raise error


@pytest.mark.parametrize("script", [[], [ConnectionResetError()], [RuntimeError("No available agent to submit")] * 2])
def test_a_job_is_submitted_once(script):
    client = Sending(*script)
    send(client, "night-hash", pause_s=0)
    assert client.names == ["night-hash"]


def test_a_job_that_cannot_be_submitted_is_said():
    with pytest.raises(InputError, match="accepts no job"):
        send(Sending(*[RuntimeError("No available agent")] * 1000), "night-hash", start_s=0.01, pause_s=0.001)
    client = Sending()
    client.names.append("night-hash")
    with pytest.raises(RuntimeError, match="already exists"):
        send(client, "night-hash")
