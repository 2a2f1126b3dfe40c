#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""hsmsignd's web page in a headless Chromium, by WebDriver (W3C).

    hsmsignd_web.py CHROMEDRIVER CHROMIUM URL FILE DOWNLOADS

Prints "ok" or "not ok" and a sentence for each that is checked.  FILE is chosen and signed as a user
does, by keyboard alone; the signature lands in DOWNLOADS.  Nothing may be
written to the console: no error, no breach of the page's policy.
"""
import base64
import json
import os
import subprocess
import sys
import time
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
TAB, ENTER, SPACE = "\ue004", "\ue007", " "


class Browser:
    def __init__(self, driver, chromium, downloads):
        self.process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL)
        self.base = None
        for line in self.process.stdout:
            if "successfully on port" in line:
                self.base = f"http://127.0.0.1:{line.split()[-1].rstrip('.')}"
                break
        options = {"binary": chromium, "args": ["--headless=new", "--no-sandbox", "--disable-gpu",
                                                "--disable-dev-shm-usage"],
                   "prefs": {"download.default_directory": downloads, "download.prompt_for_download": False}}
        answer = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        self.session = f"/session/{answer['sessionId']}"

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def post(self, path, **body):
        return self.ask("POST", self.session + path, body)

    def script(self, text, *args):
        return self.post("/execute/sync", script=text, args=list(args))

    def script_async(self, text, *args):
        return self.post("/execute/async", script=text, args=list(args))

    def find(self, selector):
        return self.post("/element", using="css selector", value=selector)[ELEMENT]

    def type(self, selector, text):
        self.post(f"/element/{self.find(selector)}/value", text=text)

    def keys(self, *keys):
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.post("/actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def console(self):
        return [e["message"] for e in self.post("/se/log", type="browser")]

    def close(self):
        self.ask("DELETE", self.session)
        self.process.terminate()
        self.process.wait()


def check(sentence, good, *more):
    print(f"{'ok' if good else 'not ok'} {sentence}")
    if not good:
        print("#", *more)


def wait_for(what):
    for _ in range(200):
        if got := what():
            return got
        time.sleep(0.1)
    return None


def status(browser):
    return browser.script("return document.getElementById('status').textContent")


GENERATE = """
const done = arguments[arguments.length - 1];
import("/web/sign.js").then(async ({ generatePKCS7 }) => {
    const p7 = await generatePKCS7(%s);
    done(btoa(String.fromCharCode(...new Uint8Array(p7))));
}).catch((error) => done("error: " + error.message));
"""


def main(driver, chromium, url, path, downloads):
    browser = Browser(driver, chromium, downloads)
    try:
        browser.post("/url", url=url)
        check("the page has its title", browser.script("return document.title") == "Sign with hsmsignd")
        check("each field has a label", browser.script(
            "return [...document.querySelectorAll('input')].every((i) => i.labels.length === 1)"))
        browser.type("#file", path)
        browser.script("document.getElementById('file').focus()")
        browser.keys(TAB)
        check("the token follows the file", browser.script("return document.activeElement.id") == "token")
        browser.keys(TAB, ENTER)
        name = os.path.basename(path)
        wait_for(lambda: "is signed" in status(browser))
        check("the file is signed by keyboard alone", status(browser) == f"{name} is signed.", status(browser))
        check("and the link to the signature has the focus",
              browser.script("return document.activeElement.id") == "download")
        browser.keys(ENTER)
        saved = os.path.join(downloads, name + ".p7s")
        check("which saves it", wait_for(lambda: os.path.exists(saved)))
        check("nothing is on the console", browser.console() == [], browser.console())

        text = browser.script_async(GENERATE % '{ fileContents: new TextEncoder().encode("data").buffer, hash: "" }')
        with open(os.path.join(downloads, "sdk.p7s"), "wb") as file:
            file.write(base64.b64decode(text) if not text.startswith("error") else b"")
        check("generatePKCS7 gives an SDK the signature of what it has", not text.startswith("error"), text)
        digest = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"  # of "data"
        text = browser.script_async(GENERATE % ('{ fileContents: null, hash: "%s" }' % digest))
        with open(os.path.join(downloads, "digest.p7s"), "wb") as file:
            file.write(base64.b64decode(text) if not text.startswith("error") else b"")
        check("and of a digest alone", not text.startswith("error"), text)
        text = browser.script_async(GENERATE % '{ fileContents: null, hash: "00" }')
        check("what the service refuses is said with its reason", text.startswith(
            "error: The signing service says: digest is not the hex of a sha256 digest (400, request "), text)

        for answer in ('{"p7":null}', "{}", "<p>hello"):
            text = browser.script_async("const answer = arguments[0]; window.fetch = async () => new Response(answer);" +
                                        GENERATE % '{ fileContents: null, hash: "00" }', answer)
            check(f"an answer that is none is an error: {answer}", text == "error: What answers is no signing service.",
                  text)
        browser.post("/refresh")
        browser.type("#file", path)

        print("# the service is stopped", flush=True)
        sys.stdin.readline()
        browser.script("document.getElementById('sign').focus()")
        browser.keys(SPACE)
        wait_for(lambda: "Signing" not in status(browser) and "is signed" not in status(browser))
        check("a service that does not answer is said", status(browser) == "The signing service does not answer.",
              status(browser))
        check("and there is nothing to save", browser.script("return document.getElementById('result').hidden"))
        check("but to try again", browser.script("return document.activeElement.id") == "sign")
    finally:
        browser.close()


main(*sys.argv[1:])
