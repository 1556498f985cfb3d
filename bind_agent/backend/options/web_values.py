"""Values of the web half's flags, each checked by itself; no message repeats a secret."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import click

from bind_agent.api import encoding, naming
from bind_agent.api.encoding import EncodingError
from bind_agent.backend.access import Kind
from bind_agent.backend.oidc.config import OidcConfig
from bind_agent.backend.options.types import parse_address
from bind_agent.backend.options.web_flags import DEFAULT_LISTEN

CALLBACK_PATH: Final = "/callback"
LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_MAX_FILE: Final = 64 * 1024


def check_url(text: str, hint: str) -> str:
    """Check an address of ours or of the issuer.

    Raises:
        click.BadParameter: not an https URL, or http elsewhere than on this machine.
    """
    parts = _split(text)
    if parts is None:
        raise click.BadParameter(
            f"{text!r} is not an https URL with a host (http is for localhost only)", param_hint=hint
        )
    if parts.fragment or (hint == "--oidc-issuer-url" and parts.query):
        raise click.BadParameter(f"{text!r} must have no fragment and no query", param_hint=hint)
    return text.strip()


def check_callback(text: str) -> str:
    """Check the registered redirect URI.

    Raises:
        click.BadParameter: as above, or its path is another one than ours.
    """
    hint = "--oidc-callback-url"
    url = check_url(text, hint)
    parts = urlsplit(url)
    if parts.path != CALLBACK_PATH or parts.query:
        raise click.BadParameter(
            f"the path of {url} must be {CALLBACK_PATH}: the pages are served at the root of a host",
            param_hint=hint,
        )
    return url


def listen_address(address: str, ip: str, port: str) -> tuple[str, int]:
    """Host and port of the listener; the two deprecated flags count together when the first is given.

    Raises:
        click.BadParameter: not an address.
    """
    if ip:
        click.echo("--listen-ip and --listen-port are deprecated: use --listen-address", err=True)
        host = f"[{ip}]" if ":" in ip else ip
        return parse_address(f"{host}:{port or DEFAULT_LISTEN.rpartition(':')[2]}", "--listen-ip")
    return parse_address(address or DEFAULT_LISTEN, "--listen-address")


def decode_key(text: str, sizes: tuple[int, ...], hint: str) -> bytes:
    """A cookie key of its text; no message repeats it.

    Raises:
        click.BadParameter: not base64, or not of one of the sizes.
    """
    allowed = " or ".join(str(size) for size in sizes)
    how = f"make one with `openssl rand -base64 {max(sizes[:2])}`"
    try:
        key = encoding.from_base64(text)
    except EncodingError:
        raise click.BadParameter(f"the key is not base64: {how}", param_hint=hint) from None
    if len(key) not in sizes:
        raise click.BadParameter(
            f"the key has {len(key)} bytes, and {allowed} are needed: {how}", param_hint=hint
        )
    return key


def oidc(values: Mapping[str, Any], secret: str, callback: str) -> OidcConfig:
    """The issuer, and how we are registered there.

    Raises:
        click.UsageError: a flag cannot be used.
    """
    ca_file = values["oidc_ca_file"]
    try:
        if ca_file:
            ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise click.BadParameter(
            f"{ca_file} cannot be used: {error.strerror or error}", param_hint="--oidc-ca-file"
        ) from None
    try:
        return OidcConfig(
            issuer_url=check_url(values["oidc_issuer_url"], "--oidc-issuer-url"),
            client_id=values["oidc_issuer_client_id"].strip(),
            client_secret=secret,
            callback_url=callback,
            scopes=tuple(dict.fromkeys(("openid", *values["oidc_scope"]))),
            groups_claim=values["oidc_groups_claim"].strip(),
            ca_file=Path(ca_file) if ca_file else None,
        )
    except ValueError as error:
        raise click.UsageError(f"the --oidc-* flags: {error}") from None


def keys(values: Mapping[str, Any], name: str, sizes: tuple[int, ...]) -> tuple[bytes, ...]:
    """Cookie keys of a flag and of its file, one a line.

    Raises:
        click.BadParameter: one cannot be used; see `decode_key`.
    """
    flag = "--" + name.replace("_", "-")
    lines = read(values[f"{name}_file"], f"{flag}-file").splitlines() if values[f"{name}_file"] else []
    texts = [text for text in (*values[name], *lines) if text.strip()]
    return tuple(decode_key(text, sizes, flag) for text in texts)


def _split(text: str) -> SplitResult | None:
    """The parts of a usable URL."""
    try:
        parts = urlsplit(text.strip())
        fine = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    local = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not fine or parts.username is not None or parts.password is not None:
        return None
    return parts if parts.scheme == "https" or local else None


def optional_url(text: str, hint: str) -> str:
    """As `check_url`, where none is needed."""
    return check_url(text, hint) if text else ""


def tls(cert: str, key: str) -> tuple[str, str]:
    """Both files or none, and a pair (Go never checks, W-B15)."""
    if not cert and not key:
        return "", ""
    if not cert or not key:
        given, lacking = ("--tls-cert-file", "--tls-key-file")[:: 1 if cert else -1]
        raise click.UsageError(f"{given} needs {lacking} as well")
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(cert, key, password=_no_password)
    except OSError as error:
        raise click.BadParameter(
            f"{cert} and {key} cannot be used: {error.strerror or error}", param_hint="--tls-cert-file"
        ) from None
    return cert, key


def _no_password() -> str:
    """Instead of a prompt on the terminal."""
    return ""


def auto_select(text: str, callback: str) -> Kind | None:
    """What is bound right after each login; None for nothing.

    Raises:
        click.BadParameter: not on this machine, or not RESOURCE.GROUP.
    """
    if not text:
        return None
    hint = "--testing-auto-select"
    if urlsplit(callback).hostname not in LOOPBACK_HOSTS:
        raise click.BadParameter(
            "binds without asking anybody, so it works on localhost only", param_hint=hint
        )
    plural, _, group = text.partition(".")
    if not naming.is_label(plural) or not group:
        raise click.BadParameter(f"{text!r} is not RESOURCE.GROUP", param_hint=hint)
    return Kind(group, plural)


def line(path: str, hint: str) -> str:
    """The one line of a file, or empty without a file."""
    return read(path, hint).strip() if path else ""


def read(path: str, hint: str) -> str:
    """A small text file.

    Raises:
        click.BadParameter: it cannot be read, or is too large.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_FILE + 1)
        if len(data) > _MAX_FILE:
            raise click.BadParameter(f"{path} is larger than {_MAX_FILE} bytes", param_hint=hint)
        return data.decode()
    except OSError as error:
        raise click.BadParameter(f"cannot read {path}: {error.strerror}", param_hint=hint) from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{path} is not a text file", param_hint=hint) from None
