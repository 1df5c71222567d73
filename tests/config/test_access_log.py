"""The format of the access log in a Mesh document."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from meshproxy.config import load
from meshproxy.config.sources import Source, Sources
from meshproxy.errors import ConfigError, Severity
from meshproxy.model import ISTIO_JSON_FORMAT, ISTIO_TEXT_FORMAT, ProxyIdentity, Snapshot
from tests.config.loading import GATEWAY, ROUTE, SERVICE, bundled

MESH = "apiVersion: meshproxy.dev/v1alpha1\nkind: Mesh\nmetadata: {name: mesh}\nspec:\n"


def loaded(spec: str) -> Snapshot:
    """A gateway and a Mesh document with the lines of ``spec``, the first of which is line 5 of its file."""
    files = (
        Source("mesh.yaml", MESH + "".join(f"  {line}\n" for line in spec.splitlines())),
        Source("gw", GATEWAY + SERVICE + ROUTE),
    )
    return load(Sources(files, ""), bundled(), ProxyIdentity())


def refused(spec: str) -> list[str]:
    """The errors of a load."""
    try:
        loaded(spec)
    except ConfigError as error:
        return [str(found) for found in error.diagnostics if found.severity is Severity.ERROR]
    return []


class FormatTests(SynchronousTestCase):
    def test_formats(self) -> None:
        """Istio's formats, unless there is one of the user's own; that is a text, or JSON by its encoding."""
        for spec, expected in (
            ("accessLogFile: ''", ISTIO_TEXT_FORMAT),
            ("accessLogEncoding: TEXT", ISTIO_TEXT_FORMAT),
            ("accessLogFormat: ''", ISTIO_TEXT_FORMAT),
            ("accessLogEncoding: JSON", ISTIO_JSON_FORMAT),
            ("accessLogFormat: '%REQ(:PATH)% %%'", "%REQ(:PATH)% %%"),
            (
                'accessLogEncoding: JSON\naccessLogFormat: |\n  {"a": "%PROTOCOL%", "b": {"c": [1, "%REQ(x)%"]}}',
                {"a": "%PROTOCOL%", "b": {"c": [1, "%REQ(x)%"]}},
            ),
        ):
            self.assertEqual(loaded(spec).mesh.access_log_format, expected, spec)

    def test_accepted(self) -> None:
        """Operators in the ways in which Envoy has them are accepted without a word."""
        formats = (
            "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)% %REQ(X-FORWARDED-FOR?:AUTHORITY):40% %RESP(CONTENT-TYPE):5%",
            "%ENVIRONMENT(POD_NAME):10% %EMIT_TIME% %REQUESTED_SERVER_NAME(SNI_FIRST)% %REQ_WITHOUT_QUERY(:PATH)%",
        )
        for text in formats:
            self.assertEqual(loaded(f"accessLogFormat: '{text}'").warnings, (), text)

    def test_without_a_value(self) -> None:
        """An operator of Envoy's for which there is never a value is a warning."""
        for operator in ("DYNAMIC_METADATA(a:b):3", "FILTER_STATE(x:PLAIN)", "DOWNSTREAM_TLS_VERSION", "TRAILER(x)"):
            (warning,) = loaded(f"accessLogFormat: '%{operator}%'").warnings
            self.assertIn("has no value here", str(warning))
            self.assertIn("mesh.yaml:5:20:", str(warning))

    def test_wrong(self) -> None:
        """What Envoy refuses is refused at its place, each operator once, with what was probably meant."""
        for spec, message in (
            ("accessLogEncoding: json", "spec.accessLogEncoding must not be 'json' (did you mean 'JSON'?)"),
            ("accessLogFormat: '%RESPONSE_COD%'", "%RESPONSE_COD% is no operator (did you mean 'RESPONSE_CODE'?)"),
            ("accessLogFormat: '%ZZ% %ZZ%'", "%ZZ% is no operator (docs/observability.md lists all operators)"),
            ("accessLogFormat: '100%'", "has a '%' that begins no %OPERATOR% (write %% for a percent sign)"),
            ("accessLogFormat: '%REQ%'", "%REQ% needs arguments (as in %REQ(NAME)%)"),
            ("accessLogFormat: '%TRAILER%'", "%TRAILER% needs arguments (as in %TRAILER(NAME)%)"),
            ("accessLogFormat: '%REQ(a?b?c)%'", "%REQ% takes at most two names, A?B"),
            ("accessLogFormat: '%RESP(a b)%'", "'a b' in %RESP% can be no name of a header"),
            ("accessLogFormat: '%PROTOCOL(x)%'", "%PROTOCOL% takes no arguments"),
            ("accessLogFormat: '%START_TIME(%s):3%'", "%START_TIME% takes no length"),
            ('accessLogFormat: "%START_TIME(\\0)%"', "%START_TIME%: embedded null character"),
        ):
            (error,) = refused(spec)
            self.assertTrue(error.startswith("mesh.yaml:5:"), error)
            self.assertTrue(error.endswith(message), error)

    def test_wrong_json(self) -> None:
        """What is no JSON object is refused; Istio would log that and use its own format."""
        json = "accessLogEncoding: JSON\naccessLogFormat: "
        for text, message in (
            ("plain", "Expecting value: line 1 column 1 (char 0)"),
            ("'[]'", "must be a JSON object, as accessLogEncoding is JSON"),
            ('\'{"a": 1, "a": 2}\'', "the key 'a' is there twice"),
            ("'{\"a\": NaN}'", "NaN is no number in JSON"),
            ('\'{"a": {"b": ["%NOPE%"]}}\'', "%NOPE% is no operator"),
            ('\'{"a": ' + "[" * 40 + "]" * 40 + "}'", "may not nest deeper than 32 levels"),
            ("'" + "[" * 100_000 + "'", "must be a JSON object"),
        ):
            (error,) = refused(json + text)
            self.assertTrue(error.startswith("mesh.yaml:6:20: spec.accessLogFormat"), error)
            self.assertIn(message, error)

    def test_many_faults(self) -> None:
        """A format with very many faults does not drown the others."""
        self.assertEqual(len(refused("accessLogFormat: '" + "".join(f"%X{n}%" for n in range(100)) + "'")), 10)
