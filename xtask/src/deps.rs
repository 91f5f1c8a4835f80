//! Who may import whom, and that the map names what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{Outcome, root};

/// The import table: what each room may import. Nobody imports `signer`; tests start its program.
const TABLE: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("audit-log", &["types"]),
    ("ledger", &["types"]),
    ("orders", &["types", "ledger", "policy"]),
    ("store", &["types", "ledger", "orders", "policy", "audit-log"]),
    ("shares", &[]),
    ("testkit", &[]),
    ("walls", &[]),
    ("token", &[]),
    ("policy", &["types"]),
    ("paper", &[]),
    ("chains", &["types"]),
    ("signer-wire", &["types"]),
    ("sealing", &["types"]),
    ("signer", &["types", "signer-wire", "policy", "chains", "paper", "sealing", "shares", "token", "walls"]),
    ("signer-client", &["types", "signer-wire"]),
    ("node", &["types", "chains"]),
    ("verify", &["types", "policy", "chains", "audit-log"]),
    (
        "claviger",
        &[
            "types",
            "ledger",
            "policy",
            "orders",
            "chains",
            "signer-wire",
            "signer-client",
            "node",
            "store",
            "audit-log",
        ],
    ),
    ("xtask", &[]),
];

/// Libraries that open files and sockets for others, run tasks or speak HTTP or SQL: none below these rooms.
const HEAVY: &[&str] = &["tokio", "hyper", "ureq", "reqwest", "sqlx", "rusqlite", "async-std", "axum"];
const WITHOUT_HEAVY: &[&str] = &[
    "audit-log",
    "chains",
    "ledger",
    "orders",
    "paper",
    "policy",
    "sealing",
    "shares",
    "signer",
    "signer-client",
    "signer-wire",
    "token",
    "types",
    "verify",
    "walls",
];

/// Checks the table and the map.
pub fn check() -> Outcome {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let graph = Graph::read(&metadata);
    let mut wrong = table(&graph);
    wrong.extend(heavy(&graph));
    wrong.extend(map(&root())?);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Normal dependencies, by package id.
struct Graph {
    names: BTreeMap<String, String>,
    members: BTreeSet<String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Graph {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let names =
            list(&metadata["packages"]).iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let members = list(&metadata["workspace_members"]).iter().map(text).collect();
        let normal = |dependency: &Value| list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
        let edges = list(metadata.pointer("/resolve/nodes").unwrap_or(&Value::Null))
            .iter()
            .map(|node| {
                let to = list(&node["deps"]).iter().filter(|dep| normal(dep)).map(|dep| text(&dep["pkg"])).collect();
                (text(&node["id"]), to)
            })
            .collect();
        Graph { names, members, edges }
    }

    fn name(&self, id: &str) -> &str {
        self.names.get(id).map_or("", String::as_str)
    }

    fn below(&self, id: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id.to_owned()];
        while let Some(next) = open.pop() {
            for to in self.edges.get(&next).into_iter().flatten() {
                if seen.insert(to.clone()) {
                    open.push(to.clone());
                }
            }
        }
        seen
    }
}

fn table(graph: &Graph) -> Vec<String> {
    let rules: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    let mut wrong = Vec::new();
    for member in &graph.members {
        let name = graph.name(member);
        let Some(allowed) = rules.get(name) else {
            wrong.push(format!("{name} does not stand in the import table"));
            continue;
        };
        for to in graph.edges.get(member).into_iter().flatten().filter(|to| graph.members.contains(*to)) {
            let to = graph.name(to);
            if !allowed.contains(&to) {
                wrong.push(format!("{name} imports {to}, which the import table does not allow"));
            }
        }
    }
    wrong
}

fn heavy(graph: &Graph) -> Vec<String> {
    let light = |id: &&String| WITHOUT_HEAVY.contains(&graph.name(id));
    let mut wrong = Vec::new();
    for member in graph.members.iter().filter(light) {
        for below in graph.below(member) {
            if HEAVY.contains(&graph.name(&below)) {
                wrong.push(format!("{} has {} below it", graph.name(member), graph.name(&below)));
            }
        }
    }
    wrong
}

/// Every path and test that the map names in backticks exists; every crate stands on the map.
fn map(root: &Path) -> Outcome<Vec<String>> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).map_err(|error| format!("ARCHITECTURE.md: {error}"))?;
    let mut sources = String::new();
    collect(&root.join("crates"), &mut sources)?;
    let mut wrong = Vec::new();
    for name in text.split('`').skip(1).step_by(2) {
        let path = name.starts_with("crates/") || name.starts_with("docs/") || name.starts_with("xtask/");
        if path && !root.join(name).exists() {
            wrong.push(format!("ARCHITECTURE.md names {name}, which does not exist"));
        }
        let test = name.starts_with('t')
            && name.get(1..3).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        if test && name.contains('_') && !sources.contains(&format!("fn {name}(")) {
            wrong.push(format!("ARCHITECTURE.md names the test {name}, which does not exist"));
        }
    }
    for (name, _) in TABLE {
        let place = if *name == "xtask" { "xtask/".to_owned() } else { format!("crates/{name}") };
        if root.join(&place).exists() && !text.contains(&format!("`{place}`")) {
            wrong.push(format!("ARCHITECTURE.md does not name {place}"));
        }
    }
    Ok(wrong)
}

fn collect(directory: &Path, sources: &mut String) -> Outcome {
    for entry in fs::read_dir(directory).map_err(|error| error.to_string())?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).map_err(|error| error.to_string())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_import_table_and_the_map_hold() {
        assert_eq!(super::check(), Ok(()));
    }
}
