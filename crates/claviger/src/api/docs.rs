//! The OpenAPI document, and a page to read it: made here, without a script.

use std::fmt::Write as _;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse as _};
use axum::routing::get;
use serde_json::Value;

/// `/openapi.json` and `/docs`.
pub fn router(document: &utoipa::openapi::OpenApi) -> Router {
    let json = document.to_json().unwrap_or_default();
    let value: Value = serde_json::from_str(&json).unwrap_or_default();
    let page = page(&value);
    let json = move || {
        let json = json.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], json) }
    };
    let docs = move || {
        let page = page.clone();
        async move {
            let mut response = Html(page).into_response();
            let policy =
                HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response
        }
    };
    Router::new().route("/openapi.json", get(json)).route("/docs", get(docs))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2rem 0 .3rem}code{font:14px ui-monospace,monospace;background:#eef1f5;padding:.1em .3em;border-radius:3px}\
.m{display:inline-block;min-width:3.2rem;font-weight:600;color:#0a6}.post{color:#b40}table{border-collapse:collapse;width:100%;margin:.4rem 0}\
td,th{text-align:left;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #dde3ea;vertical-align:top}td:first-child,td:nth-child(2){width:13rem}a{color:#06c}p{margin:.3rem 0}\
@media(prefers-color-scheme:dark){body{background:#12161c;color:#dde3ea}code{background:#232a33}td,th{border-color:#2c3540}a{color:#6af}.m{color:#4d9}.post{color:#f95}}";

fn page(document: &Value) -> String {
    let title = escaped(text(document, "/info/title"));
    let mut html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1><p>{}</p><p>The same for programs: <a href=/openapi.json>openapi.json</a></p>",
        escaped(text(document, "/info/description"))
    );
    let paths = document.pointer("/paths").and_then(Value::as_object);
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            operation_html(&mut html, path, method, operation);
        }
    }
    html.push_str("<h1>Forms</h1>");
    for (name, schema) in document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten() {
        schema_html(&mut html, name, schema);
    }
    html
}

// Writing into a String cannot fail.
fn operation_html(html: &mut String, path: &str, method: &str, operation: &Value) {
    let words = [text(operation, "/summary"), text(operation, "/description")];
    let _ = write!(
        html,
        "<h2><span class=\"m {}\">{}</span> <code>{}</code></h2><p>{}</p>",
        escaped(method),
        escaped(&method.to_uppercase()),
        escaped(path),
        escaped(words.iter().find(|words| !words.is_empty()).copied().unwrap_or_default())
    );
    let body = operation.pointer("/requestBody/content/application~1json/schema");
    if let Some(schema) = body {
        let _ = write!(html, "<p>Body: {}</p>", form(schema));
    }
    html.push_str("<table>");
    for parameter in operation.pointer("/parameters").and_then(Value::as_array).into_iter().flatten() {
        let _ = write!(
            html,
            "<tr><td><code>{}</code><td>{}<td>{}",
            escaped(text(parameter, "/name")),
            escaped(text(parameter, "/in")),
            escaped(text(parameter, "/description"))
        );
    }
    for (status, response) in operation.pointer("/responses").and_then(Value::as_object).into_iter().flatten() {
        let schema = response.pointer("/content/application~1json/schema").map(form).unwrap_or_default();
        let _ = write!(html, "<tr><td>{}<td>{schema}<td>{}", escaped(status), escaped(text(response, "/description")));
    }
    html.push_str("</table>");
}

fn form(schema: &Value) -> String {
    if let Some(name) = schema.pointer("/$ref").and_then(Value::as_str).and_then(|name| name.rsplit('/').next()) {
        return format!("<a href=\"#{0}\"><code>{0}</code></a>", escaped(name));
    }
    if let Some(items) = schema.pointer("/items") {
        return format!("list of {}", form(items));
    }
    let kind = schema.pointer("/type").map(|kind| kind.as_str().map_or_else(|| kind.to_string(), str::to_owned));
    escaped(&kind.unwrap_or_else(|| "anything".to_owned()))
}

fn schema_html(html: &mut String, name: &str, schema: &Value) {
    let words = escaped(text(schema, "/description"));
    let _ = write!(html, "<h2 id=\"{0}\"><code>{0}</code></h2><p>{words}</p><table>", escaped(name));
    for (field, schema) in schema.pointer("/properties").and_then(Value::as_object).into_iter().flatten() {
        let words = escaped(text(schema, "/description"));
        let _ = write!(html, "<tr><td><code>{}</code><td>{}<td>{words}", escaped(field), form(schema));
    }
    html.push_str("</table>");
}
