//! The client and the real peer each have definitions of the chain's messages: the client's become Rust, the peer's become Go and
//! carry options of the Cosmos SDK. Both are written from the same tables, and must say the same on the wire.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use protox::file::File;
use protox::prost_reflect::prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto};

use crate::run::root;

/// A message's fields, or an enumeration's values: what stands at each number.
type Numbers = BTreeMap<i32, String>;

/// Everything that a file defines, by its full name.
type Definitions = BTreeMap<String, Numbers>;

fn read(name: &str, text: &str) -> Definitions {
    let file = File::from_source(name, text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let file = file.file_descriptor_proto();
    let mut found = Definitions::new();
    for message in &file.message_type {
        of_message(file.package(), message, &mut found);
    }
    for each in &file.enum_type {
        of_enum(file.package(), each, &mut found);
    }
    found
}

fn of_message(within: &str, message: &DescriptorProto, found: &mut Definitions) {
    let name = format!("{within}.{}", message.name());
    let fields = message.field.iter();
    found.insert(
        name.clone(),
        fields.map(|field| (field.number(), of_field(field))).collect(),
    );
    for nested in &message.nested_type {
        of_message(&name, nested, found);
    }
    for nested in &message.enum_type {
        of_enum(&name, nested, found);
    }
}

fn of_enum(within: &str, each: &EnumDescriptorProto, found: &mut Definitions) {
    let values = each.value.iter();
    found.insert(
        format!("{within}.{}", each.name()),
        values
            .map(|value| (value.number(), value.name().to_owned()))
            .collect(),
    );
}

/// Label, type and name. Without the way to a type of another message: it may be written from the root or from here.
fn of_field(field: &FieldDescriptorProto) -> String {
    let kind = match &field.type_name {
        Some(name) => name.rsplit('.').next().unwrap_or(name).to_owned(),
        None => format!("{:?}", field.r#type()),
    };
    format!("{:?} {kind} {}", field.label(), field.name())
}

/// Where two readings of one file contradict each other. What only one of them has contradicts nothing.
fn contradictions(client: &Definitions, peer: &Definitions) -> Vec<String> {
    let mut found = Vec::new();
    for (name, ours) in client {
        let Some(theirs) = peer.get(name) else { continue };
        for number in ours.keys().chain(theirs.keys()) {
            let (ours, theirs) = (ours.get(number), theirs.get(number));
            let line = format!("{name} {number}: client {ours:?}, peer {theirs:?}");
            if ours != theirs && !found.contains(&line) {
                found.push(line);
            }
        }
    }
    found
}

/// The definitions of our own modules, by path below `proto`.
fn files(proto: &Path) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&proto.join("virtengine"), &mut found);
    let relative = found
        .iter()
        .map(|path| path.strip_prefix(proto).unwrap().to_owned());
    relative.collect()
}

#[test]
fn client_and_peer_mean_the_same_by_every_number() {
    let (client, peer) = (
        root().join("virtengine-chain/proto"),
        root().join("peers/chain/proto"),
    );
    let (mut compared, mut found) = (0, Vec::new());
    for file in files(&peer) {
        let name = file.to_str().unwrap();
        // The client need not have everything that the peer has.
        let Ok(ours) = std::fs::read_to_string(client.join(&file)) else {
            continue;
        };
        let theirs = std::fs::read_to_string(peer.join(&file)).unwrap();
        let (ours, theirs) = (read(name, &ours), read(name, &theirs));
        compared += ours.keys().filter(|name| theirs.contains_key(*name)).count();
        found.extend(contradictions(&ours, &theirs));
    }
    assert_eq!(found, Vec::<String>::new());
    assert!(compared >= 100, "only {compared} definitions are in both");
}

#[test]
fn a_number_with_two_meanings_is_found() {
    let of = |text: &str| read("a.proto", &format!("syntax = \"proto3\"; package a; {text}"));
    let one = of("message M { uint64 height = 1; .b.C c = 2; enum E { X = 0; } }");
    let same = of("message M { uint64 height = 1; C c = 2; enum E { X = 0; } } message More { bool b = 1; }");
    assert_eq!(contradictions(&one, &same), Vec::<String>::new());
    for other in [
        "message M { uint64 height = 1; C c = 3; }",
        "message M { int64 height = 1; C c = 2; }",
        "message M { uint64 height = 1; repeated C c = 2; }",
        "message M { uint64 hight = 1; C c = 2; }",
        "message M { uint64 height = 1; C c = 2; enum E { Y = 0; } }",
    ] {
        assert_ne!(contradictions(&one, &of(other)), Vec::<String>::new(), "{other}");
    }
}
