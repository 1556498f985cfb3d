"""How to look around while the demonstration is kept running."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bind_agent.devcluster.demo import bundle, names
from bind_agent.devcluster.demo.tour_bind import PERSON
from bind_agent.devcluster.demo.tour_commands import Command, typed
from bind_agent.devcluster.demo.tour_life import psql_hint
from bind_agent.devcluster.demo.tour_scene import Scene
from bind_agent.devcluster.demo.tour_setup import BACKEND, KONNECTOR, OPERATOR, pages
from bind_agent.devcluster.demo.tour_telling import columns
from bind_agent.devcluster.ports import LOOPBACK

_PAGES: Final = (
    ("catalogue", "the catalogue"),
    ("clusters", f"my clusters: what {PERSON} has bound, its health and credential"),
    ("operators", "everything at once; sign in as operator"),
)


def search_path(kubectl: Path) -> str:
    """The shell line after which all commands of the demonstration work as shown.

    Args:
        kubectl: the one of the clusters.
    """
    folders = (Path(sys.executable).parent, kubectl.parent, bundle.find() / "bin")
    return f"export PATH={shlex.quote(os.pathsep.join(map(str, folders)))}:$PATH"


def hints(scene: Scene) -> str:
    """Commands to look around with, for people."""
    provider, consumer = scene.provider, scene.consumer
    directory = str(scene.playground.directory)
    one = f"{names.PLURAL[:-1]}/{scene.name}"
    sections: list[tuple[str, Sequence[tuple[str, ...] | str]]] = [
        (
            f"in a browser: sign in as {PERSON}, who bound the API; nobody is asked for a password",
            columns([(pages(scene)[name], title) for name, title in _PAGES]).split("\n"),
        ),
        ("on a command line: first", [search_path(scene.playground.control_plane.kubectl)]),
        (
            "app cluster: bindings, a new database, what arrives, and away with it",
            [
                scene.kubectl_words(consumer, "get", "apiservicebindings", "-A"),
                scene.kubectl_words(consumer, "apply", "-f", scene.manifest("postgresql.yaml")),
                scene.kubectl_words(consumer, "wait", one, "--for=condition=Ready"),
                scene.kubectl_words(consumer, "get", f"{names.PLURAL},secrets,configmaps"),
                psql_hint(scene),
                scene.kubectl_words(consumer, "delete", one),
            ],
        ),
        (
            "app cluster: the login once more, in your own browser",
            [
                (
                    *("kubectl", "bind", f"{scene.web}/export"),
                    *(f"--kubeconfig={consumer.kubeconfig}", "--skip-konnector"),
                )
            ],
        ),
        (
            "control plane: tenants, exports, the copies",
            [
                ("bind-backend", "tenant", "list", f"--kubeconfig={provider.kubeconfig}"),
                scene.kubectl_words(provider, "get", "apiserviceexports,clusterbindings", "-A"),
                scene.kubectl_words(provider, "get", names.PLURAL, "-A", "-o", "wide"),
            ],
        ),
        (
            "the playground itself",
            [
                ("kubectl", "bind", "dev", "status", "--dir", directory),
                ("kubectl", "bind", "dev", "kubectl", "--dir", directory, consumer.name, "get", "crds"),
            ],
        ),
        ("logs and metrics", [*_logs(scene), *_metrics(scene)]),
    ]
    return "\n".join(
        line
        for title, commands in sections
        for line in ("", f"# {title}", *(_shown(command) for command in commands))
    )


def _logs(scene: Scene) -> list[tuple[str, ...]]:
    programs = [scene.programs[name] for name in (BACKEND, KONNECTOR, OPERATOR) if name in scene.programs]
    return [("tail", "-f", str(program.log)) for program in programs]


def _metrics(scene: Scene) -> list[tuple[str, ...]]:
    ports = [scene.stage.ports[name] for name in (BACKEND, KONNECTOR) if name in scene.stage.ports]
    return [("curl", f"http://{LOOPBACK}:{port}/metrics") for port in ports]


def _shown(command: tuple[str, ...] | str) -> str:
    return command if isinstance(command, str) else typed(Command(command), width=10_000)
