"""The status page in a browser: with its script and without, on a narrow screen, in the dark, by keyboard."""

from __future__ import annotations

import re
from typing import Any

from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.integration.chromium import browser
from tests.processes import PATIENCE, ProcessTestCase, get, mesh

# The lowest contrast of any text with what is behind it, and which text that is. Source: WCAG 2.2, relative luminance.
_LOWEST_CONTRAST = """
const channel = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
const color = (text) => text.match(/[\\d.]+/g).map(Number);
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const found = color(getComputedStyle(at).backgroundColor);
    if (found.length < 4 || found[3] === 1) return found;
  }
  throw new Error('nothing is behind');
};
let lowest = [99, ''];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest('script, style, svg')) continue;
  const [a, b] = [luminance(color(getComputedStyle(element).color)), luminance(behind(element))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (contrast < lowest[0]) lowest = [contrast, texts.currentNode.data];
}
return lowest;
"""


class StatusPageTests(ProcessTestCase):
    def setUp(self) -> None:
        self.endpoints = self.replicas(3)
        config = self.folder() / "mesh.yaml"
        config.write_text(mesh(self.endpoints))
        _, self.port, self.admin = self.gateway(config, "--access-log", "off")

    def open(self, path: str = "/", scripts: bool = True) -> Chrome:
        found = browser(scripts)
        self.addCleanup(found.quit)
        found.get(f"http://127.0.0.1:{self.admin}{path}")
        return found

    def request(self, number: int = 1) -> None:
        for session in range(number):
            get(self.port, Host="test.com", Cookie=f"ISTIOID={session}")

    def rows(self, page: Chrome) -> list[str]:
        return [row.text for row in page.find_elements(By.CSS_SELECTOR, ".endpoints tbody tr")]

    def wait(self, page: Chrome, condition: Any) -> None:
        WebDriverWait(page, PATIENCE, poll_frequency=0.1).until(lambda _: condition())

    def errors(self, page: Chrome) -> list[str]:
        return [entry["message"] for entry in page.get_log("browser")]  # type: ignore[no-untyped-call]

    def test_without_scripts(self) -> None:
        """The page shows all that there is, says how it is read anew, and its form is answered."""
        self.request(5)
        page = self.open(scripts=False)
        self.assertEqual(len(self.rows(page)), 3)
        self.assertIn("healthy", self.rows(page)[0])
        self.assertIn("Read anew every", page.find_element(By.TAG_NAME, "footer").text)
        self.assertFalse(page.find_element(By.ID, "pause").is_displayed())
        page.find_element(By.ID, "request").send_keys("GET http://test.com/x")
        page.find_element(By.ID, "headers").send_keys("Cookie: ISTIOID=7\nx-other: 1")
        page.find_element(By.CSS_SELECTOR, "#explain-form button").click()
        self.wait(page, lambda: "It goes to 127.0.0.1:" in page.find_element(By.ID, "explanation").text)
        self.assertIn('httpCookie "7"', page.find_element(By.ID, "explanation").text)
        self.assertEqual(page.find_element(By.ID, "headers").get_property("value"), "Cookie: ISTIOID=7\nx-other: 1")

    def test_updates_itself(self) -> None:
        """Figures follow what happens, while what is typed, focused and opened stays as it is; this can be paused."""
        page = self.open()
        form = page.find_element(By.ID, "request")
        form.send_keys("GET http://te")
        details = page.find_element(By.TAG_NAME, "details")
        page.execute_script("arguments[0].open = false", details)
        before = page.find_element(By.CSS_SELECTOR, ".endpoints tbody tr")
        self.request(7)

        def requests() -> int:
            return sum(int(cell.text) for cell in page.find_elements(By.CSS_SELECTOR, "td[data-label=Requests]"))

        self.wait(page, lambda: requests() == 7)
        sessions = page.find_elements(By.CSS_SELECTOR, "td[data-label=Sessions]")
        self.assertEqual(sum(int(cell.text) for cell in sessions), 7)
        self.assertTrue(before.is_displayed(), "rows are changed, not replaced")
        self.assertEqual(page.switch_to.active_element, form)
        self.assertEqual(form.get_property("value"), "GET http://te")
        self.assertFalse(details.get_property("open"))
        self.assertEqual(self.errors(page), [])
        pause = page.find_element(By.ID, "pause")
        pause.click()
        self.assertEqual(pause.get_attribute("aria-pressed"), "true")

    def test_form(self) -> None:
        """The answer comes into the page, has the focus, and what was asked is in the address."""
        page = self.open()
        page.find_element(By.ID, "request").send_keys("http://test.com/", Keys.RETURN)
        explanation = page.find_element(By.ID, "explanation")
        self.wait(page, lambda: "It goes to one of several endpoints" in explanation.text)
        self.wait(page, lambda: page.switch_to.active_element == explanation)
        self.assertIn("request=http", page.current_url)
        page.find_element(By.ID, "headers").send_keys("Cookie: ISTIOID=7")
        page.find_element(By.CSS_SELECTOR, "#explain-form button").click()
        self.wait(page, lambda: "It goes to 127.0.0.1:" in explanation.text)
        self.assertEqual(self.errors(page), [])

    def test_gateway_that_ends(self) -> None:
        """When the gateway does not answer any more, the page says so and keeps what it has."""
        page = self.open()
        page.execute_script("window.fetch = () => Promise.reject(new Error('gone'))")
        pause = page.find_element(By.ID, "pause")
        pause.click()
        pause.click()
        self.wait(page, lambda: page.find_element(By.ID, "connection").is_displayed())
        self.assertEqual(len(self.rows(page)), 3)

    def test_narrow(self) -> None:
        """On the screen of a phone nothing sticks out, and each figure has its name beside it."""
        page = self.open("/?request=http://test.com/")
        for width in (320, 360, 700, 1000):
            metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700}
            page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            wide = page.execute_script("return document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width)
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "width": 360})
        label = "getComputedStyle(document.querySelector('td[data-label=Errors]'), '::before').content"
        self.assertEqual(page.execute_script(f"return {label}"), '"Errors"')

    def test_contrast(self) -> None:
        """All text is readable in the light and in the dark."""
        self.endpoints[0].end()
        page = self.open("/?request=http://test.com/")
        colors = set()
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            contrast, text = page.execute_script(_LOWEST_CONTRAST)
            self.assertGreaterEqual(contrast, 4.5, text)
            colors.add(page.execute_script("return getComputedStyle(document.body).backgroundColor"))
        self.assertEqual(len(colors), 2)

    def test_keyboard_and_landmarks(self) -> None:
        """The first thing that Tab comes to leads to the clusters; a screen reader finds its way by landmarks."""
        page = self.open()
        page.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
        skip = page.switch_to.active_element
        self.assertEqual(skip.text, "Skip to clusters")
        self.assertGreaterEqual(skip.rect["x"], 0)
        skip.send_keys(Keys.RETURN)
        self.assertTrue(page.current_url.endswith("#clusters"))
        tree: dict[str, Any] = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})
        found = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree["nodes"]}
        roles = {role for role, _ in found}
        for role in ("banner", "main", "contentinfo", "navigation", "status"):
            self.assertIn(role, roles)
        self.assertIn(("region", "Clusters"), found)
        self.assertIn(("table", "Endpoints of replicas.example:8080"), found)
        self.assertTrue(any(role in ("image", "img") and name.startswith("Hash ring") for role, name in found))
        names = [name for role, name in found if role == "textbox"]
        self.assertEqual(len(names), 3)
        self.assertTrue(all(re.match("Request|Headers|Client", name) for name in names))
