//! A browser without a screen, told what to do through pipes by Chromium's devtools protocol.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use support::packages;
use tempfile::TempDir;

/// A page of a browser, and what went wrong in it.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    calls: u64,
    /// Exceptions, errors on the console, and requests for anything that is no file of this machine.
    pub(crate) faults: Vec<String>,
    events: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn new() -> Self {
        let names = ["chromium-headless-shell", "chromium", "google-chrome"];
        let program = packages::program(&names, "chromium-headless-shell");
        let profile = TempDir::new().expect("a folder");
        // It reads from descriptor 3 and writes to 4. Without a sandbox: that cannot be had as root, and all pages are the tests'.
        let script = "exec timeout 600 \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let (to, from) = (child.stdin.take().expect("a pipe"), BufReader::new(child.stdout.take().expect("a pipe")));
        let (faults, events) = (Vec::new(), Vec::new());
        let mut browser = Self { child, to, from, session: None, calls: 0, faults, events, _profile: profile };
        let target =
            browser.call("Target.createTarget", json!({ "url": "about:blank", "width": 1200, "height": 1600 }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", target)["sessionId"].as_str().map(str::to_owned);
        for domain in ["Runtime", "Log", "Network", "Page", "DOM"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method, and returns its result.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("the browser lives");
        loop {
            let message = self.read();
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).expect("the browser lives");
        assert_eq!(bytes.pop(), Some(0), "the browser has ended");
        let message: Value = serde_json::from_slice(&bytes).expect("JSON");
        let (method, parameters) = (message["method"].as_str().unwrap_or_default(), &message["params"]);
        let url = parameters["request"]["url"].as_str().unwrap_or_default();
        let fault = match method {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => {
                ["error", "warning", "assert"].contains(&parameters["type"].as_str().unwrap_or(""))
            }
            "Log.entryAdded" => ["error", "warning"].contains(&parameters["entry"]["level"].as_str().unwrap_or("")),
            "Network.requestWillBeSent" => !url.starts_with("file://"),
            _ => false,
        };
        if fault {
            self.faults.push(parameters.to_string());
        }
        self.events.push(method.to_owned());
        message
    }

    /// Opens a page, and waits until it is loaded.
    pub(crate) fn open(&mut self, path: &std::path::Path) {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": format!("file://{}", path.display()) }));
        while !self.events.iter().any(|event| event == "Page.loadEventFired") {
            self.read();
        }
    }

    /// The value of a JavaScript expression, for which it waits if it is a promise.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", asked);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// The text of an element.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        self.value(&format!("document.querySelector({selector:?}).textContent")).as_str().expect("a text").to_owned()
    }

    /// Presses a key, which goes to the element that has the focus.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Chooses a file for an input.
    pub(crate) fn choose_file(&mut self, selector: &str, path: &std::path::Path) {
        let root = self.call("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let node = self.call("DOM.querySelector", json!({ "nodeId": root, "selector": selector }))["nodeId"].clone();
        self.call("DOM.setFileInputFiles", json!({ "nodeId": node, "files": [path] }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.child.wait();
    }
}
