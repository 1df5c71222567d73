"""A browser for tests."""

from __future__ import annotations

import shutil
from unittest import SkipTest

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service


def browser(scripts: bool = True) -> Chrome:
    """A Chromium without a window, where there is one; ``scripts``: whether pages may run theirs."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        raise SkipTest("there is no Chromium here; on Debian: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = binary
    # Its sandbox does not work for root, nor its use of /dev/shm in small containers.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    return Chrome(options, Service(driver))
