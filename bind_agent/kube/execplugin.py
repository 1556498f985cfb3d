"""Exec credential plugins (`client.authentication.k8s.io` v1 and v1beta1).

The plugin is a command from the *own* kubeconfig; kubeconfigs of the other side never get here (`intake`
refuses them). It runs without a terminal, without a shell, in its own process group, bounded in time and
output.
"""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from bind_agent.kube.errors import CredentialError, clean

API_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
MAX_OUTPUT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """The `exec` part of a kubeconfig user.

    Attributes:
        command: program; a relative path with a slash counts from `directory`, a bare name is looked up in
            PATH.
        api_version: one of `API_VERSIONS`.
        args: its arguments.
        env: variables on top of the own environment; may hold secrets.
        provide_cluster_info: the plugin is told address and CA of the cluster.
        interactive_mode: `Never`, `IfAvailable` or `Always`; with the last one nothing can be done here.
        install_hint: shown when the command is missing.
        directory: folder of the kubeconfig.
        timeout: seconds that one run may take.
    """

    command: str
    api_version: str = API_VERSIONS[0]
    args: tuple[str, ...] = field(default=(), repr=False)
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    provide_cluster_info: bool = False
    interactive_mode: str = "IfAvailable"
    install_hint: str = ""
    directory: str = ""
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class PluginAnswer:
    """What the plugin printed: a token, a certificate with key (PEM), or both, for `lifetime` seconds."""

    token: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)
    lifetime: float = float("inf")


async def run_plugin(plugin: ExecPlugin, *, server: str = "", ca_pem: bytes | None = None) -> PluginAnswer:
    """Run the plugin once.

    Args:
        plugin: what to run.
        server: address of the cluster, passed on when the plugin asks for it.
        ca_pem: CA of the cluster, likewise.

    Returns:
        Its answer.

    Raises:
        CredentialError: it is missing, fails, hangs, or prints something else than a credential.  The message
            holds the beginning of its error output, never its output.
    """
    if plugin.interactive_mode == "Always":
        raise CredentialError(f"the credential plugin {plugin.command} needs a terminal; use a token instead")
    environment = {
        **os.environ,
        **dict(plugin.env),
        "KUBERNETES_EXEC_INFO": _exec_info(plugin, server, ca_pem),
    }
    command = _find(plugin, environment)
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *plugin.args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise CredentialError(
            f"cannot start the credential plugin {plugin.command}: {clean(str(error))}"
        ) from None
    try:
        async with asyncio.timeout(plugin.timeout):
            output, complaint = await asyncio.gather(_read_all(process.stdout), _read_all(process.stderr))
            code = await process.wait()
    except TimeoutError:
        raise CredentialError(
            f"the credential plugin {plugin.command} gave no answer in {plugin.timeout:g} s"
        ) from None
    finally:
        await _end(process)
    if code != 0:
        said = clean(complaint.decode("utf-8", "replace"))
        raise CredentialError(
            f"the credential plugin {plugin.command} failed with code {code}: {said or 'no message'}"
        )
    return parse_answer(output, plugin, now=datetime.now(UTC))


def parse_answer(output: bytes, plugin: ExecPlugin, *, now: datetime) -> PluginAnswer:
    """Read the `ExecCredential` that a plugin printed.

    Args:
        output: its standard output.
        plugin: which plugin it was, for messages and the expected version.
        now: current time with zone.

    Returns:
        The answer; a lifetime below zero counts as zero.

    Raises:
        CredentialError: not an ExecCredential of the expected version, or nothing in it.
    """
    name = f"the credential plugin {plugin.command}"
    try:
        answer = orjson.loads(output)
    except orjson.JSONDecodeError:
        raise CredentialError(f"{name} did not print JSON") from None
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
        raise CredentialError(f"{name} did not print an ExecCredential")
    if answer.get("apiVersion") != plugin.api_version:
        raise CredentialError(f"{name} answers in another version than {plugin.api_version}")
    status = answer.get("status")
    if not isinstance(status, dict):
        raise CredentialError(f"{name} printed no status")
    token, certificate, key, expires = (
        _text(status.get(field_name), name)
        for field_name in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
    )
    if bool(certificate) != bool(key):
        raise CredentialError(f"{name} printed a certificate without its key, or the reverse")
    if not token and not certificate:
        raise CredentialError(f"{name} printed neither a token nor a certificate")
    lifetime = float("inf")
    if expires:
        try:
            moment = datetime.fromisoformat(expires)
        except ValueError:
            raise CredentialError(f"{name} printed an expirationTimestamp that is no time") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        lifetime = max((moment - now).total_seconds(), 0.0)
    return PluginAnswer(token=token, certificate=certificate.encode(), key=key.encode(), lifetime=lifetime)


def _exec_info(plugin: ExecPlugin, server: str, ca_pem: bytes | None) -> str:
    spec: dict[str, Any] = {"interactive": False}
    if plugin.provide_cluster_info:
        spec["cluster"] = {"server": server}
        if ca_pem:
            spec["cluster"]["certificate-authority-data"] = base64.b64encode(ca_pem).decode()
    return orjson.dumps({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}).decode()


def _find(plugin: ExecPlugin, environment: dict[str, str]) -> str:
    command = plugin.command
    if "/" in command:
        found = shutil.which(os.path.join(plugin.directory, command))  # noqa: PTH118 - keeps absolute paths as they are
    else:
        found = shutil.which(command, path=environment.get("PATH"))
    if found is None:
        hint = f" ({clean(plugin.install_hint)})" if plugin.install_hint else ""
        raise CredentialError(f"the credential plugin {command} is not installed{hint}")
    return found


async def _read_all(stream: asyncio.StreamReader | None) -> bytes:
    """Everything up to a bound; the rest is read and dropped, so that the plugin does not block."""
    kept: list[bytes] = []
    size = 0
    while stream is not None and (chunk := await stream.read(65536)):
        if size < MAX_OUTPUT:
            kept.append(chunk)
            size += len(chunk)
    return b"".join(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave neither the plugin nor its children behind, also when our task was cancelled."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    # A grandchild that holds the pipes would keep the transport open after the process ended.
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


def _text(value: object, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CredentialError(f"{name} printed a status field that is no text")
    return value
