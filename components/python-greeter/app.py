"""A greeter in Python.

It answers calls through links, and HTTP requests by asking the greeter that it is linked to itself. It answers what
http-front does, so that one test can look at both.
"""

import json
from urllib.parse import parse_qs, urlsplit

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import greeter as linked
from wit_world.imports import store as config
from wit_world.imports.types import Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam

import change

VERSION = "python-v1"


class Greeter(exports.Greeter):
    """What others reach through links."""

    def greet(self, name):
        if name == "":
            # What is raised so is the error of the function's result.
            raise Err("whom to greet? the name is empty")
        word = config.get("word")
        return linked.Greeting(f"{word if word is not None else 'Hello'}, {name}", VERSION)

    def shapes(self, specimen, shapes, note):
        return (
            change.specimen(specimen),
            [change.shape(shape) for shape in reversed(shapes)],
            change.option(note, change.text),
        )


class IncomingHandler(exports.IncomingHandler):
    """What others reach over HTTP."""

    def handle(self, request: IncomingRequest, response_out: ResponseOutparam):
        status, text = respond(request.path_with_query() or "/")
        fields = Fields()
        fields.set("content-type", [b"application/json"])
        # By its id the caller finds its request again in the answer.
        fields.set("x-request-id", request.headers().get("x-request-id"))
        response = OutgoingResponse(fields)
        response.set_status_code(status)
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(f"{text}\n".encode())
        OutgoingBody.finish(body, None)


def respond(target):
    """Status and text of the answer to a request."""
    # An empty name is a name too.
    names = parse_qs(urlsplit(target).query, keep_blank_values=True).get("name")
    try:
        greeting = linked.greet(names[0] if names else "world")
    except Err as refusal:
        return 400, refusal.value
    answer = {
        "component": "python-greeter",
        "version": VERSION,
        "greeter": greeting.version,
        "text": greeting.text,
    }
    return 200, json.dumps(answer)
