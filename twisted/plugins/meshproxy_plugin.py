"""``twistd meshproxy``. The module that it names is imported when the command is used."""

from twisted.application.service import ServiceMaker

meshproxy = ServiceMaker(
    "meshproxy", "meshproxy.tap", "An HTTP gateway that reads Istio's networking YAML.", "meshproxy"
)
