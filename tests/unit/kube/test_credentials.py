"""Where credentials come from and when they are asked for again; plugins are run for real, time is not."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from bind_agent.kube import credentials
from bind_agent.kube.credentials import Credential, TokenSource, resolve
from bind_agent.kube.errors import CredentialError
from bind_agent.kube.execplugin import ExecPlugin, parse_answer, run_plugin

pytestmark = pytest.mark.unit

CANARY = "canary-5d21"
V1 = "client.authentication.k8s.io/v1"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def script(folder: Path, text: str) -> ExecPlugin:
    path = folder / "plugin"
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return ExecPlugin(command=str(path), timeout=5)


def answer(**status: object) -> bytes:
    return orjson.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})


def printing(folder: Path, **status: object) -> ExecPlugin:
    (folder / "answer").write_bytes(answer(**status))
    return script(folder, f"cat {folder}/answer")


# --- sources --------------------------------------------------------------------------------------


async def test_static_token_is_ready_for_ever() -> None:
    clock = Clock()
    source = TokenSource(Credential(token="t"), clock=clock)
    assert not source.fresh
    assert await source.refresh() == "Bearer t"
    clock.now += 10**9
    assert source.fresh


async def test_file_is_read_again_after_a_minute(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "token"
    file.write_text(" one \n")
    source = TokenSource(Credential(token_file=str(file), token="ignored"), clock=clock)
    assert await source.refresh() == "Bearer one"
    file.write_text("two")
    clock.now += 59
    assert source.fresh
    clock.now += 2
    assert not source.fresh
    assert await source.refresh() == "Bearer two"


async def test_file_that_fails(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "token"
    source = TokenSource(Credential(token_file=str(file)), clock=clock)
    for content in (None, b"", b" \n", b"x" * 100_000, b"a b", "tökén".encode()):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(CredentialError):
            await source.refresh()
        clock.now += credentials.PAUSE + 1
    file.write_text("fine")
    assert await source.refresh() == "Bearer fine"
    # A file that vanishes later does no harm while its token may still hold.
    file.unlink()
    clock.now += 61
    assert await source.refresh() == "Bearer fine"
    assert source.fresh


async def test_plugin_is_run_again_before_its_token_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    runs = 0

    async def run(_: object, **__: object) -> object:
        nonlocal runs
        runs += 1
        return parse_answer(
            answer(token=f"t{runs}", expirationTimestamp="2030-01-01T01:00:00Z"),
            ExecPlugin("x"),
            now=datetime(2030, 1, 1, tzinfo=UTC),
        )

    monkeypatch.setattr(credentials, "run_plugin", run)
    source = TokenSource(Credential(plugin=ExecPlugin("x")), clock=clock)
    assert await source.refresh() == "Bearer t1"
    clock.now += 3500
    assert source.fresh
    clock.now += 60
    assert not source.fresh
    assert await source.refresh() == "Bearer t2"


async def test_failing_plugin_is_left_alone_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    runs = 0

    async def run(_: object, **__: object) -> object:
        nonlocal runs
        runs += 1
        raise CredentialError("broken")

    monkeypatch.setattr(credentials, "run_plugin", run)
    source = TokenSource(Credential(plugin=ExecPlugin("x")), clock=clock)
    for _ in range(10):
        with pytest.raises(CredentialError, match="broken"):
            await source.refresh()
    assert runs == 1
    clock.now += credentials.PAUSE
    with pytest.raises(CredentialError):
        await source.refresh()
    assert runs == 2


async def test_forgetting_is_for_the_rejected_token_only() -> None:
    source = TokenSource(Credential(token="one"))
    first = await source.refresh()
    source.replace(Credential(token="two"))
    second = await source.refresh()
    assert (first, second) == ("Bearer one", "Bearer two")
    source.forget(first)
    assert source.fresh
    source.forget(second)
    assert not source.fresh


async def test_rejected_and_unchanged_is_not_asked_for_all_the_time(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "token"
    file.write_text("same")
    source = TokenSource(Credential(token_file=str(file)), clock=clock)
    same = await source.refresh()
    source.forget(same)
    await source.refresh()
    source.forget(same)
    assert source.fresh
    clock.now += credentials.PAUSE
    source.forget(same)
    assert not source.fresh


async def test_replacing_while_the_old_one_is_fetched(tmp_path: Path) -> None:
    slow = printing(tmp_path, token="old")
    (tmp_path / "plugin").write_text(f"#!/bin/sh\nsleep 0.3\ncat {tmp_path}/answer\n")
    source = TokenSource(Credential(plugin=slow))
    waiting = asyncio.create_task(source.refresh())
    await asyncio.sleep(0.1)
    source.replace(Credential(token="new"))
    assert await waiting == "Bearer new"


async def test_certificates_are_handed_on_once_each() -> None:
    seen: list[tuple[bytes, bytes]] = []
    source = TokenSource(
        Credential(certificate=b"c", key=b"k"), on_certificate=lambda *pair: seen.append(pair)
    )
    assert await source.refresh() == ""
    source.forget("")
    await source.refresh()
    source.replace(Credential(certificate=b"c2", key=b"k2"))
    await source.refresh()
    assert seen == [(b"c", b"k"), (b"c2", b"k2")]
    assert source.certificate == (b"c2", b"k2")


async def test_certificate_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"cert")
    (tmp_path / "k").write_bytes(b"key")
    credential = Credential(certificate_file=str(tmp_path / "c"), key_file=str(tmp_path / "k"))
    material = await resolve(credential)
    assert (material.certificate, material.key, material.token) == (b"cert", b"key", "")
    assert credential
    assert not Credential(certificate=b"c")


async def test_nothing_is_not_a_credential() -> None:
    with pytest.raises(CredentialError, match="neither"):
        await resolve(Credential())
    assert not Credential()


# --- plugins --------------------------------------------------------------------------------------


async def test_plugin_is_told_about_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    plugin = script(
        tmp_path,
        f'echo "$INHERITED $EXTRA $1 $KUBERNETES_EXEC_INFO" > {tmp_path}/seen; cat {tmp_path}/answer',
    )
    (tmp_path / "answer").write_bytes(answer(token="t"))
    told = ExecPlugin(
        command=plugin.command, args=("arg",), env=(("EXTRA", "more"),), provide_cluster_info=True
    )
    assert (await run_plugin(told, server="https://x", ca_pem=b"PEM")).token == "t"
    inherited, extra, argument, info = (tmp_path / "seen").read_text().split(" ", 3)
    assert (inherited, extra, argument) == ("yes", "more", "arg")
    assert orjson.loads(info) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {
            "interactive": False,
            "cluster": {"server": "https://x", "certificate-authority-data": "UEVN"},
        },
    }


async def test_plugin_is_found_like_other_clients_do(tmp_path: Path) -> None:
    printing(tmp_path, token="t")
    relative = ExecPlugin(command="./plugin", directory=str(tmp_path))
    assert (await run_plugin(relative)).token == "t"
    path = (("PATH", f"{tmp_path}:{os.environ['PATH']}"),)
    assert (await run_plugin(ExecPlugin(command="plugin", env=path))).token == "t"
    with pytest.raises(CredentialError, match=r"not installed.*try this"):
        await run_plugin(ExecPlugin(command="no-such-plugin", install_hint="try\nthis"))
    (tmp_path / "plugin").chmod(0o644)
    with pytest.raises(CredentialError, match="not installed"):
        await run_plugin(relative)


async def test_failing_plugin_shows_its_complaint_only(tmp_path: Path) -> None:
    plugin = script(tmp_path, f"echo {CANARY}; echo 'log in \x1b[31mfirst' >&2; exit 3")
    with pytest.raises(CredentialError, match=r"code 3: log in \[31mfirst") as caught:
        await run_plugin(plugin)
    assert CANARY not in str(caught.value)
    noisy = script(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1")
    with pytest.raises(CredentialError) as caught:
        await run_plugin(noisy)
    assert len(str(caught.value)) < 500


async def test_hanging_plugin_is_ended_with_its_children(tmp_path: Path) -> None:
    plugin = script(tmp_path, f"sleep 300 & echo $! > {tmp_path}/pid; wait")
    hanging = ExecPlugin(command=plugin.command, timeout=0.3)
    with pytest.raises(CredentialError, match=r"no answer in 0.3 s"):
        await run_plugin(hanging)
    child = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not alive(child):
            break
        await asyncio.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_cancelled_plugin_is_ended(tmp_path: Path) -> None:
    plugin = script(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 300")
    task = asyncio.create_task(run_plugin(plugin))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_plugin_that_wants_a_terminal(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match="terminal"):
        await run_plugin(ExecPlugin(command="true", interactive_mode="Always"))
    plugin = script(tmp_path, f"read line && exit 1; cat {tmp_path}/answer")
    (tmp_path / "answer").write_bytes(answer(token="t"))
    assert (await run_plugin(plugin)).token == "t"


async def test_plugin_that_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "plugin").write_bytes(b"\x7fELF nonsense")
    (tmp_path / "plugin").chmod(0o755)
    with pytest.raises(CredentialError, match="cannot start"):
        await run_plugin(ExecPlugin(command=str(tmp_path / "plugin")))


NOW = datetime(2030, 1, 1, tzinfo=UTC)
ANSWERS = {
    "not JSON": (CANARY.encode(), "JSON"),
    "nothing": (b"", "JSON"),
    "a list": (b"[]", "ExecCredential"),
    "another kind": (b'{"kind": "Secret"}', "ExecCredential"),
    "another version": (answer(token="t").replace(b"/v1", b"/v1beta1"), "version"),
    "no status": (orjson.dumps({"apiVersion": V1, "kind": "ExecCredential"}), "no status"),
    "empty status": (answer(), "neither"),
    "odd token": (answer(token=7), "no text"),
    "certificate without key": (answer(clientCertificateData="c"), "without its key"),
    "key without certificate": (answer(token="t", clientKeyData="k"), "without its key"),
    "odd time": (answer(token=CANARY, expirationTimestamp="soon"), "no time"),
}


@pytest.mark.parametrize(("output", "message"), ANSWERS.values(), ids=ANSWERS.keys())
def test_answers_that_are_none(output: bytes, message: str) -> None:
    with pytest.raises(CredentialError, match=message) as caught:
        parse_answer(output, ExecPlugin("x"), now=NOW)
    assert CANARY not in str(caught.value)


def test_answers() -> None:
    both = parse_answer(
        answer(token=CANARY, clientCertificateData="c", clientKeyData="k"), ExecPlugin("x"), now=NOW
    )
    assert (both.token, both.certificate, both.key) == (CANARY, b"c", b"k")
    assert both.lifetime == float("inf")
    assert CANARY not in repr(both)
    for moment, lifetime in (
        ("2030-01-01T00:10:00Z", 600),
        ("2030-01-01T01:00:00+01:00", 0),
        ("2030-01-01T00:10:00.5", 600.5),
        ("1999-01-01T00:00:00Z", 0),
    ):
        timed = answer(token="t", expirationTimestamp=moment)
        assert parse_answer(timed, ExecPlugin("x"), now=NOW).lifetime == lifetime
