"""What a query server answers off the hot path: health, metrics, other methods, unknown paths."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from servd.datatypes import ROUTE_METHODS, RouteRule
from servd.engine.route import Route
from servd.http.bearer import carries
from servd.http.codecs.base import NO_HEAD, PREDICT, ROOT, Codec, Head, RequestError, Resource
from servd.http.codecs.routed import codec_of
from servd.http.documents import page
from servd.http.query.documents import BY_ACCEPT, Documents
from servd.http.query.endpoint import Endpoint
from servd.http.query.request import Request
from servd.http.query.state import Found, PageReply, ServerState
from servd.http.wire import TEXT, Reply, error_reply, not_allowed
from servd.metrics.page import MetricsPage

_ADMIN_PLACE: Final = "the admin API is on the daemon's other port, by default 1338"
_PREDICTIONS: Final = "predictions are at /<application>/predict"
_SELDON: Final = (b"/api/v0.1/", b"/api/v1.0/")
_SELDON_PATHS: Final = (
    "Seldon's clients find /api/v1.0/predictions and /api/v1.0/feedback, of the default application"
)
_PROMETHEUS: Final = b"text/plain; version=0.0.4; charset=utf-8"
_GET: Final = (b"GET", b"HEAD")
_TOLD: Final = (*_GET, b"OPTIONS")


Place = tuple[Codec, Resource]
"""What a path stands for in one format."""


class Pages:
    """The answers of one server."""

    def __init__(self, state: ServerState, as_json: MetricsPage, as_text: MetricsPage) -> None:
        self._state = state
        self._as_json = as_json
        self._as_text = as_text
        self._documents = Documents(state)

    def answer(self, request: Request) -> Found:
        """Return the endpoint of a prediction, or an answer.

        Of what a codec answers itself, and whose body is still to be read, the endpoint is
        returned too; the request's `resource` says what it is.
        """
        state = self._state
        path = _path(request.url)
        if path in (b"/healthz", b"/readyz") and request.method in _GET:
            return self._answer_health(path)  # a prober has no token
        if request.method == b"OPTIONS" and request.has_origin:
            return state.cors.preflight(request.heads)  # a browser sends it without a token
        if state.token and not carries(request.authorization, state.token.encode()):
            return _unauthorized(request)
        if state.gate.is_needed and state.gate.lacks_slash(request.method, request.url):
            return _with_slash(request.url)
        if path in (b"/", b"/metrics"):
            return self._answer_get(path, request)
        return self._find(path, request)

    def _find(self, path: bytes, request: Request) -> Found:
        """Return what stands at a path of an application's, or that there is nothing."""
        rules = self._rules_at(path) if self._state.engine.rules else {}
        rule = rules.get(b"GET" if request.method == b"HEAD" else request.method)
        if rule is not None:
            route = self._state.engine.by_name[rule.app]
            return self._bind((codec_of(rule), Resource(rule.app)), route, path, request)
        places = self._places(path)
        if places and request.method != b"CONNECT":
            return self._answer_first(places, path, request)
        found = self._documents.find(path, request.unless)
        if found is not None:
            return found if request.method in _GET else _other_method(request, _TOLD, _PREDICTIONS)
        if rules:
            methods = (*rules, b"HEAD") if b"GET" in rules else tuple(rules)
            return _other_method(request, (*methods, b"OPTIONS"))
        if request.method == b"OPTIONS":
            return _allowed((*_TOLD, b"POST"))
        return _nothing_at(path, request)

    def _rules_at(self, path: bytes) -> dict[bytes, RouteRule]:
        """Return the rules of a path by their methods."""
        text = (path.rstrip(b"/") or b"/").decode(errors="replace")
        named = self._state.engine.rules
        found = {method: named.get(f"{method} {text}") for method in ROUTE_METHODS}
        return {method.encode(): rule for method, rule in found.items() if rule is not None}

    def _places(self, path: bytes) -> list[Place]:
        """Return what a path stands for in each format that knows it."""
        found = ((codec, codec.find(path)) for codec in self._state.codecs)
        places = [(codec, resource) for codec, resource in found if resource is not None]
        is_root = any(resource.application == ROOT for _, resource in places)
        return [] if is_root and self._is_named(path) else places

    def _is_named(self, path: bytes) -> bool:
        """Tell whether an application has the name that a path begins with: all below is its own.

        New ones cannot have the names of what other formats have, those of old registries may.
        """
        name = path.strip(b"/").partition(b"/")[0]
        return name.decode(errors="replace") in self._state.engine.by_name

    def _answer_health(self, path: bytes) -> Reply:
        """Answer a prober: alive as long as the loop turns; ready as the composition root says."""
        state = self._state
        if path == b"/healthz" or (state.is_ready and not state.is_draining):
            return Reply(200, b"ok\n", TEXT)
        why = f": {state.why_unready}" if state.why_unready else ""
        said = "draining\n" if state.is_draining else f"not ready{why}\n"
        return Reply(503, said.encode(), TEXT)

    def _answer_get(self, path: bytes, request: Request) -> Found:
        if request.method not in _GET:
            return _other_method(request, _TOLD)
        if path == b"/":
            if is_for_people(request):
                return self._documents.index(request.unless)
            return Reply(200, b"servd is running\n", TEXT, BY_ACCEPT)
        if b"text/plain" in request.accept or b"openmetrics" in request.accept:
            return PageReply(self._as_text, Reply(200, kind=_PROMETHEUS))
        return PageReply(self._as_json, Reply(200))

    def _answer_first(self, places: list[Place], path: bytes, request: Request) -> Endpoint | Reply:
        """Answer in the first format that has a path, unless another one claims the request."""
        engine = self._state.engine
        codec, resource = places[0]
        route = engine.by_name.get(resource.application) if resource.application else engine.root
        if route is None:
            return codec.unknown(resource)
        if len(places) == 1:
            return self._answer_at(places[0], route, path, request)
        head = _head(path, request)
        fitting = [each for each in places if request.method in each[0].methods(each[1], route)]
        # A POST says it in its body, to `Endpoint.of`.
        asked = () if request.method == b"POST" else fitting
        claiming = [each for each in asked if each[0].claims(route, head, b"")]
        chosen = (claiming or places)[0]
        others = () if claiming else tuple(each[0] for each in fitting if each is not chosen)
        return self._answer_at(chosen, route, path, request, others)

    def _answer_at(
        self,
        place: Place,
        route: Route,
        path: bytes,
        request: Request,
        others: tuple[Codec, ...] = (),
    ) -> Endpoint | Reply:
        codec, resource = place
        methods = codec.methods(resource, route)
        if request.method not in methods:
            hint = codec.methods_hint(resource, route, _place(path, request))
            return _other_method(request, (*methods, b"OPTIONS"), hint)
        return self._bind(place, route, path, request, others)

    def _bind(
        self,
        place: Place,
        route: Route,
        path: bytes,
        request: Request,
        others: tuple[Codec, ...] = (),
    ) -> Endpoint | Reply:
        """Return what a request comes to whose method is taken."""
        codec, resource = place
        is_ordinary = request.method == b"POST" and request.headers is None
        head = NO_HEAD
        if others or codec.wants_head or not is_ordinary or b"?" in request.url:
            head = _head(path, request)
        try:
            if resource.verb == PREDICT:
                return self._state.bind(codec, route, head, request, others)
            if request.long is not None:
                request.resource = resource
                return Endpoint(route, codec, head, request.heads or self._state.heads)
            return codec.answer(resource, route, head, request.body)
        except RequestError as error:
            return codec.refused(error)


def is_for_people(request: Request) -> bool:
    """Tell whether an answer is for a browser, which names HTML among what it takes."""
    return b"text/html" in request.accept


def _unauthorized(request: Request) -> Reply:
    """Ask for the token: in HTML where a person can type it in."""
    challenge = b"WWW-Authenticate: Bearer\r\n"
    if request.method in _GET and is_for_people(request):
        extra = challenge + BY_ACCEPT + page.policy()
        return Reply(401, page.token_page(), page.HTML, extra)
    cause = "this server asks for a token: send 'Authorization: Bearer TOKEN'"
    return error_reply(401, "Unauthorized", cause, extra=challenge)


def _with_slash(url: bytes) -> Reply:
    """Send a client to the same path with a slash: what is below it is relative to that."""
    path, mark, query = url.partition(b"?")
    name = path.rpartition(b"/")[2]
    location = b"Location: %b/%b%b\r\n" % (name, mark, query)
    return Reply(307, b"", TEXT, location)


def _other_method(request: Request, methods: Sequence[bytes], more: str = "") -> Reply:
    return _allowed(methods) if request.method == b"OPTIONS" else not_allowed(methods, more)


def _allowed(methods: Sequence[bytes]) -> Reply:
    return Reply(204, b"", TEXT, b"Allow: %b\r\n" % b", ".join(methods))


def _place(path: bytes, request: Request) -> str:
    """Return the URL of a path, as the client calls the server."""
    host = request.host or b"HOST:PORT"
    return f"http://{host.decode('latin-1')}{quote(path)}"


def _path(url: bytes) -> bytes:
    if b"://" in url and not url.startswith(b"/"):
        # The absolute form, which RFC 9112 §3.2.2 wants accepted.
        url = b"/" + url.partition(b"://")[2].partition(b"/")[2]
    return unquote_to_bytes(url.partition(b"?")[0])


def _head(path: bytes, request: Request) -> Head:
    query = request.url.partition(b"?")[2].decode("latin-1")
    method = request.method.decode("latin-1")
    return Head(path.decode(errors="replace"), query, request.headers or {}, method)


def _nothing_at(path: bytes, request: Request) -> Reply:
    if request.method == b"CONNECT":
        return not_allowed((*_TOLD, b"POST"))
    cause = f"There is nothing at this path; {_PREDICTIONS}"
    if path.startswith(_SELDON):
        cause = f"There is nothing at this path; {_SELDON_PATHS}"
    elif path.strip(b"/").partition(b"/")[0] in (b"admin", b"api"):
        cause = f"This is the query port; {_ADMIN_PLACE}"
    return error_reply(404, "Not found", cause)
