"""Headers of every answer: pure (threats A54, A58).

No script or style but our own files, no frame around us, nothing sent on to others, nothing kept by caches.
`form-action` names the loopback addresses because browsers apply it to the redirect that follows a form.
"""

from typing import Final

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self' http://127.0.0.1:* http://localhost:*; base-uri 'none'; frame-ancestors 'none'"
)

_ALWAYS: Final = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_HSTS: Final = "max-age=31536000"

_GO_NO_CACHE: Final = {
    # As Go's backend sends them (spec 4.3).
    "Expires": "Thu, 01 Jan 1970 00:00:00 UTC",
    "Cache-Control": "no-cache, no-store, must-revalidate, max-age=0",
    "X-Accel-Expires": "0",
}
_GO_PATHS: Final = frozenset({"/resources", "/bind"})
STATIC: Final = "/static/"
"""Where the files of the pages are: the same for everybody, and no page can be looked at without them."""
_ICON: Final = "/favicon.ico"


def security(path: str, *, secure: bool, cacheable: bool = False) -> dict[str, str]:
    """Headers for an answer.

    Args:
        path: of the request.
        secure: browsers see us over TLS.
        cacheable: the handler has said itself how long the answer may be kept.
    """
    found = dict(_ALWAYS)
    if secure:
        found["Strict-Transport-Security"] = _HSTS
    if path in _GO_PATHS:
        found.update(_GO_NO_CACHE)
    elif not (cacheable and (path.startswith(STATIC) or path == _ICON)):
        found["Cache-Control"] = "no-store"
    return found
