use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

fn problems_of(text: &[u8]) -> Vec<String> {
    let mut problems = Problems::new();
    read(text, &mut problems);
    problems.into_parts().0.iter().map(ToString::to_string).collect()
}

fn tree(text: &str) -> Node<'_> {
    let mut problems = Problems::new();
    let node = read(text.as_bytes(), &mut problems);
    assert_eq!(problems.into_parts().0, [], "{text}");
    let Some(node) = node else {
        panic!("{text} has neither problems nor a tree")
    };
    node
}

#[test]
fn yaml_and_json_become_one_tree() {
    let yaml = tree("a: 1\nb:\n  - 'x'\n  - ~\n");
    let json = tree("{\"a\": 1,\n \"b\": [\"x\",\n   null]}");
    fn shape(node: &Node<'_>) -> String {
        match &node.value {
            Value::Scalar(s) if s.is_null() => "null".into(),
            Value::Scalar(s) => alloc::format!("{}{}", s.text, if s.quoted { "'" } else { "" }),
            Value::List(l) => alloc::format!("[{}]", l.iter().map(shape).collect::<Vec<_>>().join(",")),
            Value::Map(m) => m
                .iter()
                .map(|e| alloc::format!("{}:{};", e.key, shape(&e.value)))
                .collect(),
        }
    }
    assert_eq!(shape(&yaml), "a:1;b:[x',null];");
    assert_eq!(shape(&yaml), shape(&json));
}

#[test]
fn every_value_knows_its_place() {
    for text in ["é: [x, {k: v}]", "{\"é\":[\"x\",{\"k\":\"v\"}]}"] {
        let node = tree(text);
        let Value::Map(entries) = &node.value else {
            panic!()
        };
        let key_column = if text.starts_with('{') { 2 } else { 1 };
        assert_eq!(
            entries[0].key_span,
            Span {
                line: 1,
                column: key_column
            }
        );
        let Value::List(items) = &entries[0].value.value else {
            panic!()
        };
        let Value::Map(inner) = &items[1].value else {
            panic!()
        };
        let column = text.chars().position(|c| c == 'v').unwrap() + 1;
        let column = if text.starts_with('{') { column - 1 } else { column };
        assert_eq!(
            inner[0].value.span,
            Span {
                line: 1,
                column: u32::try_from(column).unwrap()
            }
        );
    }
    let node = tree("{\n  \"a\": [\n    1,\n    22 ]\n}");
    let Value::Map(entries) = &node.value else {
        panic!()
    };
    let Value::List(items) = &entries[0].value.value else {
        panic!()
    };
    assert_eq!(items[1].span, Span { line: 4, column: 5 });
}

#[test]
fn what_makes_a_text_ambiguous_is_refused_with_its_place() {
    for (text, expected) in [
        (
            "a: 1\na: 2\n",
            "2:1 a: the key stands twice; the other one is on line 1 [DUPLICATE_NAME]",
        ),
        (
            "{\"a\": {\"b\": 1, \"b\": 2}}",
            "1:16 a.b: the key stands twice; the other one is on line 1 [DUPLICATE_NAME]",
        ),
        (
            "a: &x 1\n",
            "1:7 a: anchors (&name) are not read; write the value out [SYNTAX]",
        ),
        ("a: *x\n", "1:4 while parsing node, found unknown anchor [SYNTAX]"),
        ("a: !!str 1\n", "1:10 a: tags (!name) are not read [SYNTAX]"),
        (
            "<<: {a: 1}\n",
            "1:1 merge keys (<<) are not read; write the fields out [SYNTAX]",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "2:1 a second document begins here; only one is read [SYNTAX]",
        ),
        ("? [a]\n: 1\n", "1:3 a key must be a plain text [SYNTAX]"),
        ("", "1:1 the document is empty [SYNTAX]"),
        ("a: \"\\0\"", "1:4 a: a control character [SYNTAX]"),
        ("a: \u{1}", "1:4 a control character [SYNTAX]"),
        ("{\"a\": \"\\u0007\"}", "1:7 a: a control character [SYNTAX]"),
        (
            "{\"a\": 1",
            "1:8 a comma or the closing bracket was expected here [SYNTAX]",
        ),
    ] {
        let found = problems_of(text.as_bytes());
        assert_eq!(found.first().map(String::as_str), Some(expected), "{text:?}");
    }
    assert_eq!(problems_of(b"a: \xff"), ["1:4 not UTF-8 [SYNTAX]"]);
    assert_eq!(problems_of(b"a: x\0y"), ["1:5 a control character [SYNTAX]"]);
}

#[test]
fn the_flow_style_of_yaml_is_read_although_it_is_no_json() {
    assert_eq!(problems_of(b"{a: 01, b: [x y]}"), Vec::<String>::new());
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test measures that the work is bounded"
)]
fn bombs_are_refused_in_bounded_time() {
    let mib = TEXT_BYTES_MAX;
    let anchors = "a: &a [*a,*a]\n".repeat(mib / 14);
    let mut laughs = String::from("a0: &a0 [x,x]\n");
    for i in 1..40 {
        laughs.push_str(&alloc::format!("a{i}: &a{i} [*a{},*a{}]\n", i - 1, i - 1));
    }
    let texts = [
        ("anchors", anchors),
        ("laughs", laughs),
        ("flow depth", "[".repeat(mib)),
        ("map depth", "{\"a\":".repeat(mib / 5)),
        (
            "yaml map depth",
            alloc::format!("x: {}", "{a: ".repeat(mib / 4 - 1)),
        ),
        ("block depth", "- ".repeat(mib / 2)),
        ("question marks", "? ".repeat(mib / 2)),
        ("empty items", alloc::format!("x: [{}]", "a,".repeat(mib / 2 - 5))),
        ("json items", alloc::format!("[{}1]", "1,".repeat(mib / 2 - 2))),
        (
            "keys",
            (0..mib / 12).map(|i| alloc::format!("k{i:08}:\n")).collect(),
        ),
        ("quote", alloc::format!("a: \"{}", "x".repeat(mib - 5))),
        (
            "unclosed json text",
            alloc::format!("{{\"{}", "x".repeat(mib - 2)),
        ),
        ("colons", ": ".repeat(mib / 2)),
        ("dashes", "-\n".repeat(mib / 2)),
        (
            "many flow levels",
            alloc::format!("x: {}", "[[[[[[[[[],],],],],],],],".repeat(mib / 26)),
        ),
        ("comments", "#\n".repeat(mib / 2)),
        ("spaces", " ".repeat(mib)),
        ("too long", "x".repeat(mib + 1)),
    ];
    for (name, text) in texts {
        let begun = Instant::now();
        let found = problems_of(text.as_bytes());
        assert!(!found.is_empty(), "{name} was accepted");
        assert!(found.len() <= PROBLEMS_MAX, "{name}");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{name} took {:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let node = tree("imagge: x\nzzz: 1\n");
    let mut problems = Problems::new();
    let fields = Cursor::root(&node).map(&mut problems).unwrap();
    fields.only(&["image", "args"], &mut problems);
    let lines: Vec<String> = problems.into_parts().0.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "1:1 imagge: no such key here [UNKNOWN_FIELD] (did you mean image?)",
            "2:1 zzz: no such key here [UNKNOWN_FIELD] (known keys: image, args)",
        ]
    );
}

#[test]
fn json_escapes_are_resolved() {
    let node = tree(r#"["\u00e9\ud83d\ude00\"\\\/\n"]"#);
    let Value::List(items) = &node.value else { panic!() };
    let Value::Scalar(scalar) = &items[0].value else {
        panic!()
    };
    assert_eq!(scalar.text, "é😀\"\\/\n");
    for text in [r#"["\ud83d"]"#, r#"["\ud83dx"]"#, r#"["\q"]"#, r#"["\u00g0"]"#] {
        assert!(!problems_of(text.as_bytes()).is_empty(), "{text}");
    }
}

fn both_read_alike(text: &str) {
    let Some(fast) = block::read(text) else { return };
    let mut problems = Problems::new();
    match yaml::read(text, &mut problems) {
        Ok(full) => assert_eq!(fast, full, "{text}"),
        Err(stop) => panic!("the fast reader accepts what the full one refuses: {stop:?}\n{text}"),
    }
    assert!(!problems.has_errors(), "{text}");
}

#[test]
fn the_fast_reader_reads_what_people_write() {
    let text = "version: \"v2beta1\"  # which\n\nservices:\n  web:\n    image: nginx:latest\n    env:\n    - A=b:c\n    - 'x y'\n    expose:\n      - port: 80\n        to:\n          -\n            global: true\n      # more\n      - port: -1\n";
    assert!(block::read(text).is_some());
    both_read_alike(text);
    let example = include_str!("../../tests/manifests/training-v2beta1.yaml");
    assert!(block::read(example).is_some());
    both_read_alike(example);
    let brackets = "a: [/bin/web, --listen, ':8080', \"x, y\", -1, a:b]  # c\nb: {c: 0.5, d: {e: [f, [], {}]}, g: 'h'}\nd:\n  - {e: f}\n  - [g, h]\n  - i\n";
    assert!(block::read(brackets).is_some());
    both_read_alike(brackets);
    assert!(block::read("a:\n  - b: 1\n    c: 2\n  - d\n").is_some());
    for declined in [
        "a: b\n  c\n",
        "a:\nb: 1\n",
        "a: [b\n  , c]\n",
        "a: [b, ]\n",
        "a: [b: c]\n",
        "a: [b c]\n",
        "a: [&b c]\n",
        "a: ['it''s']\n",
        "a: [\"x\\n\"]\n",
        "a: {b: 1, b: 2}\n",
        "a: {b:1}\n",
        "a: {b: }\n",
        "a: {b}\n",
        "a: [b]c\n",
        "a: [b]\n  c\n",
        "a: [b]#c\n",
        "- [a]: b\n",
        "[a]\n",
        "a: \"x\\n\"\n",
        "- - a\n",
        "a: 'it''s'\n",
        "a: b: c\n",
        "---\na: 1\n",
        "a: 1\na: 2\n",
        "a: |\n  x\n",
        "a: &b c\n",
        "? a\n",
        "a:\tb\n",
        "<<: a\n",
        "é: 1\n",
        " a: 1\n",
        "a: 1\n...\n",
        "a\n",
        "",
    ] {
        assert!(block::read(declined).is_none(), "{declined:?}");
    }
}

/// Lists and maps between brackets, most of them right.
fn bracketed() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        6 => "[a-z0-9]{1,3}",
        2 => "[-a-z0-9_./+=@$%:]{1,5}",
        1 => "'[a-z:,#\\[{ ]{0,4}'",
        1 => "\"[a-z:,#\\]} ]{0,4}\"",
        1 => Just("null".to_owned()),
        1 => Just("~".to_owned()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let space = || "[ ]{0,2}";
        let list = (proptest::collection::vec(inner.clone(), 0..4), space(), space())
            .prop_map(|(items, a, b)| alloc::format!("[{a}{}{b}]", items.join(&alloc::format!("{a},{b}"))));
        let entry = ("[a-d]", inner).prop_map(|(key, value)| alloc::format!("{key}: {value}"));
        let map = (proptest::collection::vec(entry, 0..4), space(), space())
            .prop_map(|(items, a, b)| alloc::format!("{{{a}{}{b}}}", items.join(&alloc::format!("{a},{b}"))));
        prop_oneof![list, map]
    })
}

/// Lines that look like YAML, with all that makes it hard.
fn yaml_like() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        4 => "[a-z0-9]{1,4}",
        1 => "[-:#\"' \\[\\]{}&*!|>%@,.?~/$+(^_a0]{0,5}",
        1 => Just("a # c".to_owned()),
        1 => Just("\"q\" # c".to_owned()),
        1 => Just("'q'#c".to_owned()),
        1 => Just("'q'".to_owned()),
        1 => Just("null".to_owned()),
        1 => Just("http://a:80/b".to_owned()),
        2 => Just(String::new()),
        3 => bracketed(),
        1 => "[\\[{][a-c'\": ,\\[\\]{}-]{0,8}[\\]}]",
    ];
    let key = prop_oneof![6 => "[a-c]", 1 => "[a-c_./-]{1,3}", 1 => Just("\"a\"".to_owned()), 1 => Just("---".to_owned())];
    let line = (0..5_usize, 0..6_u8, key, value, 0..3_usize).prop_map(|(depth, shape, key, value, trail)| {
        let indent = "  ".repeat(depth);
        let trail = " ".repeat(trail);
        match shape {
            0 | 1 => alloc::format!("{indent}{key}: {value}{trail}\n"),
            2 => alloc::format!("{indent}- {key}: {value}{trail}\n"),
            3 => alloc::format!("{indent}- {value}{trail}\n"),
            4 => alloc::format!("{indent}{key}:{trail}\n"),
            _ => alloc::format!("{indent} {value}{trail}\n"),
        }
    });
    proptest::collection::vec(line, 1..9).prop_map(|lines| lines.concat())
}

/// A well-formed document to be written out in block style.
#[derive(Debug, Clone)]
enum Tree {
    Scalar(String),
    List(Vec<(u8, Self)>),
    Map(Vec<(u8, Self)>),
}

fn well_formed() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        3 => "[a-z0-9/$+(^_.][a-zA-Z0-9 /:.@#,=!&*{}-]{0,8}[a-z0-9]",
        1 => "\"[a-z :#{},'-]{0,6}\"",
        1 => "'[a-z :#{},\"-]{0,6}'",
        1 => "-[a-z0-9]{1,3}",
    ];
    let leaf = scalar.prop_map(Tree::Scalar);
    let tree = leaf.prop_recursive(5, 40, 5, |inner| {
        let items = proptest::collection::vec((any::<u8>(), inner), 1..5);
        prop_oneof![items.clone().prop_map(Tree::List), items.prop_map(Tree::Map)]
    });
    tree.prop_map(|tree| {
        let mut text = String::new();
        write_tree(&tree, 0, &mut text);
        text
    })
}

/// Writes items at `indent`; the bits of each item's style choose dashes at the key, dashes alone, comments and blanks.
fn write_tree(tree: &Tree, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match tree {
        Tree::Scalar(scalar) => text.push_str(&alloc::format!("{pad}{scalar}\n")),
        Tree::List(items) => {
            for (style, item) in items {
                let gap = " ".repeat(usize::from(style & 3) + 1);
                match item {
                    Tree::Scalar(scalar) => {
                        text.push_str(&alloc::format!("{pad}-{gap}{scalar}{}\n", end(*style)));
                    }
                    Tree::Map(_) if style & 4 == 0 => {
                        let mut inner = String::new();
                        write_tree(item, indent + 1 + gap.len(), &mut inner);
                        text.push_str(&alloc::format!("{pad}-{gap}{}", inner.trim_start()));
                    }
                    _ => {
                        text.push_str(&alloc::format!("{pad}-{}\n", end(*style)));
                        write_tree(item, indent + gap.len(), text);
                    }
                }
            }
        }
        Tree::Map(items) => {
            for (index, (style, item)) in items.iter().enumerate() {
                let step = usize::from(style & 3);
                match item {
                    Tree::Scalar(scalar) => {
                        text.push_str(&alloc::format!("{pad}k{index}: {scalar}{}\n", end(*style)));
                    }
                    Tree::List(_) => {
                        text.push_str(&alloc::format!("{pad}k{index}:{}\n", end(*style)));
                        write_tree(item, indent + step, text);
                    }
                    Tree::Map(_) => {
                        text.push_str(&alloc::format!("{pad}k{index}:{}\n", end(*style)));
                        write_tree(item, indent + step + 1, text);
                    }
                }
            }
        }
    }
}

fn end(style: u8) -> &'static str {
    match style >> 5 {
        0 => "  ",
        1 => " # note",
        2 => "\n\n   # a: line",
        _ => "",
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(CASES)))]

    #[test]
    fn the_fast_reader_and_the_full_one_agree_on_hard_texts(text in yaml_like()) {
        both_read_alike(&text);
    }

    #[test]
    fn the_fast_reader_and_the_full_one_agree_on_blocks(text in well_formed()) {
        both_read_alike(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(CASES)))]

    #[test]
    fn the_fast_reader_and_the_full_one_agree_on_damaged_examples(
        at in 0..1000_usize,
        removed in 0..6_usize,
        inserted in "[-:#'\" \\n\\[\\]{}a1&*.]{0,4}",
    ) {
        let example = include_str!("../../tests/manifests/training-v2beta1.yaml");
        let (before, after) = example.split_at(at % example.len());
        let after = after.get(removed..).unwrap_or_default();
        both_read_alike(&alloc::format!("{before}{inserted}{after}"));
    }
}

/// More than usual: a difference between two readers hides well.
const CASES: u32 = 2000;

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        problems_of(&bytes);
    }

    #[test]
    fn no_yaml_like_text_makes_the_reader_panic(text in "[-:?&*!|>%@`'\"{}\\[\\],#a1 \\n\\t\\r~<\\\\ué.]{0,120}") {
        problems_of(text.as_bytes());
    }
}
