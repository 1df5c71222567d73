"""The gateway reads messages as h11 does, or refuses them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.differential import messages
from tests.differential.agreement import check_requests, check_response
from tests.differential.seeds import REQUESTS, RESPONSES
from tests.properties import steady


class AgreementTests(SynchronousTestCase):
    @given(messages.requests, messages.cuts)
    @settings(steady, max_examples=400)
    def test_requests(self, data: bytes, cuts: list[int]) -> None:
        """Whatever a client sends, in whatever pieces: what the endpoint gets are the requests that h11 sees in it."""
        check_requests(data, cuts)

    @given(messages.responses, messages.cuts, st.booleans(), st.sampled_from(("GET", "HEAD")))
    @settings(steady, max_examples=400)
    def test_responses(self, data: bytes, cuts: list[int], closed: bool, method: str) -> None:
        """Whatever an endpoint sends: what the client gets as a whole response is the one that h11 sees."""
        check_response(data, cuts, closed, method)

    def test_seeds(self) -> None:
        """The messages that fuzzing begins with agree, wherever they are cut."""
        for data in REQUESTS:
            for at in range(len(data)):
                check_requests(data, [at])
        for data in RESPONSES:
            for at in range(len(data)):
                check_response(data, [at])
