//! A walk through the dashboard in headless Chromium, over WebDriver: sign in, see a bar move while messages flow, see a
//! denial appear, disconnect a client, in both themes and at the width of a phone. The broker is the real binary. Pictures
//! are kept in `target/screenshots`. It needs Debian's `chromium` and `chromium-driver`, and says so where they are missing.
//!
//! `cargo test --test dashboard -- --fake` walks through the same pages with a made-up broker behind them, and `-- --serve`
//! serves those on port 8088 for people to look at.

mod common;
#[path = "pages/fake.rs"]
mod fake;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{ADMIN_TOKEN, PATIENCE, Weir};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use weir::wire::{QoS, Version};

fn main() {
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    // Asked for a list of tests, as some runners do, there is none to name.
    if asked("--list") {
        return;
    }
    if asked("--serve") {
        let (fake, address) = made_up(8088);
        println!("http://{address}/ with the token {} or {}", fake::TOKEN, fake::READ_TOKEN);
        for line in std::io::stdin().lines().map_while(Result::ok) {
            fake.publish(line.parse().unwrap_or(500));
        }
        return;
    }
    let (Some(chromium), Some(driver)) = (find("chromium"), find("chromedriver")) else {
        println!(
            "\nleft out, as it needs a browser: the walk through the dashboard; install chromium and chromium-driver\n"
        );
        return;
    };
    let mut place = if asked("--fake") { Place::made_up() } else { Place::real() };
    let driver = Driver::start(&driver);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let desk = Browser::open(&driver, &chromium, json!({})).await;
        walk(&desk, &mut place).await;
        desk.close().await;
        let phone = json!({ "deviceMetrics": { "width": 360, "height": 1600, "pixelRatio": 1.0, "touch": true } });
        let phone = Browser::open(&driver, &chromium, json!({ "mobileEmulation": phone })).await;
        carry(&phone, &place).await;
        phone.close().await;
    });
    println!("the dashboard was walked through; pictures are in {}", pictures().display());
}

/// A program on the path.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn made_up(port: u16) -> (std::sync::Arc<fake::Fake>, std::net::SocketAddr) {
    let fake = fake::Fake::new();
    let address = fake::serve(&fake, port);
    (fake, address)
}

/// The broker whose dashboard it is.
struct Place {
    url: String,
    token: String,
    /// The row of the limit that is filled up.
    row: &'static str,
    /// How much fills it half, and how much more is over it.
    half: u64,
    rest: u64,
    traffic: Traffic,
}

enum Traffic {
    MadeUp(std::sync::Arc<fake::Fake>),
    Real { weir: Box<Weir>, client: common::Client, packet_id: u16, _data: tempfile::TempDir },
}

impl Place {
    fn made_up() -> Place {
        let (fake, address) = made_up(0);
        Place {
            url: format!("http://{address}"),
            token: fake::TOKEN.into(),
            row: "publish|7_500/min",
            half: 3_000,
            rest: 3_300,
            traffic: Traffic::MadeUp(fake),
        }
    }

    /// The real binary with the profile `acme`, of which `pump-1` is connected. The limit is one of a day, so that no minute
    /// ends in the middle of the walk.
    fn real() -> Place {
        let data = tempfile::TempDir::new().expect("a directory for the data");
        let weir = Weir::now(&format!(
            "admin: {{ address: \"127.0.0.1:0\" }}\ndata_dir: {:?}\n\
             plans: {{ starter: {{ connect: 100/min, publish: [5_000/min, 20/day], receive: 5_000/min }} }}\n\
             profiles:\n  acme: {{ plan: starter, devices: {{ pump-1: {{ token: t }} }} }}\n  quiet: {{ plan: starter }}\n",
            data.path()
        ));
        let address = weir.admin();
        let client = weir.client(Version::V5, "t", "pump-1");
        Place {
            url: format!("http://{address}"),
            token: ADMIN_TOKEN.into(),
            row: "publish|20/day",
            half: 10,
            rest: 14,
            traffic: Traffic::Real { weir: Box::new(weir), client, packet_id: 0, _data: data },
        }
    }

    /// `pump-1` publishes so many at QoS 1 and hears of each.
    fn publish(&mut self, count: u64) {
        match &mut self.traffic {
            Traffic::MadeUp(fake) => fake.publish(count),
            Traffic::Real { client, packet_id, .. } => {
                for _ in 0..count {
                    *packet_id += 1;
                    client.publish("plant/pressure", b"42", QoS::AtLeastOnce, *packet_id);
                    assert_eq!(client.frame()[0], 0x40, "a PUBACK");
                }
            }
        }
    }

    /// Whether `pump-1` was told that an administrator disconnected it.
    fn expect_disconnected(&mut self) {
        match &mut self.traffic {
            Traffic::MadeUp(fake) => assert!(fake.asked().contains(&"disconnect acme pump-1".into())),
            Traffic::Real { weir, client, .. } => {
                let frame = client.frame();
                assert_eq!((frame[0], frame[2]), (0xE0, 0x98), "DISCONNECT, administrative action: {frame:x?}");
                // It may come back, which also shows that the broker goes on.
                weir.client(Version::V5, "t", "pump-1").disconnect();
            }
        }
    }
}

/// chromedriver, ended with the test.
struct Driver {
    child: Child,
    url: String,
}

impl Driver {
    fn start(program: &Path) -> Driver {
        let mut child = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| {
                line.split_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver says its port");
        // What it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Driver { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pictures() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    target.join("screenshots")
}

struct Browser {
    client: Client,
    /// Where chromedriver is.
    driver: String,
}

impl Browser {
    async fn open(driver: &Driver, chromium: &Path, more: Value) -> Browser {
        let mut options = json!({
            "binary": chromium,
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                     "--window-size=1280,1400"],
        });
        for (key, value) in more.as_object().expect("an object") {
            options[key] = value.clone();
        }
        let capabilities = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let capabilities = capabilities.as_object().expect("an object").clone();
        // chromedriver is on this machine: no TLS is asked for.
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&driver.url).await.expect("a browser");
        Browser { client, driver: driver.url.clone() }
    }

    async fn close(self) {
        self.client.close().await.expect("the browser closes");
    }

    async fn go(&self, url: &str) {
        self.client.goto(url).await.expect("the page loads");
    }

    async fn path(&self) -> String {
        self.client.current_url().await.expect("an address").path().to_owned()
    }

    async fn click(&self, css: &str) {
        let element = self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"));
        element.click().await.unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Runs a script in the page.
    async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    async fn text(&self, css: &str) -> String {
        let script = format!("return document.querySelector({})?.textContent ?? ''", json!(css));
        self.run(&script).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a script in the page says true.
    async fn wait(&self, what: &str, script: &str) {
        let end = Instant::now() + PATIENCE;
        while self.run(script).await != json!(true) {
            assert!(Instant::now() < end, "{what}: {}", self.client.source().await.unwrap_or_default());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn picture(&self, name: &str) {
        let folder = pictures();
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        let png = self.client.screenshot().await.expect("a picture");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("the picture is written");
    }

    /// Presses the button until this theme is worn.
    async fn wear(&self, theme: &str) {
        for _ in 0..3 {
            if self.text("#theme span").await == theme {
                break;
            }
            self.click("#theme").await;
        }
        assert_eq!(self.text("#theme span").await, theme);
        let scheme = self.run("return getComputedStyle(document.documentElement).colorScheme").await;
        assert_eq!(scheme, json!(theme), "the page wears it");
    }

    async fn sign_in(&self, place: &Place, token: &str) {
        self.go(&format!("{}/login", place.url)).await;
        let field = self.client.find(Locator::Id("token")).await.expect("a field for the token");
        field.send_keys(token).await.expect("typed");
        self.click("button.main").await;
    }

    /// That neither the script nor the policy of the pages complained.
    async fn expect_no_complaints(&self) {
        let session = self.client.session_id().await.expect("an answer").expect("a session");
        let mut log = ureq::post(format!("{}/session/{session}/se/log", self.driver))
            .send_json(json!({ "type": "browser" }))
            .expect("the browser's log");
        let log: Value = log.body_mut().read_json().expect("JSON");
        let entries = log["value"].as_array().expect("entries");
        let bad: Vec<&Value> = entries
            .iter()
            // A wrong token is answered with 401, which browsers note.
            .filter(|entry| {
                entry["level"] == "SEVERE" && !entry["message"].as_str().unwrap_or_default().contains("401")
            })
            .collect();
        assert!(bad.is_empty(), "{bad:?}");
    }
}

/// The walk at a desk.
async fn walk(browser: &Browser, place: &mut Place) {
    // Whoever has not signed in is sent to do so; a wrong token is told.
    browser.go(&place.url).await;
    assert_eq!(browser.path().await, "/login");
    browser.picture("sign-in").await;
    browser.sign_in(place, "not-the-token").await;
    browser.wait("a wrong token is told", "return !!document.querySelector('[role=alert]')").await;
    browser.sign_in(place, &place.token).await;
    browser.wait("the profiles", "return location.pathname === '/' && !!document.getElementById('profiles')").await;

    // The way to the content is the first stop of the tab key.
    let body = browser.client.find(Locator::Css("body")).await.expect("a body");
    body.send_keys("\u{e004}").await.expect("the tab key");
    assert_eq!(browser.run("return document.activeElement.className").await, json!("skip"));
    browser.wait("the list is live", "return document.getElementById('live').dataset.state === 'on'").await;
    for theme in ["light", "dark"] {
        browser.wear(theme).await;
        browser.picture(&format!("profiles-{theme}")).await;
    }

    // A theme is remembered.
    browser.go(&place.url).await;
    browser.wear("dark").await;
    browser.wear("light").await;

    // The bar moves while messages flow, without the page being loaded again.
    browser.click("a[href='/profiles/acme']").await;
    browser.wait("its limits are live", "return document.getElementById('live')?.dataset.state === 'on'").await;
    let row = format!("document.querySelector('#limits tr[data-key={}]')", json!(place.row));
    let width = format!("return Number({row}.querySelector('.fill').getAttribute('width'))");
    let before = browser.run(&width).await.as_f64().expect("a width");
    browser.run("window.sameLoading = true").await;
    place.publish(place.half);
    browser.wait("the bar moves", &format!("{width} > {before} + 20")).await;

    // A denial appears, as the client saw it, and is told aloud.
    place.publish(place.rest);
    browser.wait("the bar is full", &format!("{width} === 100")).await;
    let told = "return [...document.querySelectorAll('#denials tr')].some((row) => \
                row.querySelector('[data-f=answer]').textContent === 'PUBACK 0x97 Quota exceeded' \
                && row.querySelector('[data-f=text]').checkVisibility() \
                && /^Too many requests \\(Retry-After: \\d+\\)$/.test(row.querySelector('[data-f=text]').textContent))";
    browser.wait("the denial appears", told).await;
    assert!(browser.text("#announce").await.contains("publish is at"), "{}", browser.text("#announce").await);
    assert_eq!(browser.run("return window.sameLoading").await, json!(true), "the page was never loaded again");
    browser.client.set_window_size(1280, 2300).await.expect("a taller window");
    for theme in ["light", "dark"] {
        browser.wear(theme).await;
        browser.picture(&format!("limits-{theme}")).await;
    }

    // The seconds until the window ends count down.
    let resets = "return [...document.querySelectorAll('[data-f=reset]')].map((cell) => cell.textContent).join()";
    let seconds = browser.run(resets).await;
    browser.wait("seconds count down", &format!("{resets} !== {seconds}")).await;

    // A client is disconnected after one question.
    browser.client.set_window_size(1280, 1000).await.expect("a window");
    browser.go(&format!("{}/clients", place.url)).await;
    browser.picture("clients-dark").await;
    browser.click("button[aria-label='Disconnect pump-1']").await;
    browser.wait("it is asked once", "return location.pathname === '/clients/disconnect'").await;
    browser.picture("disconnect-dark").await;
    browser.click("button.danger").await;
    browser.wait("it is done", "return location.pathname === '/clients'").await;
    assert!(browser.text(".notice").await.contains("“pump-1” was disconnected"));
    place.expect_disconnected();
    browser.wait("it is gone", "return !document.querySelector(\"button[aria-label='Disconnect pump-1']\")").await;

    // The system.
    browser.client.set_window_size(1280, 1700).await.expect("a taller window");
    browser.go(&format!("{}/system", place.url)).await;
    assert_eq!(browser.run("return document.querySelectorAll('figure svg').length").await, json!(4));
    for theme in ["dark", "light"] {
        browser.wear(theme).await;
        browser.picture(&format!("system-{theme}")).await;
    }

    browser.expect_no_complaints().await;
    browser.click("form[action='/logout'] button").await;
    browser.go(&place.url).await;
    assert_eq!(browser.path().await, "/login", "signed out");
}

/// The walk on a phone: everything can be read without moving the page sideways.
async fn carry(browser: &Browser, place: &Place) {
    browser.sign_in(place, &place.token).await;
    browser.wait("the profiles", "return !!document.getElementById('profiles')").await;
    for theme in ["light", "dark"] {
        browser.wear(theme).await;
        for (name, path) in [
            ("profiles", "/"),
            ("limits", "/profiles/acme"),
            ("clients", "/clients"),
            ("system", "/system"),
            ("missing", "/profiles/nobody"),
        ] {
            browser.go(&format!("{}{path}", place.url)).await;
            let sizes = browser.run("return [innerWidth, document.documentElement.scrollWidth]").await;
            assert_eq!(sizes, json!([360, 360]), "{path} fits a phone");
            browser.picture(&format!("phone-{name}-{theme}")).await;
        }
    }
}
