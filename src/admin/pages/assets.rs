//! What the pages are dressed in: a stylesheet, a script and the sign, built into the binary and served with an entity tag, so
//! that a browser asks for each only once a version. Nothing else is ever loaded; nothing comes from elsewhere.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A file that pages refer to.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its name under `/assets/`.
    pub name: &'static str,
    /// What it says.
    pub content: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Changes with its content.
    pub etag: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        asset("weir.css", "text/css; charset=utf-8", include_str!("assets/weir.css")),
        asset("weir.js", "text/javascript; charset=utf-8", include_str!("assets/weir.js")),
        asset("weir.svg", "image/svg+xml", include_str!("assets/weir.svg")),
    ]
});

fn asset(name: &'static str, content_type: &'static str, content: &'static str) -> Asset {
    let hash = Sha256::digest(content.as_bytes());
    let tag: String = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    Asset { name, content, content_type, etag: format!("\"{tag}\"") }
}

/// The file of this name, if there is one.
pub fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// `GET /assets/{name}`: needs no sign-in, for the page to sign in on needs them.
pub(super) async fn serve(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some(asset) = find(&name) else {
        return (StatusCode::NOT_FOUND, "There is no such file.\n").into_response();
    };
    let caching = [(ETAG, asset.etag.as_str()), (CACHE_CONTROL, "no-cache"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    if known.flat_map(|tags| tags.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == asset.etag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, asset.content_type)], asset.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::pages::charts::{DARK, LIGHT, Palette};

    fn css() -> &'static str {
        find("weir.css").unwrap().content
    }

    /// A colour of the stylesheet in both themes: `--name: light-dark(#RRGGBB, #RRGGBB);`.
    fn colours(name: &str) -> [&'static str; 2] {
        let (_, rest) = css().split_once(&format!("--{name}: light-dark(")).unwrap_or_else(|| panic!("--{name}"));
        let (light, rest) = rest.split_once(", ").unwrap();
        [light, rest.split_once(')').unwrap().0]
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    fn assert_contrast(front: &str, back: &str, least: f64) {
        for (theme, (front, back)) in ["light", "dark"].into_iter().zip(colours(front).into_iter().zip(colours(back))) {
            let ratio = contrast(front, back);
            assert!(ratio >= least, "{front} on {back} in {theme}: {ratio:.2}, not {least}");
        }
    }

    #[test]
    fn contrast_is_reckoned_as_the_guidelines_say() {
        assert!((contrast("#000000", "#FFFFFF") - 21.0).abs() < 0.01);
        assert!((contrast("#767676", "#FFFFFF") - 4.54).abs() < 0.01);
    }

    #[test]
    fn text_has_the_contrast_of_level_aa_in_both_themes() {
        for back in ["page", "surface", "raised"] {
            for front in ["ink", "muted", "accent", "warn-ink", "full-ink"] {
                assert_contrast(front, back, 4.5);
            }
        }
        assert_contrast("on-accent", "accent", 4.5);
        assert_contrast("on-danger", "danger", 4.5);
        assert_contrast("warn-ink", "warn-back", 4.5);
        assert_contrast("full-ink", "full-back", 4.5);
    }

    #[test]
    fn bars_marks_and_the_focus_ring_have_the_contrast_of_graphics_in_both_themes() {
        for back in ["page", "surface"] {
            for front in ["used", "warn", "full", "focus", "denied", "second", "control"] {
                assert_contrast(front, back, 3.0);
            }
        }
        for front in ["used", "warn", "full", "mark"] {
            assert_contrast(front, "track", 3.0);
        }
    }

    #[test]
    fn a_chart_has_the_colours_of_the_stylesheet() {
        for (theme, palette) in [LIGHT, DARK].into_iter().enumerate() {
            let Palette { back, ink, muted, grid, used, denied, second } = palette;
            for (name, colour) in [
                ("surface", back),
                ("ink", ink),
                ("muted", muted),
                ("grid", grid),
                ("used", used),
                ("denied", denied),
                ("second", second),
            ] {
                let written = format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2);
                assert_eq!(colours(name)[theme], written, "{name}");
                if theme == 0 && name != "surface" {
                    for attribute in ["fill", "stroke"] {
                        let rule = format!(".chart [{attribute}=\"{written}\"] {{ {attribute}: var(--{name}); }}");
                        assert!(css().contains(&rule), "{rule}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for asset in ASSETS.iter() {
            let content = asset.content.replace("http://www.w3.org/2000/svg", "");
            for word in ["http:", "https:", "@import", "url(", "eval("] {
                assert!(!content.contains(word), "{word} in {}", asset.name);
            }
        }
    }
}
