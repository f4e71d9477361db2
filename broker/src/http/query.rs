//! The options in a page's address, and how nats-server refuses those it cannot read.

use axum::extract::Query as Pairs;
use axum::http::Uri;

use super::page::Page;

/// The part of an address behind `?`. Of an option that is there twice, the first one counts.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(uri);
        Self(pairs.map(|Pairs(pairs)| pairs).unwrap_or_default())
    }

    /// A text; empty when it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }

    /// A yes or no in the spellings of Go; no when it is not there.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Page> {
        match self.text(name) {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            value => Err(refuse("boolean", name, "ParseBool", value)),
        }
    }

    /// A number; 0 when it is not there.
    pub(super) fn number(&self, name: &str) -> Result<i64, Page> {
        match self.text(name) {
            "" => Ok(0),
            value => value
                .parse()
                .map_err(|_| refuse("int", name, "Atoi", value)),
        }
    }

    /// A number that is not negative; 0 when it is not there.
    pub(super) fn id(&self, name: &str) -> Result<u64, Page> {
        match self.text(name) {
            "" => Ok(0),
            value => value
                .parse()
                .map_err(|_| refuse("uint64", name, "ParseUint", value)),
        }
    }
}

fn refuse(kind: &str, name: &str, function: &str, value: &str) -> Page {
    Page::refused(format!(
        "Error decoding {kind} for '{name}': strconv.{function}: parsing {value:?}: invalid syntax"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(uri: &'static str) -> Query {
        Query::of(&Uri::from_static(uri))
    }

    #[test]
    fn options_are_read_and_missing_ones_have_defaults() {
        let query = query("/connz?auth=1&limit=-3&cid=7&acc=%24G&auth=0");
        assert!(query.flag("auth").unwrap());
        assert_eq!(query.number("limit").unwrap(), -3);
        assert_eq!(query.id("cid").unwrap(), 7);
        assert_eq!(query.text("acc"), "$G");
        assert_eq!(
            (query.text("user"), query.number("offset").unwrap()),
            ("", 0)
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_the_words_of_nats_server() {
        let query = query("/connz?auth=yes&limit=abc&cid=-1");
        let text = |page: Result<(), Page>| page.unwrap_err().text().to_owned();
        assert_eq!(
            text(query.flag("auth").map(drop)),
            "Error decoding boolean for 'auth': strconv.ParseBool: parsing \"yes\": invalid syntax"
        );
        assert_eq!(
            text(query.number("limit").map(drop)),
            "Error decoding int for 'limit': strconv.Atoi: parsing \"abc\": invalid syntax"
        );
        assert!(query.id("cid").is_err());
    }
}
