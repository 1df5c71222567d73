"""The form of the status page that asks where a request goes, and its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from meshproxy.admin import explained
from meshproxy.admin.markup import note, place, text, word
from meshproxy.admin.served import NotServing, Served
from meshproxy.explain import Asked, Explanation
from meshproxy.explain.rendering import facts


@frozen
class Form:
    """What was written into the form. ``headers`` are lines ``Name: value``."""

    request: str = ""
    headers: str = ""
    client: str = ""

    @classmethod
    def sent(cls, query: Mapping[bytes, Sequence[bytes]]) -> Form:
        """What a query has of it."""
        values = (query.get(name, [b""])[-1].decode("utf-8", "replace") for name in (b"request", b"headers", b"from"))
        return cls(*values)

    async def explained(self, service: Served) -> str:
        """The answer as HTML; empty where nothing was asked."""
        if not self.request.strip():
            return ""
        try:
            return _answer(await service.explain(self._asked()))
        except ValueError as error:
            return _refused(str(error))
        except NotServing:
            return _refused("nothing is served at present")

    def _asked(self) -> Asked:
        lines = [line.strip().encode() for line in self.headers.splitlines() if line.strip()]
        return explained.asked_by(
            {b"request": [self.request.encode()], b"header": lines, b"from": [self.client.strip().encode()]}
        )


def explain_section(form: Form, answer: str) -> str:
    """The form with what was written into it, and the answer as HTML; empty where nothing was asked."""
    return f"""<section aria-labelledby="explain-title"><h2 id="explain-title">Explain a request</h2>
<div class="card"><div class="body"><p class="quiet">Where would it go now, and why? Nothing is sent.</p>
<form id="explain-form" action="/#explanation">
<div class="wide"><label for="request">Request <small>method and URL</small></label>
<input id="request" name="request" value="{text(form.request)}" placeholder="GET http://shop.example/cart" required
autocomplete="off" autocapitalize="off" spellcheck="false"></div>
<div><label for="headers">Headers <small>one a line</small></label>
<textarea id="headers" name="headers" rows="3" placeholder="Cookie: session=42" autocapitalize="off"
spellcheck="false">
{_lines(form.headers)}</textarea></div>
<div><label for="from">Client <small>IP address, with port if you like</small></label>
<input id="from" name="from" value="{text(form.client)}" placeholder="10.0.0.7" autocomplete="off"
spellcheck="false"></div>
<div class="wide"><button>Explain</button></div></form>
<div id="explanation" data-live tabindex="-1">{answer}</div></div></div></section>"""


def _answer(explanation: Explanation) -> str:
    """An explanation as HTML: first where the request ends, then each decision."""
    groups: list[list[str]] = []
    for line in facts(explanation):
        at = f' <span class="place">{place(line.place)}</span>' if line.place else ""
        fact = f"<dd>{text(line.words)}{at}</dd>"
        if line.label or not groups:
            kind = ' class="sub"' if line.label.startswith(" ") else ""
            groups.append([f"<div{kind}><dt>{text(line.label.strip())}</dt>"])
        groups[-1].append(fact)
    decisions = "".join("".join([*group, "</div>"]) for group in groups)
    return f'<h3 class="outcome">{_outcome(explanation)}</h3><dl class="decisions">{decisions}</dl>'


def _refused(reason: str) -> str:
    """Why there is no explanation."""
    return note("bad", f"<p>There is no explanation: {text(reason)}.</p>")


def _lines(words: str) -> str:
    """Several lines."""
    return "\n".join(map(text, words.splitlines()))


def _outcome(explanation: Explanation) -> str:
    forward = explanation.forward
    if forward is None:
        status = 0 if explanation.answer is None else explanation.answer.status
        return word("ok" if status < 400 else "warn", f"The gateway answers {status} by itself")
    ends = []
    for destination in forward.destinations:
        where = destination.endpoint or ("one of several endpoints" if destination.drawn else "no endpoint")
        ends.append(f"{where} ({destination.percent:.4g}%)" if len(forward.destinations) > 1 else where)
    lost = all(it.endpoint is None and not it.drawn for it in forward.destinations)
    return word("bad" if lost else "ok", f"It goes to {' or '.join(ends)}")


__all__ = ["Form", "explain_section"]
