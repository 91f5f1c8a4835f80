use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};

/// How long anything in the browser may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A real Chromium without a window, driven by the DevTools protocol over its pipe. Ends with this value.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    input: ChildStdin,
    answers: Receiver<Value>,
    set_aside: VecDeque<Value>,
    next: u64,
    _profile: tempfile::TempDir,
}

/// Somebody's window: a profile of its own, with an authenticator of its own.
#[derive(Clone, Debug)]
pub struct Window {
    session: String,
    authenticator: String,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Result<PathBuf, String> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    named
        .into_iter()
        .chain(places)
        .find(|path| path.is_file())
        .ok_or_else(|| "Chromium is missing: ./scripts/setup installs it, or name it in CHROMIUM".to_owned())
}

impl Chromium {
    /// Starts the browser.
    pub fn start() -> Result<Chromium, String> {
        let profile = tempfile::tempdir().map_err(|error| error.to_string())?;
        // The protocol's pipe is on the numbers 3 and 4; a shell puts ours there.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"])
            .arg(program()?)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--remote-debugging-pipe", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("chromium: {error}"))?;
        let input = child.stdin.take().ok_or("chromium has no input")?;
        let output = child.stdout.take().ok_or("chromium has no output")?;
        let (send, answers) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                if let Ok(value) = serde_json::from_slice::<Value>(&message)
                    && send.send(value).is_err()
                {
                    return;
                }
            }
        });
        let mut browser = Chromium { child, input, answers, set_aside: VecDeque::new(), next: 0, _profile: profile };
        browser.call("", "Browser.getVersion", json!({}))?;
        Ok(browser)
    }

    /// Calls a method of the protocol; the answer's result.
    fn call(&mut self, session: &str, method: &str, parameters: Value) -> Result<Value, String> {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if let (false, Some(fields)) = (session.is_empty(), message.as_object_mut()) {
            fields.insert("sessionId".to_owned(), session.into());
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).and_then(|()| self.input.flush()).map_err(|error| format!("chromium: {error}"))?;
        let start = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(start.elapsed());
            let answer = self.answers.recv_timeout(left).map_err(|_| format!("chromium did not answer {method}"))?;
            if answer.get("id").and_then(Value::as_u64) != Some(self.next) {
                // Events: what went wrong is kept for whoever asks.
                let method = answer.get("method").and_then(Value::as_str);
                if matches!(method, Some("Log.entryAdded" | "Runtime.exceptionThrown")) {
                    self.set_aside.push_back(answer);
                }
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(format!("{method}: {error}")),
                None => Ok(answer.get("result").cloned().unwrap_or_default()),
            };
        }
    }

    /// Opens a window for one person: own cookies, own authenticator (CTAP2, internal, resident keys, verifying its user).
    pub fn window(&mut self) -> Result<Window, String> {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let context = text(&self.call("", "Target.createBrowserContext", json!({}))?, "browserContextId");
        let created = json!({"url": "about:blank", "browserContextId": context, "width": 1280, "height": 900});
        let target = text(&self.call("", "Target.createTarget", created)?, "targetId");
        let attached = self.call("", "Target.attachToTarget", json!({"targetId": target, "flatten": true}))?;
        let session = text(&attached, "sessionId");
        self.call(&session, "Page.enable", json!({}))?;
        self.call(&session, "Runtime.enable", json!({}))?;
        self.call(&session, "Log.enable", json!({}))?;
        self.call(&session, "WebAuthn.enable", json!({}))?;
        let options = json!({"options": {
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true, "automaticPresenceSimulation": true,
        }});
        let made = self.call(&session, "WebAuthn.addVirtualAuthenticator", options)?;
        Ok(Window { authenticator: text(&made, "authenticatorId"), session })
    }

    /// Whether the person's authenticator recognises them.
    pub fn verified(&mut self, window: &Window, verified: bool) -> Result<(), String> {
        let parameters = json!({"authenticatorId": window.authenticator, "isUserVerified": verified});
        self.call(&window.session, "WebAuthn.setUserVerified", parameters).map(|_| ())
    }

    /// Goes to a page and waits until it is there.
    pub fn open(&mut self, window: &Window, url: &str) -> Result<(), String> {
        let start = Instant::now();
        let before = self.eval(window, "location.href")?;
        loop {
            let answer = self.call(&window.session, "Page.navigate", json!({"url": url}))?;
            let aborted = match answer.get("errorText").and_then(Value::as_str) {
                None => false,
                Some("net::ERR_ABORTED") => true,
                Some(error) => return Err(format!("{url}: {error}")),
            };
            self.until(window, "document.readyState === 'complete' && location.href !== 'about:blank'")?;
            // The page before, coming again by itself at this moment, goes before what we ask for.
            let stayed = before.as_str() != Some(url) && self.eval(window, "location.href")? == before;
            if !aborted && !stayed {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("{url} does not open"));
            }
        }
    }

    /// Evaluates an expression in the page; a promise is awaited.
    pub fn eval(&mut self, window: &Window, expression: &str) -> Result<Value, String> {
        let parameters =
            json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let answer = self.call(&window.session, "Runtime.evaluate", parameters)?;
        if let Some(wrong) = answer.get("exceptionDetails") {
            let words = wrong.pointer("/exception/description").or_else(|| wrong.get("text"));
            return Err(format!("{expression}: {}", words.and_then(Value::as_str).unwrap_or("failed")));
        }
        Ok(answer.pointer("/result/value").cloned().unwrap_or_default())
    }

    /// Waits until an expression is true; pages may come and go meanwhile.
    pub fn until(&mut self, window: &Window, expression: &str) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let last = match self.eval(window, expression) {
                Ok(Value::Bool(true)) => return Ok(()),
                Ok(other) => other.to_string(),
                Err(error) => error,
            };
            if start.elapsed() > PATIENCE {
                let page = self.eval(window, "location.href + '\\n' + document.body.innerText");
                return Err(format!("waited in vain for {expression} ({last}) on {page:?}"));
            }
            std::thread::park_timeout(Duration::from_millis(25));
        }
    }

    /// The text of the page.
    pub fn text(&mut self, window: &Window) -> Result<String, String> {
        Ok(self.eval(window, "document.body.innerText")?.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page shows a text.
    pub fn shows(&mut self, window: &Window, text: &str) -> Result<(), String> {
        self.until(window, &format!("document.body.innerText.includes({})", json!(text)))
    }

    /// Clicks on the element that a selector names, once it is there.
    pub fn click(&mut self, window: &Window, selector: &str) -> Result<(), String> {
        let found = format!("document.querySelector({})", json!(selector));
        self.until(window, &format!("{found} !== null"))?;
        self.eval(window, &format!("{found}.click()")).map(|_| ())
    }

    /// Gives a field its value.
    pub fn fill(&mut self, window: &Window, selector: &str, value: &str) -> Result<(), String> {
        let found = format!("document.querySelector({})", json!(selector));
        self.until(window, &format!("{found} !== null"))?;
        self.eval(window, &format!("{found}.value = {}", json!(value))).map(|_| ())
    }

    /// The cookies of this window for an address, as a thief would send them, and what the browser says of itself.
    pub fn stolen(&mut self, window: &Window, url: &str) -> Result<(String, String), String> {
        let found = self.call(&window.session, "Network.getCookies", json!({"urls": [url]}))?;
        let pair = |cookie: &Value| {
            let text = |name: &str| cookie.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{}={}", text("name"), text("value"))
        };
        let cookies: Vec<_> = found.get("cookies").and_then(Value::as_array).into_iter().flatten().map(pair).collect();
        let terminal = self.eval(window, "navigator.userAgent")?.as_str().unwrap_or_default().to_owned();
        Ok((cookies.join("; "), terminal))
    }

    /// What the browser complained about in this window: refused scripts and styles, errors of scripts.
    pub fn complaints(&mut self, window: &Window) -> Result<Vec<String>, String> {
        self.eval(window, "1")?;
        let ours = |message: &&Value| message.get("sessionId").and_then(Value::as_str) == Some(&window.session);
        let words = |message: &Value| match message.get("method").and_then(Value::as_str)? {
            "Log.entryAdded" => {
                let entry = message.pointer("/params/entry")?;
                let text = entry.get("text")?.as_str()?;
                (entry.get("level")?.as_str()? == "error").then(|| text.to_owned())
            }
            "Runtime.exceptionThrown" => Some(message.pointer("/params/exceptionDetails")?.to_string()),
            _ => None,
        };
        Ok(self.set_aside.iter().filter(ours).filter_map(words).collect())
    }

    /// Presses a key, as a person at a keyboard does: `Tab`, `Enter`, `Escape`.
    pub fn press(&mut self, window: &Window, key: &str) -> Result<(), String> {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            other => return Err(format!("{other} is not a key that tests press")),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.call(&window.session, "Input.dispatchKeyEvent", event)?;
        }
        Ok(())
    }

    /// A picture of the page as PNG: `width` by `height` points, light or dark.
    pub fn picture(&mut self, window: &Window, width: u32, height: u32, dark: bool) -> Result<Vec<u8>, String> {
        self.size(window, width, height, dark)?;
        let picture = self.call(&window.session, "Page.captureScreenshot", json!({"format": "png"}))?;
        let text = picture.get("data").and_then(Value::as_str).unwrap_or_default();
        Base64::decode_vec(text).map_err(|error| error.to_string())
    }

    /// Gives the window a size in points, and light or dark.
    pub fn size(&mut self, window: &Window, width: u32, height: u32, dark: bool) -> Result<(), String> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call(&window.session, "Emulation.setDeviceMetricsOverride", size)?;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call(&window.session, "Emulation.setEmulatedMedia", media).map(|_| ())
    }
}
