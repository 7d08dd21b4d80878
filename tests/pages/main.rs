//! The pages of the dashboard, over HTTP, with a made-up broker behind them: what they show, to whom, and that whatever a
//! user named stays text. What they do in a browser is shown by `tests/dashboard.rs`.

mod fake;

use std::net::SocketAddr;
use std::sync::Arc;

use fake::{ESCAPED, Fake, HOSTILE, READ_TOKEN, TOKEN};

struct Site {
    fake: Arc<Fake>,
    address: SocketAddr,
    agent: ureq::Agent,
}

struct Answer {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The text of the page without its markup, each run of blanks as one.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut inside = false;
        for c in self.body.chars() {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    text.push(' ');
                }
                c if !inside => text.push(c),
                _ => {}
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ").replace("&#39;", "'")
    }

    fn assert_says(&self, what: &str) {
        assert!(self.text().contains(what), "{what:?} in: {}", self.text());
    }

    fn assert_has(&self, markup: &str) {
        assert!(self.body.contains(markup), "{markup:?} in: {}", self.body);
    }
}

impl Site {
    fn new() -> Site {
        let fake = Fake::new();
        let address = fake::serve(&fake, 0);
        let agent = ureq::Agent::config_builder().max_redirects(0).http_status_as_error(false).build().into();
        Site { fake, address, agent }
    }

    fn get_as(&self, who: &str, path: &str) -> Answer {
        let request = self.agent.get(format!("http://{}{path}", self.address)).header("Cookie", format!("who={who}"));
        answer(request.call().expect("an answer"))
    }

    fn get(&self, path: &str) -> Answer {
        self.get_as("admin", path)
    }

    fn post_as(&self, who: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let request = self.agent.post(format!("http://{}{path}", self.address)).header("Cookie", format!("who={who}"));
        answer(request.send_form(form.iter().copied()).expect("an answer"))
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let body = response.body_mut().read_to_string().expect("text");
    Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
}

const HOSTILE_PATH: &str = "/profiles/%3Cscript%3Ealert%28%27p%27%29%3C%2Fscript%3E%2F%22%26";

/// Every page there is, as an administrator sees it.
fn every_page(site: &Site) -> Vec<(String, Answer)> {
    site.fake.publish(8_000);
    let paths = [
        "/",
        "/?q=tenant",
        "/?q=%3Cb%3E",
        "/profiles/acme",
        HOSTILE_PATH,
        "/profiles/quiet",
        "/profiles/nobody",
        "/clients",
        "/clients?profile=%3Cb%3E&disconnected=%3Cb%3E",
        "/clients/disconnect?profile=%3Cb%3E&client_id=%3Cb%3Eme%3C%2Fb%3E",
        "/system",
        "/system?span=month",
        "/login",
    ];
    paths.map(|path| (path.to_owned(), site.get(path))).into()
}

#[test]
fn the_profiles_are_a_table_with_the_fullest_first() {
    let site = Site::new();
    let page = site.get("/");
    assert_eq!(page.status, 200);
    page.assert_says("15 in all, the fullest first.");
    let first = page.body.find(ESCAPED).expect("a profile over its limit");
    let second = page.body.find(">acme</a>").expect("one at 83 %");
    assert!(first < second);
    page.assert_says("acme starter counted only 83 % receive 5,000/min 12 / 100/min 22,400,312 / 50,000,000/month 4,180 / 5,000/min 3 0");
    page.assert_has("data-level=\"warn\"");
    page.assert_has("<rect class=\"fill\" width=\"83.6\" height=\"8\"/>");
    page.assert_has("<rect class=\"mark\" x=\"79.5\"");
    page.assert_has("<a data-f=\"name\" href=\"/profiles/acme\">acme</a>");
    page.assert_says("200 %");
    page.assert_says("quiet free counted only no limits – – –");
}

#[test]
fn a_plan_that_is_only_counted_says_so() {
    let site = Site::new();
    let page = site.get("/");
    let row = |name: &str| page.body.split("<tr ").find(|row| row.contains(name)).expect("a row").to_owned();
    assert!(row(ESCAPED).contains("data-f=\"counted\">"));
    assert!(row(">acme</a>").contains("data-f=\"counted\" hidden>"));
    site.get(HOSTILE_PATH).assert_says("enforce: false");
}

#[test]
fn profiles_can_be_looked_for_and_paged_through() {
    let site = Site::new();
    let page = site.get("/?q=+tenant-1+");
    page.assert_says("4 with “tenant-1” in their name");
    page.assert_has("value=\"tenant-1\"");
    page.assert_has("href=\"/?cursor=a%26b&amp;q=tenant-1\"");
    assert!(page.body.contains("data-again=\"list\"") && !page.body.contains("data-live="));
    let last = site.get("/?cursor=a%26b");
    assert!(!last.body.contains("Next page"));
    site.get("/?q=zzz").assert_says("None has “zzz” in its name.");
    let asked = site.fake.asked();
    assert_eq!(asked[0], "profiles cursor=None limit=100 search=Some(\"tenant-1\")");
    assert_eq!(asked[1], "profiles cursor=Some(\"a&b\") limit=100 search=None");
}

#[test]
fn a_profile_shows_each_limit_with_what_is_used_denied_and_left_of_its_window() {
    let site = Site::new();
    site.fake.publish(6_300);
    let page = site.get("/profiles/acme");
    assert_eq!(page.status, 200);
    page.assert_says("Plan starter · 3 connected · 1,500 devices");
    page.assert_says("publish 7,500/min 7,500 100 % 50");
    page.assert_says("publish 50,000,000/month 22,400,312 44 % 0");
    page.assert_says("publish_bytes 64 MiB/min 21 MiB 32 % 0");
    page.assert_says("subscribe none 7 unlimited 0");
    page.assert_has("data-level=\"full\"");
    page.assert_has("data-key=\"publish|50M/month\"");
    page.assert_has("data-f=\"reset\" data-seconds=\"");
    page.assert_says("pump-1 1 7,100 4,510,212 in all 12 90,001 in all 50 67 in all");
    page.assert_says("pump-2 publish 31 / 60/min");
}

#[test]
fn a_denial_is_shown_as_the_client_saw_it() {
    let site = Site::new();
    site.fake.publish(6_254);
    let page = site.get("/profiles/acme");
    let row = |what: &str| page.body.split("<tr ").find(|row| row.contains(what)).expect("a row").to_owned();
    // MQTT 5 says why.
    let told = row("PUBACK 0x97 Quota exceeded");
    assert!(told.contains("data-f=\"text\">Too many requests (Retry-After: 51)</span>"), "{told}");
    assert!(told.contains("MQTT 5") && told.contains("data-f=\"untold\" hidden"));
    assert!(row("429 Too Many Requests").contains("data-f=\"text\">Too many"));
    // MQTT 3.1.1 has no words for it, and what is dropped has no answer.
    for what in ["connection closed", "dropped"] {
        let row = row(what);
        assert!(row.contains("data-f=\"text\" hidden") && row.contains("data-f=\"untold\">Not told: "), "{row}");
    }
    site.get("/profiles/quiet").assert_says("None. Nothing was over a limit.");
}

#[test]
fn the_charts_are_of_the_fullest_resource_or_of_the_one_that_is_asked_for() {
    let site = Site::new();
    let page = site.get("/profiles/acme");
    page.assert_says("receive, the last hour");
    page.assert_says("receive, the last 31 days");
    page.assert_has("<option selected>receive</option>");
    page.assert_says("The line is the limit, 5,000/min.");
    page.assert_has("role=\"img\" aria-labelledby=\"hour-title hour-desc\"");
    assert_eq!(page.body.matches("The figures as a table").count(), 2);
    let asked = site.fake.asked();
    assert!(
        asked.contains(&"usage acme receive 60 Minute".into())
            && asked.contains(&"usage acme receive 44640 Day".into())
    );
    let other = site.get("/profiles/acme?resource=POST+%2Fdata");
    other.assert_says("POST /data, the last hour");
    let none = site.get("/profiles/acme?resource=%3Cu%3E");
    assert_eq!(none.status, 404);
    none.assert_says("The profile “acme” has no resource “&#60;u&#62;”");
}

#[test]
fn a_chart_on_its_own_is_an_image_in_the_theme_that_is_asked_for() {
    let site = Site::new();
    let light = site.get("/profiles/acme/chart.svg?resource=publish&span=hour&theme=light");
    assert_eq!((light.status, light.header("content-type")), (200, "image/svg+xml"));
    assert!(light.body.starts_with("<svg") && light.body.contains("#FFFFFF") && light.body.contains(">\n7,500/min\n<"));
    let dark = site.get("/profiles/acme/chart.svg?resource=publish&span=month&theme=dark");
    assert!(dark.body.contains("#171D25") && dark.body.contains(">\n1,612,903\n<"));
    let hostile = site.get(&format!("{HOSTILE_PATH}/chart.svg"));
    assert!(hostile.body.contains("&#60;u&#62;own&#60;/u&#62;/x, the last hour") && !hostile.body.contains("<u>"));
    for (query, status, help) in [
        ("span=year", 400, "The span of a chart is hour or month."),
        ("theme=pink", 400, "The theme of a chart is light or dark."),
        ("resource=nothing", 404, "has no resource “nothing”"),
    ] {
        let refused = site.get(&format!("/profiles/acme/chart.svg?{query}"));
        assert_eq!(refused.status, status);
        refused.assert_says(help);
    }
}

#[test]
fn whatever_a_user_named_stays_text() {
    let site = Site::new();
    for (path, page) in every_page(&site) {
        for markup in ["<script>", "<b>me", "<i>it", "<em>plan", "<u>own", "alert('p')"] {
            assert!(!page.body.contains(markup), "{markup} in {path}");
        }
    }
    let page = site.get(HOSTILE_PATH);
    assert_eq!(page.status, 200);
    page.assert_has(&format!("<h1>{ESCAPED}</h1>"));
    page.assert_has(&format!("data-profile=\"{ESCAPED}\""));
    site.get("/").assert_has(&format!("href=\"{HOSTILE_PATH}\""));
}

#[test]
fn a_page_may_load_only_what_is_the_broker_s_own_and_has_nothing_inline() {
    let site = Site::new();
    for (path, page) in every_page(&site) {
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(page.body.matches("<script").count(), page.body.matches("<script src=\"/assets/").count(), "{path}");
        for inline in [" style=", "<style", " onclick", " onload", "javascript:"] {
            assert!(!page.body.contains(inline), "{inline} in {path}");
        }
        let elsewhere = page.body.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !elsewhere.contains("http://") && !elsewhere.contains("https://") && !elsewhere.contains("\"//"),
            "{path}"
        );
    }
}

#[test]
fn every_page_has_what_a_screen_reader_and_a_keyboard_need() {
    let site = Site::new();
    for (path, page) in every_page(&site) {
        let body = &page.body;
        assert!(body.starts_with("<!doctype html>\n<html lang=\"en\">"), "{path}");
        assert!(body.contains("name=\"viewport\"") && body.contains(" · Weir</title>"), "{path}");
        assert_eq!((body.matches("<h1").count(), body.matches("<main").count()), (1, 1), "{path}");
        assert_eq!(body.matches("<table").count(), body.matches("<caption").count(), "{path}");
        assert_eq!(body.matches("<th ").count(), body.matches("scope=").count(), "{path}");
        if path != "/login" {
            assert!(
                body.contains("<a class=\"skip\" href=\"#main\">") && body.contains("aria-live=\"polite\""),
                "{path}"
            );
            assert!(body.contains("<nav aria-label=\"Pages\">") && body.contains("action=\"/logout\""), "{path}");
        }
        let fields = body.split("<input ").skip(1).chain(body.split("<select ").skip(1));
        for field in fields.filter(|field| !field.starts_with("type=\"hidden\"")) {
            let id = field.split('"').nth(1).expect("an id");
            assert!(field.starts_with("id=\"") && body.contains(&format!("for=\"{id}\"")), "{path}: {id} has a label");
        }
        let mut ids: Vec<&str> = body.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "{path}: an id is of one element");
    }
}

#[test]
fn the_viewer_of_a_profile_sees_that_profile_alone() {
    let site = Site::new();
    let home = site.get_as("viewer", "/");
    assert_eq!((home.status, home.header("location")), (303, "/profiles/acme"));
    let own = site.get_as("viewer", "/profiles/acme");
    assert_eq!(own.status, 200);
    for path in ["/clients", "/system"] {
        assert!(!own.body.contains(&format!("href=\"{path}")), "no way to {path}");
    }
    assert!(!own.body.contains(">Profiles<"));
    for path in ["/profiles/quiet", "/profiles/nobody", HOSTILE_PATH, "/profiles/quiet/chart.svg"] {
        let other = site.get_as("viewer", path);
        assert_eq!(other.status, 404, "{path}");
        other.assert_says("which shows that profile alone");
        other.assert_has("href=\"/profiles/acme\"");
    }
    for path in ["/clients", "/clients/disconnect?profile=acme&client_id=pump-1", "/system"] {
        let refused = site.get_as("viewer", path);
        assert_eq!(refused.status, 403, "{path}");
        refused.assert_says("This page is for administrators");
    }
    let refused = site.post_as("viewer", "/clients/disconnect", &[("profile", "acme"), ("client_id", "pump-1")]);
    assert_eq!(refused.status, 403);
    assert!(!site.fake.asked().iter().any(|asked| asked.contains("quiet") || asked.contains("disconnect")));
}

#[test]
fn who_has_not_signed_in_is_sent_to_do_so() {
    let site = Site::new();
    for path in ["/", "/profiles/acme", "/profiles/nobody/chart.svg", "/clients", "/system"] {
        let answer = site.get_as("", path);
        assert_eq!((answer.status, answer.header("location")), (303, "/login"), "{path}");
    }
    assert!(site.fake.asked().is_empty());
}

#[test]
fn signing_in_is_a_plain_form_that_says_what_was_wrong() {
    let site = Site::new();
    let page = site.get_as("", "/login");
    assert_eq!(page.status, 200);
    page.assert_has("<form class=\"card sign-in\" method=\"post\" action=\"/login\">");
    page.assert_has("<label for=\"token\">Token</label>");
    page.assert_has("name=\"token\" type=\"password\" required");
    let wrong = site.post_as("", "/login", &[("token", "guess")]);
    assert_eq!(wrong.status, 401);
    wrong.assert_has("role=\"alert\" id=\"wrong\">That token is not one of this broker.</p>");
    wrong.assert_has("aria-invalid=\"true\"");
    for token in [TOKEN, READ_TOKEN] {
        assert_eq!(site.post_as("", "/login", &[("token", token)]).status, 303);
    }
}

#[test]
fn clients_are_listed_by_profile_and_paged() {
    let site = Site::new();
    let page = site.get("/clients");
    page.assert_says("4 connected.");
    page.assert_says("pump-1 acme pump-1 MQTT 5 192.0.2.17:50312 3 1,204");
    page.assert_says("scada-gateway-building-7 acme (anonymous) MQTT 5 Unix socket");
    let filtered = site.get("/clients?profile=acme");
    filtered.assert_says("3 connected of acme");
    filtered.assert_has("href=\"/clients?cursor=c%20d&amp;profile=acme\"");
    site.get("/clients?profile=zzz").assert_says("No client of “zzz” is connected.");
    assert_eq!(site.fake.asked()[1], "clients profile=Some(\"acme\") cursor=None limit=100");
}

#[test]
fn a_client_is_disconnected_after_one_question() {
    let site = Site::new();
    site.get("/clients").assert_has("<button class=\"small\" aria-label=\"Disconnect pump-1\">");
    let question = site.get("/clients/disconnect?profile=acme&client_id=pump-1");
    question.assert_says("Disconnect “pump-1”?");
    question.assert_has("method=\"post\" action=\"/clients/disconnect\"");
    assert!(!site.fake.asked().iter().any(|asked| asked.starts_with("disconnect")), "a GET changes nothing");
    let form = [("profile", "acme"), ("client_id", "pump-1")];
    let done = site.post_as("admin", "/clients/disconnect", &form);
    assert_eq!((done.status, done.header("location")), (303, "/clients?profile=acme&disconnected=pump-1"));
    let after = site.get(done.header("location"));
    after.assert_says("“pump-1” was disconnected.");
    after.assert_says("2 connected of acme");
    let gone = site.post_as("admin", "/clients/disconnect", &form);
    assert_eq!(gone.status, 404);
    gone.assert_says("No client “pump-1” of the profile “acme” is connected");
}

#[test]
fn the_system_shows_every_figure_with_its_meaning() {
    let site = Site::new();
    let page = site.get("/system");
    page.assert_says("Weir 0.1.0, up for 12 d 4 h.");
    page.assert_says("Processor 23.7 % of one processor, over the last 10 s");
    page.assert_says("Memory 46 MiB resident");
    page.assert_says("Messages in 12,480 a second from clients, over the last 10 s Messages out 3.2");
    page.assert_says("The session's queue was at its cap dropped_queue_full 312");
    page.assert_says("Application messages taken from clients, wills included messages_in 48,220,113");
    assert_eq!(page.body.matches("<figure").count(), 4);
    page.assert_has("<a href=\"/system#charts\" aria-current=\"true\">Hour</a>");
    site.get("/system?span=month").assert_has("aria-current=\"true\">31 days</a>");
    let asked = site.fake.asked();
    for (length, step) in [(3_600, 60), (31 * 86_400, 21_600)] {
        assert!(asked.contains(&format!("history {length} {step}")), "{asked:?}");
    }
}

#[test]
fn a_name_that_is_not_there_leads_somewhere() {
    let site = Site::new();
    let page = site.get("/profiles/ACME");
    assert_eq!(page.status, 404);
    page.assert_says("There is no profile “ACME”");
    page.assert_says("Names are exact, upper and lower case included.");
    page.assert_has("<form class=\"search\" action=\"/\"");
    assert_eq!(site.get(HOSTILE_PATH.trim_end_matches("%26")).status, 404, "{HOSTILE}");
}

#[test]
fn stylesheet_script_and_sign_are_asked_for_once_a_version() {
    let site = Site::new();
    for (name, content_type) in [
        ("weir.css", "text/css; charset=utf-8"),
        ("weir.js", "text/javascript; charset=utf-8"),
        ("weir.svg", "image/svg+xml"),
    ] {
        let path = format!("/assets/{name}");
        let first = site.get_as("", &path);
        assert_eq!((first.status, first.header("content-type")), (200, content_type));
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() > 10);
        let request = site.agent.get(format!("http://{}{path}", site.address)).header("If-None-Match", &tag);
        let again = answer(request.call().expect("an answer"));
        assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", tag.as_str()));
    }
    assert_eq!(site.get_as("", "/assets/other.css").status, 404);
}

#[test]
fn a_page_that_cannot_be_made_says_so_and_takes_nothing_with_it() {
    let site = Site::new();
    site.fake.panic_from_now_on();
    for _ in 0..2 {
        let page = site.get("/profiles/acme");
        assert_eq!(page.status, 500);
        page.assert_says("This page could not be made");
    }
}
