"""Our own pages without any decoration."""

from html import escape
from typing import Any

from aiohttp import web

from bind_agent.backend.http.refusal import Refusal

_PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>{title}</title></head>'
    "<body><main><h1>{title}</h1>{body}</main></body></html>"
)


class PlainView:
    """Plain HTML, escaped."""

    def error(self, request: web.Request, refusal: Refusal) -> str:
        """The page of an error."""
        body = f"<p>{escape(refusal.message)}</p><p>{escape(refusal.advice)}</p>"
        if refusal.link:
            body += f'<p><a href="{escape(refusal.link)}">Start again</a></p>'
        return _PAGE.format(title=escape(refusal.title), body=body)

    def confirm(self, request: web.Request, **model: Any) -> str:
        """The question whether an API is to be bound."""
        fields = {
            "s": model["bind"].sid,
            "resource": model["kind"].plural,
            "group": model["kind"].group,
            "csrf": model["csrf"],
        }
        inputs = "".join(
            f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
            for name, value in fields.items()
        )
        body = (
            f"<p>{escape(str(model['kind']))} for app cluster {escape(model['bind'].cluster_id)}</p>"
            f'<form method="post" action="{escape(model["action"])}">{inputs}<button>Bind</button></form>'
        )
        if model["link"]:
            body += f'<p><a href="{escape(model["link"])}">Bind</a></p>'
        return _PAGE.format(title="Bind this API?", body=body)

    def signed_out(self, request: web.Request) -> str:
        """The end of a session."""
        return _PAGE.format(title="You are logged out", body="")
