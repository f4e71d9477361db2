//! Texts as they stand in configuration files, and what they mean.

use std::io;

use super::*;

fn read(text: &str) -> Result<Vec<Field>, ConfigFileError> {
    let file = |path: &Path| match path.to_str() {
        Some("conf/main.conf") => Ok(text.to_owned()),
        Some("conf/more.conf") => Ok("password: s3cr3t\n".to_owned()),
        Some("conf/loop.conf") => Ok("include loop.conf\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    parse(Path::new("conf/main.conf"), &file)
}

/// The values without their places, as JSON writes them.
fn shown(text: &str) -> String {
    show_map(&read(text).unwrap())
}

fn show_map(fields: &[Field]) -> String {
    let fields = fields
        .iter()
        .map(|field| format!("{}:{}", field.key, show(&field.entry)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn show(entry: &Entry) -> String {
    match &entry.value {
        Value::Bool(on) => on.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Text(text) => format!("{text:?}"),
        Value::List(entries) => {
            format!(
                "[{}]",
                entries.iter().map(show).collect::<Vec<_>>().join(",")
            )
        }
        Value::Map(fields) => show_map(fields),
    }
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn keys_and_values_stand_together_in_any_style() {
    for text in [
        "a: 1\nb: two",
        "a = 1; b = two;",
        "a 1, b two",
        "{\"a\": 1, \"b\": \"two\"}",
        "# comment\na: 1 # one\n// more\nb: 'two' // two\n",
        "{a: 1\r\n b: two}\r\n",
    ] {
        assert_eq!(shown(text), "{a:1,b:\"two\"}", "{text}");
    }
}

#[test]
fn maps_and_lists_nest() {
    assert_eq!(
        shown("auth {\n users = [\n {user: a}\n {user: b, tags: [x y]}\n ]\n}\nport: 1"),
        "{auth:{users:[{user:\"a\"},{user:\"b\",tags:[\"x\",\"y\"]}]},port:1}"
    );
    assert_eq!(shown("jetstream{}"), "{jetstream:{}}");
}

#[test]
fn bare_words_are_numbers_booleans_or_text() {
    assert_eq!(
        shown("a: [1k, 1kb, 2MiB, -1, 3g]"),
        "{a:[1000,1024,2097152,-1,3000000000]}"
    );
    assert_eq!(
        shown("a: [true, YES, on, off, No]"),
        "{a:[true,true,true,false,false]}"
    );
    assert_eq!(
        shown("a: 1.5\nb: 127.0.0.1:4222"),
        "{a:1.5,b:\"127.0.0.1:4222\"}"
    );
    assert_eq!(
        shown("a: 300ms\nb: 10kx\nc: nan"),
        "{a:\"300ms\",b:\"10kx\",c:\"nan\"}"
    );
    assert_eq!(shown("a: \"1\""), "{a:\"1\"}");
}

#[test]
fn double_quotes_know_escapes_and_single_quotes_do_not() {
    assert_eq!(shown(r#"a: "\x41\t\"""#), "{a:\"A\\t\\\"\"}");
    assert_eq!(shown(r"a: 'x\n'"), "{a:\"x\\\\n\"}");
    assert!(refused(r#"a: "\q""#).contains("escapes"));
}

#[test]
fn a_block_is_text_up_to_its_line() {
    assert_eq!(
        shown("a (\n one\n two )\n)\nb: 1"),
        "{a:\" one\\n two )\",b:1}"
    );
}

#[test]
fn variables_are_keys_around_or_the_environment() {
    assert_eq!(
        shown("x: 7\na { y: 8, b: $x, c: $y }"),
        "{x:7,a:{y:8,b:7,c:8}}"
    );
    let path = std::env::var("PATH").unwrap();
    assert_eq!(shown("a: $PATH"), format!("{{a:{path:?}}}"));
    assert!(refused("a: $NO_SUCH_VARIABLE").contains("variable reference for 'NO_SUCH_VARIABLE'"));
    assert_eq!(shown("a: $2a$11$abc"), "{a:\"$2a$11$abc\"}");
}

#[test]
fn an_include_joins_the_map_it_stands_in() {
    assert_eq!(
        shown("authorization {\n user: derek\n include more.conf\n}"),
        "{authorization:{user:\"derek\",password:\"s3cr3t\"}}"
    );
    let text = refused("\n include \"none.conf\"");
    assert!(text.starts_with("conf/main.conf:2:10: "), "{text}");
    assert!(refused("include loop.conf").contains("levels"));
}

#[test]
fn the_last_of_two_equal_keys_counts() {
    assert_eq!(shown("port: 1\nport: 2"), "{port:2}");
}

#[test]
fn mistakes_are_told_with_their_line() {
    for (text, line) in [
        ("a: 1 b: 2", 1),
        ("a { b: 1\n", 2),
        ("\na: [1", 2),
        ("a:\n", 1),
        ("a: \"x", 1),
        ("}", 1),
        ("a (\n x", 1),
    ] {
        let error = refused(text);
        assert!(
            error.contains(&format!("Parse error on line {line}")),
            "{text:?}: {error}"
        );
    }
    assert!(refused(&"a: [".repeat(40)).contains("Parse error"));
    assert!(refused(&format!("a: {}", "[".repeat(40))).contains("levels"));
}
